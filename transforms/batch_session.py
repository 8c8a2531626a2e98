"""Asks a hosted model about many texts by the provider's batches, in rounds, until each has its answer.

A round is what is in flight together: batches of an earlier run that was killed, and new ones. What comes
back without an answer goes into the next round.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from router import batch_notes
from router.records import Failure
from transforms import llm_wire
from transforms.batch_books import Books
from transforms.batch_client import BatchClient, BatchUnavailableError
from transforms.batch_collector import Collected, Collector
from transforms.batch_queue import Queue
from transforms.batch_results import Judge, Question
from transforms.batch_sender import Sender
from transforms.batch_wire import CROWDED, ENDED, request_line, shown_errors
from transforms.llm_access import LlmStop, endpoint
from transforms.llm_reading import Reader

if TYPE_CHECKING:
    from router.batch_notes import Noted, Submission
    from router.records import Answer, Work
    from transforms.batch_books import LlmBatches
    from transforms.batch_wire import BatchState

_LOGGER = logging.getLogger(__name__)
_LATE = "not answered within batch.max_wait_hours; the batch goes on, and a later run takes it up"
_FAILED = "failed"


class BatchSession:
    """Asks one model about works, once. Close it."""

    def __init__(
        self,
        asked: LlmBatches,
        *,
        sleep: Callable[[float], None] = time.sleep,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Open client and books; nothing is sent yet.

        Raises:
            LlmStop: The key is missing or the URL is not one.
            ValueError: The model is not asked in batches.

        """
        self._client = BatchClient(asked.model, sleep=sleep, wall_clock=wall_clock)
        self._books = Books(asked)
        self._sender = Sender(asked, self._client, self._books, sleep=sleep, wall_clock=wall_clock)
        reader = Reader(asked.price, asked.model.max_output_tokens, self._client.clean)
        self._judge = Judge(asked.name, asked.model, reader, wall_clock)
        self._collector = Collector(self._client, self._books, self._judge)
        self._model = asked.model
        # OpenAI's own endpoint takes the new name for every model, the old one only for some.
        bounds = ("max_tokens", "max_completion_tokens")
        self._dialect = llm_wire.Dialect(token_bounds=bounds if asked.model.base_url else bounds[::-1])
        self._queue = Queue(asked.model, wall_clock)
        self._questions: dict[str, Question] = {}
        self._answers: dict[str, Answer] = {}
        self.counts: Counter[str] = Counter()
        """For metrics: requests, retries, batches, unusable answers and micro-dollars."""

    def close(self) -> None:
        """Abort what is under way and close the books; closing twice is harmless."""
        self._client.close()
        self._books.close()

    def answer(self, works: Iterable[Work]) -> list[Work]:
        """Ask about each text once, in the order of the records; returns the works with their answers.

        Raises:
            LlmStop: The endpoint has no batches, refuses the key, the model or a file, or cannot be reached
                and the job file says `when_dead: stop`.
            JournalError: An answer could not be kept.

        """
        ordered = sorted(works, key=lambda work: work.record.position)
        names = [self._ask(work) for work in ordered]
        flying = self._begin(self._books.notes.read())
        while flying or self._queue.waiting:
            flying += self._submit()
            self._land(flying)
            flying = []
        answers = [self._answers[name] for name in names]
        return [
            dataclasses.replace(work, ask=None, answers=(*work.answers, answer))
            for work, answer in zip(ordered, answers, strict=True)
        ]

    def _ask(self, work: Work) -> str:
        """Put a work's question down, or its answer where the journal has it; returns its custom id."""
        question = self._books.question(work)
        if question.id not in self._answers and question.id not in self._questions:
            known = self._books.known(question)
            if known is None:
                self._questions[question.id] = question
            else:
                self._answers[question.id] = known
        return question.id

    def _begin(self, noted: Noted) -> list[Submission]:
        """Put what is to be asked into the queue; returns what an earlier run has submitted."""
        for parameter in noted.refused:
            self._dialect = self._dialect.without(parameter) or self._dialect
        for name, (batch, first) in noted.firsts.items():
            if name in self._questions:
                self._questions[name].first, self._questions[name].first_of = first, batch
        try:
            flying = list(self._sender.recover(noted.open))
        except BatchUnavailableError as error:
            # Nothing is submitted that may be there already.
            self._lose(self._questions.values(), str(error), goes_on=True)
            return []
        needed = [one for one in flying if self._of(one)]
        for one in flying:
            if one not in needed:
                self._look_in(one)
        under_way = {name for one in needed for name in one.requests}
        for question in self._questions.values():
            if question.id in under_way:
                self._books.hold(question, sent=True)
            elif self._books.hold(question):
                self._queue.put([question])
            else:
                self._refuse(question)
        return needed

    def _look_in(self, one: Submission) -> None:
        """Take in a batch that no record needs now, where it has ended; else leave it to a run that does."""
        state = self._sender.look(one)
        if state is None or state.status not in ENDED:
            return
        if state.status == _FAILED:
            self._books.notes.write(batch_notes.ended(one.key, state.status))
        else:
            self._collect(one, state)

    def _refuse(self, question: Question) -> None:
        worst = self._books.worst(question)
        detail = f"a call may cost up to ${worst:f}, which is more than is left of budget.max_usd"
        answer = self._judge.failed(question, Failure.OVER_BUDGET, detail)
        self._answers[question.id] = self._books.keep(question, answer)

    def _submit(self) -> list[Submission]:
        """Submit what waits, in as many files as it needs; what cannot be submitted has failed."""
        made: list[Submission] = []
        for file in self._queue.files(self._line):
            names = [question.id for question in file.questions]
            try:
                made.append(self._sender.submit(names, file.content))
            except BatchUnavailableError as error:
                # Whether this one was made is not known; the others were not.
                self._lose(file.questions, str(error), goes_on=True)
                self._lose(self._queue.empty(), str(error))
                break
            self.counts["llm_batches"] += 1
            self.counts["llm_requests"] += len(names)
            self.counts["llm_retries"] += sum(question.tries > 0 for question in file.questions)
        return made

    def _line(self, question: Question) -> bytes:
        return request_line(question.id, self._judge.body(question, self._dialect))

    def _land(self, flying: Sequence[Submission]) -> None:
        """Wait for batches and take in what they hold; what is to be asked again goes into the queue."""
        refused: set[str] = set()
        again: list[Question] = []
        for one, state in self._sender.wait(flying):
            if state is None:
                self._lose(self._of(one), _LATE, goes_on=True)
            elif state.status == _FAILED:
                again += self._failed(one, state, alone=len(flying) == 1)
            else:
                found = self._collect(one, state)
                again += found.again
                refused |= found.refused
        for parameter in sorted(refused):
            self._dialect = self._dialect.without(parameter) or self._dialect
        # The records' order makes the next files the same, whichever batch ended first.
        waiting = {question.id for question in (*again, *self._queue.empty())}
        self._queue.put(question for name, question in self._questions.items() if name in waiting)

    def _collect(self, one: Submission, state: BatchState) -> Collected:
        try:
            found = self._collector.collect(one, state, self._questions, self._dialect)
        except BatchUnavailableError as error:
            self._lose(self._of(one), f"the batch's results cannot be fetched: {error}", goes_on=True)
            return Collected()
        self._answers |= found.answers
        self.counts.update(found.counts)
        if found.stop:
            raise LlmStop(found.stop)
        return found

    def _failed(self, one: Submission, state: BatchState, *, alone: bool) -> list[Question]:
        """Ask again where the provider's queue was full; else the file is wrong, and so will the next be."""
        questions = self._of(one)
        self._books.notes.write(batch_notes.ended(one.key, state.status))
        if CROWDED in state.error_codes and self._queue.crowded(len(one.requests), alone=alone):
            said = self._client.clean(shown_errors(state))
            _LOGGER.info("batch %s found the provider's queue full (%s)", state.id, said)
            self._sender.pause()
            return questions
        self._books.release(questions)
        records = [self._questions[name].record if name in self._questions else "" for name in one.requests]
        raise LlmStop(
            f"batch {state.id} of {len(one.requests):,} requests to {self._judge.name} was refused by "
            f"{endpoint(self._model)}: {self._client.clean(shown_errors(state, records))}"
        )

    def _of(self, one: Submission) -> list[Question]:
        """The questions of a batch that records ask."""
        return [self._questions[name] for name in one.requests if name in self._questions]

    def _lose(self, questions: Iterable[Question], why: str, *, goes_on: bool = False) -> None:
        """Give questions up for this run.

        Args:
            questions: Those that have no answer yet.
            why: What is in the way.
            goes_on: Whether their batch is or may be at the provider: then nothing is settled.

        Raises:
            LlmStop: The job file says `when_dead: stop`.

        """
        if self._model.when_dead == "stop":
            raise LlmStop(f"{why}. The job stops, as when_dead says; run the same command again to continue")
        for question in questions:
            answer = self._judge.failed(question, Failure.UNAVAILABLE, why)
            self._answers[question.id] = answer if goes_on else self._books.keep(question, answer)
