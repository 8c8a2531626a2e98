"""Looking for a small model's best prompt: candidates are asked about rows that the oracle has answered."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from router.evidence import gather
from router.head import FLOOR
from router.head_training import TrainingRows
from router.identity import text_key
from router.prompt_search import DRAWS, FIRST_COUNT, OTHER_COUNTS, candidate, prompt_loss

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipelines.pilot_run import PilotRun
    from router.calibration import ChosenPrompt
    from router.job import Task
    from router.prompt_search import Candidate, LabelledText
    from router.prompts import PromptForm
    from router.records import Answer, Work

_FIRST_ROWS, _ALL_ROWS = 64, 240
_FINALISTS = 3


@dataclass(frozen=True, slots=True)
class Tried:
    """A candidate with its log-loss on so many rows."""

    candidate: Candidate
    log_loss: float
    """The worst possible where the model gave no answer."""
    rows: int


@dataclass
class PromptSearch:
    """The search for one model and task."""

    run: PilotRun
    model: str
    task: Task
    rows: Sequence[tuple[Work, int]]
    """Records with the index of the oracle's label."""
    pool: Sequence[LabelledText]
    """What examples may be drawn from; used for nothing else."""
    seconds: float
    clock: Callable[[], float] = time.monotonic
    tried: list[Tried] = field(default_factory=list)
    spent: dict[tuple[ChosenPrompt, bytes], Answer] = field(default_factory=dict)
    """What the trials cost, by prompt and text key."""
    _done: set[tuple[ChosenPrompt, int]] = field(default_factory=set)

    def search(self, forms: Sequence[PromptForm]) -> Tried:
        """Try forms first, then numbers of examples, then draws, each with the best of what came before.

        The first candidate is always tried; after `seconds` no further one is.
        """
        end = self.clock() + self.seconds
        own = bool(self.task.shown)
        counts = (0,) if own or not self.pool else (FIRST_COUNT, 0)
        plans = [(form, count, DRAWS[0]) for form in forms for count in counts]
        best = self._best_of(plans, end, _FIRST_ROWS)
        if not own and self.pool:
            shape = best.candidate
            best = self._best_of([(shape.form, count, DRAWS[0]) for count in OTHER_COUNTS], end, _FIRST_ROWS)
            shape = best.candidate
            if shape.per_label:
                draws = [(shape.form, shape.per_label, draw) for draw in DRAWS[1:]]
                self._best_of(draws, end, _FIRST_ROWS)
        finalists = sorted(self.tried, key=lambda one: one.log_loss)[:_FINALISTS]
        again = [(one.candidate.form, one.candidate.per_label, one.candidate.draw) for one in finalists]
        if len(self.rows) > _FIRST_ROWS and len(finalists) > 1 and self.clock() < end:
            self._best_of(again, end, _ALL_ROWS)
        most = max(one.rows for one in self.tried)
        return min((one for one in self.tried if one.rows == most), key=lambda one: one.log_loss)

    def _best_of(self, plans: Sequence[tuple[PromptForm, int, int]], end: float, rows: int) -> Tried:
        for form, count, draw in plans:
            if self.tried and self.clock() >= end:
                break
            one = candidate(self.task, form, count, draw, self.pool)
            # With few texts to draw from, several counts and draws make the same prompt.
            if (one.prompt, rows) not in self._done:
                self._done.add((one.prompt, rows))
                self._try(one, rows)
        return min(self.tried, key=lambda one: one.log_loss)

    def _try(self, one: Candidate, count: int) -> None:
        rows = self.rows[:count]
        answers = self.run.ask(
            {self.model: [work for work, _ in rows]}, {self.model: {self.task.name: one.prompt}}, trial=True
        )
        scored = []
        for work, label in rows:
            key = text_key(work.record.text, work.record.task)
            answer = answers.get((self.model, key))
            if answer is not None and answer.scores is not None:
                scored.append((answer.scores, label))
                self.spent[one.prompt, key] = answer
        if not scored:
            self.tried.append(Tried(one, -math.log(FLOOR), 0))
            return
        training = TrainingRows(
            gather([scores for scores, _ in scored]),
            np.array([label for _, label in scored], np.int64),
        )
        self.tried.append(Tried(one, prompt_loss(training), len(scored)))
