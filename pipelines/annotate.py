"""The main job as a Beam pipeline: read, answer with small models, escalate, price, write.

`python -m pipelines.annotate JOB.yaml` runs it like `tekizai run JOB.yaml`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    # Before Beam is imported, which already complains in the log that the command sets.
    from pipelines.cli import main

    main(["run", *sys.argv[1:]])

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.ml.inference.base import RunInference

from router.adapters import AdaptedModel
from router.decide import Policy
from router.job import LlamaCppModel
from router.job_generation import GENERATE
from router.names import JUDGE, STUDENT
from router.pilot import pilot_salt
from router.records import Annotated, DeadLetter, Work
from router.verdict import Readings
from transforms.ask_in_batches import Asked, asking
from transforms.ask_student import AskStudent
from transforms.calibrate_labels import AskPilot
from transforms.decide_records import Decided, DecideRecords
from transforms.finish_job import Ending, finish_job
from transforms.index_records import IndexOutput, IndexRecords
from transforms.index_splits import Sampling
from transforms.read_copies import ReadCopies
from transforms.read_records import DEAD, SHARED, Reader, ReadRecords
from transforms.slm_handler import LlamaCppModelHandler
from transforms.split_repeats import by_split, split_starts
from transforms.write_output import Part, WriteAnnotations, WriteDeadLetters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.open_models import Opening
    from router.job import Job, Task
    from router.records import Answer
    from router.student import Student
    from transforms.judge_handler import JudgeHandler
    from transforms.splits import Split


@dataclass(frozen=True)
class Plan:
    """All that is settled before the pipeline is built."""

    job: Job
    reader: Reader
    splits: tuple[Split, ...]
    handlers: Mapping[str, Asked]
    """One for each model that the routing names."""
    ending: Ending
    state: str
    """URL of the output's state folder."""
    policy: Policy | None
    """None where the gate is still to be certified."""
    opening: Opening
    """How the models were opened, to open them anew in another form."""
    readings: Readings | None = None
    """How the small models' scores are read, where that was learned; None: a sample without labels says."""
    settled: Readings = field(default_factory=dict)
    """How some of them are read whatever the sample says, because a pack's head knows better."""
    pilot: Mapping[bytes, tuple[Answer, ...]] = field(default_factory=dict)
    """What was asked before the main pass, by text key."""
    students: tuple[Student, ...] = ()
    """What answers ahead of the small models."""
    judge: JudgeHandler | None = None
    """Who settles disputes; None where nobody does."""

    def task(self, name: str) -> Task:
        """The task of a name."""
        return next(task for task in self.job.tasks if task.name == name)

    def is_sampled(self, model: str, task: str) -> bool:
        """Whether a sample has to tell how the model's scores on the task are read."""
        known = (model, task) in self.settled or (STUDENT, task) in self.settled
        return model not in self.small_models or not known

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
        # What is written has no scores to divide by a mean.
        scored = any(task.kind != GENERATE for task in self.job.tasks)
        wanted = scored and self.job.calibration.label_free and self.readings is None
        size = self.job.calibration.sample if wanted else 0
        return Sampling(size, (large,) if large in self.local_models else (), salt=self.pilot_salt)

    @property
    def adapters(self) -> Mapping[str, str]:
        """SHA-256 of the adapters that can answer, by their places in the job file."""
        opened = (self.job.models[name] for name in self.job.opened_models)
        places = [model.place for model in opened if isinstance(model, AdaptedModel)]
        return {place: self.opening.digests[place] for place in places}

    @property
    def pilot_salt(self) -> bytes:
        """That of the order in which the job's records are drawn for a pilot."""
        # A comparison looked at more models than a routing made from it may name, in the order of them all.
        return pilot_salt([*self.adapters.values(), *self.job.calibration.pilot.adapters])


def build_pipeline(pipeline: beam.Pipeline, plan: Plan) -> beam.PCollection[dict[str, Any]]:
    """The whole job; the result holds one element, the summary.

    The records' way is one fused chain without a shuffle or a flatten: on the local runner those would hold
    every record in memory. What is gathered (repeats, calibration, finished files) is small.
    """
    infer_types = plan.reader.schema is None and plan.ending.suffix == "parquet"
    numbered = (
        pipeline | "Splits" >> beam.Create(list(enumerate(plan.splits))) | "SpreadSplits" >> beam.Reshuffle()
    )
    index = (
        numbered
        | "WithoutNumbers" >> beam.Values()
        | "Index" >> IndexRecords(plan.reader, plan.sampling, plan.state, infer_types=infer_types)
    )
    readings, pilot = read_calibration(pipeline, index, plan)

    repeats = index.repeats | "RepeatsBySplit" >> beam.FlatMap(by_split, split_starts(plan.splits))
    read = {"splits": numbered, "repeats": repeats} | "ReadRecords" >> ReadRecords(plan.reader, pilot)
    decided = answer_records(read["work"], plan, readings)
    outcomes = [read[SHARED], *(by.shared for by in decided.values())]
    copies = {"repeats": index.repeats, "outcomes": together("Outcomes", outcomes)} | "Copies" >> ReadCopies(
        plan.reader, plan.splits
    )

    annotated = {name: by.annotated for name, by in decided.items()} | {"copies": copies["copies"]}
    dead = {name: by.dead for name, by in decided.items()} | {"read": read[DEAD], "copies": copies[DEAD]}
    types = pvalue.AsSingleton(index.types)
    parts = write_files(plan, types, annotated, dead)
    read_count = pvalue.AsSingleton(index.read)
    start = pipeline | "End" >> beam.Create([None])
    summary: beam.PCollection[dict[str, Any]] = start | "FinishJob" >> beam.Map(
        finish_job, pvalue.AsList(parts), read_count, readings, types, plan.ending
    )
    return summary


