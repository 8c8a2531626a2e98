"""Taking the results of a batch that has ended into the books: answers, and what is to be asked again."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from router import batch_notes
from router.batch_notes import FirstAnswer, Submission
from router.journal import is_final
from router.records import Answer, Failure
from transforms.batch_client import BatchClient, BatchGoneError
from transforms.batch_results import Judge, Outcome, Question

if TYPE_CHECKING:
    from transforms.batch_books import Books
    from transforms.batch_wire import BatchState, ResultLine
    from transforms.llm_wire import Dialect

_LOGGER = logging.getLogger(__name__)
_MICRO = Decimal(1_000_000)
_CANCELLED = "the batch was cancelled before it was answered; a later run asks again"
_MISSING = "the batch ended without a result for it"


@dataclass(slots=True)
class Collected:
    """What came of a batch."""

    answers: dict[str, Answer] = field(default_factory=dict)
    """By custom id; failures that are not to be tried again too."""
    again: list[Question] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    """Parameters that the model does not take."""
    stop: str = ""
    """Why the job must stop; empty where it need not."""
    counts: Counter[str] = field(default_factory=Counter)
    """For metrics: unusable answers, micro-dollars."""


class Collector:
    """Collects the batches of one model."""

    def __init__(self, client: BatchClient, books: Books, judge: Judge) -> None:
        """All three are of that model."""
        self._client, self._books, self._judge = client, books, judge

    def collect(
        self, one: Submission, state: BatchState, questions: Mapping[str, Question], dialect: Dialect
    ) -> Collected:
        """Take in the results of a batch, and note that it is done.

        Args:
            one: The batch.
            state: Its last state.
            questions: What is being asked, by custom id. Other answers in the batch are kept all the same:
                they are paid.
            dialect: How its questions were asked.

        Raises:
            LlmStop: The endpoint refuses the key.
            BatchUnavailableError: The results could not be fetched; the batch stays open.
            JournalError: An answer could not be kept.

        """
        found, firsts = Collected(), dict[str, FirstAnswer]()
        left = {name: questions.get(name) or self._books.orphan(name) for name in one.requests}
        lost = _MISSING
        try:
            for line in self._client.results(state, len(one.requests)):
                # Each question once: who knows what a second line would be about.
                question = left.pop(line.custom_id, None)
                if question is not None:
                    outcome = self._outcome(question, line, dialect)
                    self._take(question, outcome, state, question.id in questions, found, firsts)
        except BatchGoneError as error:
            lost = f"the results of batch {one.id} are gone: {error}"
        for question in left.values():
            if question is not None and question.id in questions:
                self._again(question, lost, state, found)
        self._books.commit()
        self._books.notes.write(batch_notes.ended(one.key, state.status, firsts, sorted(found.refused)))
        for name, first in firsts.items():
            questions[name].first, questions[name].first_of = first, one.key
        return found

    def _outcome(self, question: Question, line: ResultLine, dialect: Dialect) -> Outcome:
        # A process that died while it collected has kept some of them.
        known = self._books.known(question)
        if known is not None:
            return Outcome(answer=known)
        return self._judge.outcome(question, line, dialect)

    def _take(  # noqa: PLR0913, PLR0917 - the question, what came, and where it goes
        self,
        question: Question,
        outcome: Outcome,
        state: BatchState,
        asked: bool,  # noqa: FBT001 - whether a record waits for it
        found: Collected,
        firsts: dict[str, FirstAnswer],
    ) -> None:
        if outcome.answer is not None:
            if asked or is_final(outcome.answer):
                self._keep(question, outcome.answer, found)
        elif not asked:
            return
        elif outcome.first is not None:
            firsts[question.id] = outcome.first
            found.again.append(question)
        elif outcome.refused:
            found.refused.add(outcome.refused)
            found.again.append(question)
        elif outcome.stop:
            found.stop = outcome.stop
            self._books.release([question])
        else:
            self._again(question, outcome.again, state, found)

    def _again(self, question: Question, why: str, state: BatchState, found: Collected) -> None:
        """Ask again what had no answer, unless somebody wants it to end, or it was tried often enough."""
        question.tries += 1
        cancelled = state.status == "cancelled"
        if not cancelled and question.tries <= self._judge.model.max_retries:
            found.again.append(question)
            return
        said = _CANCELLED if cancelled else f"{why} (batches: {question.tries})"
        self._keep(question, self._judge.failed(question, Failure.UNAVAILABLE, said), found)

    def _keep(self, question: Question, answer: Answer, found: Collected) -> None:
        known = self._books.known(question)
        found.answers[question.id] = self._books.keep(question, answer) if known is None else known
        if known is None:
            micro = int((answer.usage.usd * _MICRO).to_integral_value(ROUND_HALF_UP))
            found.counts["llm_cost_micro_usd"] += micro
            found.counts["llm_unusable"] += answer.failure is Failure.UNUSABLE
