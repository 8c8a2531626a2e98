"""A second opinion: another model of the job, asked as that model always is, journal and budget included."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from router.calibration import answers_of, surety
from router.judgement import View
from router.records import Failure, Usage, Work
from router.spending import worst_cost
from transforms.judge_calls import CallRefusedError
from transforms.retriever import Retriever

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apache_beam.ml.inference.base import ModelHandler

    from router.job import OpenAIModel, Task
    from router.prices import TokenPrice
    from router.records import Answer, Record
    from router.retrieval import Retrieval
    from transforms.judge_calls import JudgeCalls


@dataclasses.dataclass(frozen=True)
class OtherModel:
    """The model that is asked: plain data, from which a worker opens it."""

    name: str
    handler: ModelHandler[Work, Work, Any]
    tasks: Mapping[str, Task]
    fingerprints: Mapping[str, str]
    """What decides its answers, by task."""
    hosted: tuple[OpenAIModel, TokenPrice] | None = None
    """What bounds the price of a call; None for a local model."""
    retrievals: Mapping[str, Retrieval] = dataclasses.field(default_factory=dict)
    """What it is shown with each record, by task."""

    def open(self) -> OtherSession:
        """Open it in this process; a local model shares its weights with the job's own stage."""
        return OtherSession(self, self.handler.load_model())


@dataclasses.dataclass(frozen=True)
class Said:
    """What came of asking."""

    view: View | str
    usage: Usage
    failure: Failure | None = None
    """Why there is no view for the moment, where the same question may be answered in another run."""


class OtherSession:
    """The opened model; safe to share between threads."""

    def __init__(self, other: OtherModel, session: object) -> None:
        """Take what `OtherModel.open` has opened."""
        self._other, self._session = other, session
        self._retriever = Retriever(other.retrievals)
        self.name = other.name

    def worst(self, record: Record) -> Decimal:
        """The most that asking may cost; of a local model that is its time, which is not bounded before."""
        if self._other.hosted is None:
            return Decimal(0)
        (model, price), task = self._other.hosted, self._other.tasks[record.task]
        found = self._retriever.fitting(task, record, model.context)
        return worst_cost(task, record.text, price, model.max_output_tokens, found)

    def ask(self, work: Work, calls: JudgeCalls) -> Said:
        """The model's view of a record, or why there is none; its cost is counted on the record's bound."""
        record = work.record
        worst = self.worst(record)
        if not calls.afford(worst):
            return Said(f"{self.name} was not asked: it may cost more than is left for this record.", Usage())
        asked = dataclasses.replace(work, ask=self.name, answers=())
        [answered] = self._other.handler.run_inference([asked], self._session, None)
        answer = answered.answers[-1]
        calls.add(answer.usage.usd)
        if answer.failure in {Failure.UNAVAILABLE, Failure.OVER_BUDGET}:
            return Said(f"{self.name} gave no answer: {answer.detail}", answer.usage, answer.failure)
        return Said(self._view(answer, record.task), answer.usage)

    def _view(self, answer: Answer, task: str) -> View | str:
        known = self._other.tasks[task]
        if answer.labels is not None:
            return View(self.name, answer.labels, answer.confidence)
        if answer.scores is None:
            return f"{self.name} gave no answer."
        multi = known.kind == "multi_label"
        rows = np.asarray(answer.scores.probabilities)[None, :]
        [labels] = answers_of(rows, known.label_names, multi_label=multi)
        pairs = zip(known.label_names, rows[0].tolist(), strict=True)
        scores = tuple(sorted(pairs, key=lambda pair: -pair[1]))
        return View(self.name, labels, float(surety(rows, multi_label=multi)[0]), scores)


@dataclasses.dataclass
class SecondOpinion:
    """The other model's view of one record; it is asked once, however often the judge wants it."""

    other: OtherSession
    work: Work
    calls: JudgeCalls
    said: Said | None = None
    """What came of asking; None as long as nobody did."""

    def __call__(self) -> View | str:
        """Ask, unless it was asked before or is one of those who disagree.

        Raises `CallRefusedError` where there is no answer for the moment: a verdict without it would be kept
        for good. What stops the job is raised as it is.
        """
        views = () if self.work.dispute is None else self.work.dispute.views
        told = next((view for view in views if view.model == self.other.name), None)
        if told is not None:
            return told
        try:
            return self._asked()
        except Exception as error:
            self.calls.error = error
            raise

    def _asked(self) -> View | str:
        if self.said is None:
            self.said = self.other.ask(self.work, self.calls)
        if self.said.failure is not None:
            raise CallRefusedError(self.said.failure, str(self.said.view))
        return self.said.view