def read_calibration(
    pipeline: beam.Pipeline, index: IndexOutput, plan: Plan
) -> tuple[pvalue.AsDict, pvalue.AsDict]:
    """How scores are read, and the answers that were given before, as side inputs."""
    if plan.readings is not None:
        readings = pipeline | "Calibration" >> beam.Create(list(plan.readings.items()))
        answers = pipeline | "PilotAnswers" >> beam.Create(list(plan.pilot.items()))
        return pvalue.AsDict(readings), pvalue.AsDict(answers)
    sample = index.sample
    if plan.settled:
        pairs = [(name, task.name) for name in plan.small_models for task in plan.job.tasks]
        known = frozenset(pair for pair in pairs if not plan.is_sampled(*pair))
        sample = sample | "NotSettled" >> beam.Filter(
            lambda work: (work.route.model, work.record.task) not in known
        )
    pilot = sample | "Pilot" >> AskPilot(plan.handlers, plan.local_models, plan.state)
    biases = pilot.biases
    if plan.settled:
        settled = pipeline | "Settled" >> beam.Create(list(plan.settled.items()))
        biases = together("Readings", [biases, settled])
    return pvalue.AsDict(biases), pvalue.AsDict(pilot.answers)


def answer_records(work: beam.PCollection[Work], plan: Plan, readings: pvalue.AsDict) -> dict[str, Decided]:
    """What student and small models said, then what each large model said of what was sent on to it.

    By names that no model's own can equal, because they become labels of steps.
    """
    if plan.students:
        work = work | "Ask student" >> beam.ParDo(_student_of(plan))
    for name in plan.small_models:
        work = work | f"Ask {name}" >> asking(plan.handlers[name])
    policy, schema = plan.policy, plan.reader.schema
    if policy is None:
        raise ValueError("the gate is not certified yet; calibrate first")
    judge = [] if plan.judge is None else [JUDGE]
    deciding = DecideRecords(policy, [*plan.large_models, *judge], readings, schema)
    decided = {"small": work | "DecideSmall" >> deciding}
    for name in plan.large_models:
        waiting = together(f"To {name}", [outcome.ask[name] for outcome in decided.values()])
        asked = waiting | f"Ask {name}" >> asking(plan.handlers[name])
        # Large models are asked in order, and each sends on only to those after it.
        later = plan.large_models[plan.large_models.index(name) + 1 :]
        deciding = DecideRecords(policy, [*later, *judge], readings, schema)
        decided[f"large {name}"] = asked | f"Decide {name}" >> deciding
    if plan.judge is not None:
        disputed = together("Disputes", [outcome.ask[JUDGE] for outcome in decided.values()])
        judged = disputed | "Judge" >> RunInference(plan.judge)
        decided["judge"] = judged | "DecideJudged" >> DecideRecords(policy, [], readings, schema)
    return decided


def _student_of(plan: Plan) -> AskStudent:
    """The student on the machine of the small models."""
    names = {task.name: task.label_names for task in plan.job.tasks}
    handlers = {name: plan.handlers[name] for name in plan.small_models}
    prices = {
        name: handler.local.usd_per_hour
        for name, handler in handlers.items()
        if isinstance(handler, LlamaCppModelHandler)
    }
    return AskStudent(plan.students, names, prices)


def write_files(
    plan: Plan,
    types: pvalue.AsSingleton,
    annotated: Mapping[str, beam.PCollection[Annotated]],
    dead: Mapping[str, beam.PCollection[DeadLetter]],
) -> beam.PCollection[Part]:
    """Everything written to files of the state folder, which the last stage gives their names."""
    writer = WriteAnnotations(plan.state, plan.ending.layout, plan.ending.suffix)
    parts = [one | f"Write {name}" >> beam.ParDo(writer, types) for name, one in annotated.items()]
    dead_writer = WriteDeadLetters(plan.state)
    parts += [one | f"WriteDead {name}" >> beam.ParDo(dead_writer) for name, one in dead.items()]
    return together("Parts", parts)


def together(label: str, collections: list[beam.PCollection[Any]]) -> beam.PCollection[Any]:
    """One collection of several; a single one is left as it is, because a flatten ends a fused chain."""
    return collections[0] if len(collections) == 1 else tuple(collections) | label >> beam.Flatten()
