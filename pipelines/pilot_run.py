"""The pipelines before the main one: drawing the pilot, and asking models about it."""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import apache_beam as beam
import fsspec
from apache_beam import pvalue

from pipelines.open_models import open_models
from pipelines.runner import run_pipeline
from router.identity import text_key
from router.pilot import Pilot, read_pilot
from transforms.ask_pilot import AskModels, save_failures, save_pilot
from transforms.batch_times import BatchTimes, batch_times
from transforms.index_records import IndexRecords
from transforms.index_splits import Sampling
from transforms.journal import Journal, JournalOf
from transforms.progress import ProgressNote
from transforms.read_corrections import read_corrections

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from apache_beam.options.pipeline_options import PipelineOptions

    from pipelines.annotate import Plan
    from pipelines.open_models import Models
    from router.calibration import ChosenPrompt
    from router.records import Answer, Work

    Prompts = Mapping[str, Mapping[str, ChosenPrompt]]
    """By model and task."""


@dataclass(frozen=True)
class PilotRun:
    """A plan whose gate is to be certified, and how to run pipelines for that."""

    plan: Plan
    options: PipelineOptions
    waits: dict[str, BatchTimes] = field(default_factory=dict)
    """How long the last pipeline waited for each model that it asked in batches of concurrent calls."""

    def draw(self, size: int, *, gold_only: bool) -> Pilot:
        """Draw `size` records uniformly over the whole input, fewer where it has fewer.

        `gold_only` draws those with a gold label.
        """
        plan, url = self.plan, f"{self.plan.state}/calibration/pilot.jsonl"

        def build(pipeline: beam.Pipeline) -> None:
            splits = pipeline | "Splits" >> beam.Create(list(plan.splits)) | beam.Reshuffle()
            sampling = Sampling(0, (), size, self.corrections(), gold_only, salt=plan.pilot_salt)
            index = splits | "Index" >> IndexRecords(plan.reader, sampling, plan.state, infer_types=False)
            start = pipeline | "Start" >> beam.Create([None])
            _ = start | "Save" >> beam.Map(save_pilot, pvalue.AsList(index.pilot), url)

        run_pipeline(build, self.options)
        with fsspec.open(url, "rb") as stream:
            return read_pilot(stream)

    def corrections(self) -> dict[str, str]:
        """Gold labels that people gave, by record id, in the form of the input's column.

        Raises `ValueError` where the file that the job names holds none.
        """
        url = self.plan.job.calibration.corrections
        if url is None:
            return {}
        found = read_corrections(url)
        if not found:
            raise ValueError(f"calibration.corrections: {url} holds no corrected row; correct some first")
        multi = {task.name: task.kind == "multi_label" for task in self.plan.job.tasks}
        only = next(iter(multi)) if len(multi) == 1 else ""
        return {
            name: one.labels[0]
            if len(one.labels) == 1 and not multi.get(one.task or only, False)
            else json.dumps(list(one.labels), ensure_ascii=False)
            for name, one in found.items()
        }

    def fingerprints(self, prompts: Prompts) -> Mapping[str, Mapping[str, str]]:
        """What decides the models' answers with these prompts, by model and task."""
        opening = self.plan.opening.asking(prompts, features=False, embedding=False)
        return open_models(opening).fingerprints

    def ask(
        self,
        asked: Mapping[str, Sequence[Work]],
        prompts: Prompts,
        *,
        trial: bool = False,
        learning: bool = True,
    ) -> dict[tuple[str, bytes], Answer]:
        """What each model says of its works, by model and text key; without those that it did not answer.

        What the journal holds already is not asked again. In a `trial`, a prompt that does not fit a model's
        context gets no answers. `learning` keeps what a head may look at with the answers.
        """
        models = self._open(prompts, trial=trial, learning=learning)
        found, missing = _find(asked, models.journals)
        if not missing:
            return found

        state = self.plan.state
        ProgressNote(state).add(to_ask=sum(map(len, missing.values())))

        def build(pipeline: beam.Pipeline) -> None:
            failures = pipeline | "AskModels" >> AskModels(models.handlers, missing, state)
            start = pipeline | "Start" >> beam.Create([None])
            _ = start | "Save" >> beam.Map(save_failures, pvalue.AsList(failures), self._failures)

        result = run_pipeline(build, self.options)
        for name in missing:
            times = batch_times(result, models.handlers[name])
            if times is not None:
                self.waits[name] = times
        return found | _find(missing, models.journals)[0]

    def missing(self, asked: Mapping[str, Sequence[Work]], prompts: Prompts) -> dict[str, list[Work]]:
        """What `ask` would have to ask: one work of each text."""
        return _find(asked, self._open(prompts, trial=False, learning=True).journals)[1]

    def _open(self, prompts: Prompts, *, trial: bool, learning: bool) -> Models:
        opening = self.plan.opening.asking(prompts, features=learning, embedding=learning)
        return open_models(replace(opening, trial=trial))

    def failure_of(self, model: str) -> str:
        """Why a model gave no answer when it was asked last; empty where that is not known."""
        with fsspec.open(self._failures, "rb") as stream:
            return str(json.load(stream).get(model, ""))

    @property
    def _failures(self) -> str:
        return f"{self.plan.state}/calibration/failures.json"


def _find(
    asked: Mapping[str, Sequence[Work]], journals: Mapping[str, JournalOf]
) -> tuple[dict[tuple[str, bytes], Answer], dict[str, list[Work]]]:
    """Answers that the journals hold, and the works, one of each text, to which they hold none."""
    found: dict[tuple[str, bytes], Answer] = {}
    missing: dict[str, list[Work]] = defaultdict(list)
    for name, works in asked.items():
        if not works:
            continue
        by_key: dict[bytes, Work] = {}
        for work in works:
            by_key.setdefault(text_key(work.record.text, work.record.task), work)
        with contextlib.closing(Journal(journals[name])) as journal:
            for key, work in by_key.items():
                answer = journal.find(work.record.task, key)
                if answer is None:
                    missing[name].append(work)
                else:
                    found[name, key] = answer
    return found, missing
