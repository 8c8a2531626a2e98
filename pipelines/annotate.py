"""The main job as a Beam pipeline: read, answer with small models, escalate, price, write.

`python -m pipelines.annotate JOB.yaml` runs it like `tekizai run JOB.yaml`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.ml.inference.base import RunInference

from router.decide import Policy
from router.job import LlamaCppModel
from router.records import Work
from transforms.calibrate_labels import AskPilot
from transforms.decide_records import DecideRecords, answered
from transforms.finish_job import Ending, finish_job
from transforms.index_records import IndexRecords, Sampling
from transforms.json_types import ColumnTypes
from transforms.read_records import DEAD, ReadCopies, Reader, ReadRecords, SharedOutcomes
from transforms.write_output import WriteAnnotations, WriteDeadLetters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apache_beam.ml.inference.base import ModelHandler

    from router.job import Job
    from transforms.splits import Split


@dataclass(frozen=True)
class Plan:
    """All that is settled before the pipeline is built."""

    job: Job
    reader: Reader
    splits: tuple[Split, ...]
    handlers: Mapping[str, ModelHandler[Work, Work, Any]]
    """One for each model that the routing names."""
    ending: Ending
    state: str
    """URL of the output's state folder."""

    @property
    def local_models(self) -> list[str]:
        """Names of the models that run inside the workers."""
        return [name for name in self.handlers if isinstance(self.job.models[name], LlamaCppModel)]

    @property
    def small_models(self) -> list[str]:
        """Local models that answer first."""
        return [name for name in self.local_models if name != self.job.routing.escalate_to]

    @property
    def large_models(self) -> list[str]:
        """Models that answer what the small ones leave, the one that others escalate to last."""
        others = [name for name in self.handlers if name not in self.small_models]
        return sorted(others, key=lambda name: name == self.job.routing.escalate_to)

    @property
    def sampling(self) -> Sampling:
        """The calibration sample: for each small model, and for the large one where it gives scores."""
        large = self.job.routing.escalate_to
        size = self.job.calibration.sample if self.job.calibration.label_free else 0
        return Sampling(size, (large,) if large in self.local_models else ())


def build_pipeline(pipeline: beam.Pipeline, plan: Plan) -> beam.PCollection[dict[str, Any]]:
    """The whole job; the result holds one element, the summary.

    The records' way is one fused chain without a shuffle or a flatten: on the local runner those would hold
    every record in memory. What is gathered (repeats, calibration, finished files) is small.
    """
    infer_types = plan.reader.schema is None and plan.ending.suffix == "parquet"
    splits = pipeline | "Splits" >> beam.Create(plan.splits) | "SpreadSplits" >> beam.Reshuffle()
    index = splits | "Index" >> IndexRecords(
        plan.reader, plan.sampling, plan.state, infer_types=infer_types
    )
    pilot = index.sample | "Pilot" >> AskPilot(plan.handlers, plan.local_models)
    repeats, biases = pvalue.AsDict(index.repeats), pvalue.AsDict(pilot.biases)
    types = pvalue.AsSingleton(index.types)

    read = splits | "ReadRecords" >> beam.ParDo(
        ReadRecords(plan.reader), repeats, pvalue.AsDict(pilot.answers)
    ).with_outputs(DEAD, main="work")
    work = read["work"]
    for name in plan.small_models:
        work = work | f"Ask {name}" >> RunInference(plan.handlers[name])

    policy = Policy.of(plan.job)
    decided = {"small": work | "DecideSmall" >> DecideRecords(policy, plan.large_models, biases)}
    for name in plan.large_models:
        waiting = [outcome.ask[name] for outcome in decided.values()]
        asked = (
            together(f"To {name}", waiting)
            | f"Ask {name}" >> RunInference(plan.handlers[name])
            | f"Answered {name}" >> beam.Map(answered)
        )
        decided[name] = asked | f"Decide {name}" >> DecideRecords(policy, plan.large_models, biases)

    # A row that the index could read may still fail to be read whole: its copies share that fate too.
    outcomes = [("refused", read[DEAD])]
    outcomes += [(f"{kind} {name}", one) for name, by in decided.items() for kind, one in by.outcomes().items()]
    shared = [one | f"Shared {label}" >> beam.ParDo(SharedOutcomes(), repeats) for label, one in outcomes]
    copies = splits | "ReadCopies" >> beam.ParDo(
        ReadCopies(plan.reader), repeats, pvalue.AsDict(together("SharedOutcomes", shared))
    ).with_outputs(DEAD, main="copies")

    annotated = {name: by.annotated for name, by in decided.items()} | {"copies": copies["copies"]}
    dead = {name: by.dead for name, by in decided.items()} | {"copies": copies[DEAD], "read": read[DEAD]}
    writer = WriteAnnotations(plan.state, plan.ending.layout, plan.ending.suffix)
    parts = [one | f"Write {name}" >> beam.ParDo(writer, types) for name, one in annotated.items()]
    parts += [one | f"WriteDead {name}" >> beam.ParDo(WriteDeadLetters(plan.state)) for name, one in dead.items()]
    return (
        pipeline
        | "End" >> beam.Create([None])
        | "FinishJob"
        >> beam.Map(
            finish_job,
            pvalue.AsList(together("Parts", parts)),
            pvalue.AsSingleton(index.read),
            biases,
            types,
            plan.ending,
        )
    )


def together(label: str, collections: list[beam.PCollection[Any]]) -> beam.PCollection[Any]:
    """One collection of several; a single one is left as it is, because a flatten ends a fused chain."""
    return collections[0] if len(collections) == 1 else tuple(collections) | label >> beam.Flatten()


if __name__ == "__main__":
    from pipelines.cli import main

    main(["run", *sys.argv[1:]])
