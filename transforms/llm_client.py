"""Asks an LLM for labels until it has them or knows why not.

A call fails in one of three ways: the endpoint is not available (wait, try again), its answer is of no use
(ask once more), or nothing will help (`LlmStop`). Whatever was billed on the way is on the reply.
"""

from __future__ import annotations

import os
import random
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from router.breaker import Breaker, Outage, Ticket
from router.llm_prompt import messages, output_bound, reminder
from router.records import Failure, Usage
from router.retrieval import NOTHING_FOUND
from transforms import llm_wire
from transforms.call_pool import CallPool
from transforms.llm_access import LlmStop, api_key, preflight
from transforms.llm_network import BrokenTransfer, ErrorStatus, Network
from transforms.llm_reading import MAX_RAW_CHARACTERS, Reader, without_key
from transforms.llm_trouble import MAX_WAIT_SECONDS, Trouble, trouble_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from router.job import OpenAIModel, Task
    from router.prices import TokenPrice
    from router.retrieval import Found

    _Parameters = Callable[[llm_wire.Dialect], dict[str, Any]]

__all__ = ["MAX_RAW_CHARACTERS", "LlmClient", "LlmReply", "LlmStop", "preflight"]

PAUSE_SECONDS = 30.0
"""How long an endpoint that counts as dead is left alone at first."""


@dataclass(frozen=True, slots=True)
class LlmReply:
    """What came of asking about one record: labels, or a failure."""

    labels: tuple[str, ...] | None
    failure: Failure | None
    detail: str
    """What went wrong on the way, also where labels came in the end; empty where nothing did."""
    raw: str | None
    """The text that could not be used, at most `MAX_RAW_CHARACTERS`; None beside labels."""
    usage: Usage
    """Sum over all billed calls of this record, those with unusable answers included."""
    requests: int = 0
    retries: int = 0
    confidence: float | None = None
    """How sure the model was; None where it was not asked or does not tell."""


@dataclass(frozen=True, slots=True)
class Completed:
    """What came of a request that is not about labels."""

    body: bytes | None
    """The response; None where there is none."""
    failure: Failure | None
    detail: str
    seconds: float
    requests: int
    retries: int


@dataclass(slots=True)
class _Tally:
    """What one record has used up so far; lives and dies within one call of `label`."""

    requests: int = 0
    retries: int = 0
    usage: Usage = field(default_factory=Usage)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one question came to."""

    labels: tuple[str, ...] | None = None
    failure: Failure | None = None
    detail: str = ""
    raw: str | None = None
    answered: bool = True
    confidence: float | None = None


class LlmClient:
    """A client of one endpoint, for any number of threads. Close it, or let it be collected."""

    def __init__(  # noqa: PLR0913 - the last five are the outside world, injected by tests
        self,
        model: OpenAIModel,
        price: TokenPrice,
        *,
        confidence: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Open the client; nothing is sent yet. With `confidence`, answers say how sure the model was.

        Raises:
            LlmStop: The key is missing or the URL is not one.

        """
        preflight(model, environ)
        self._model = model
        self._confidence = confidence
        self._sleep, self._clock, self._wall_clock, self._jitter = sleep, clock, wall_clock, jitter
        self._key = api_key(model, environ)
        self._reader = Reader(price, model.max_output_tokens, self.clean)
        self._lock = threading.Lock()
        self._breaker = Breaker(model.max_failures, PAUSE_SECONDS, clock)
        # OpenAI's own endpoint takes the new name for every model, the old one only for some.
        bounds = ("max_tokens", "max_completion_tokens")
        self._dialect = llm_wire.Dialect(token_bounds=bounds if model.base_url else bounds[::-1])
        self._network = Network(model, self._key)
        self.calls = CallPool(model.concurrency)

    def close(self) -> None:
        """Abort what is under way and end the threads; closing twice is harmless."""
        self.calls.close()
        self._network.close()

    def label_all(self, questions: Sequence[tuple[Task, str]]) -> list[LlmReply]:
        """Label many texts, `model.concurrency` at a time; the replies are in the order of the questions.

        Raises:
            LlmStop: The job cannot go on. Questions that were not asked yet are not asked any more.

        """
        return self.calls.each(lambda question: self.label(*question), questions)

    def label(self, task: Task, text: str, found: Found = NOTHING_FOUND) -> LlmReply:
        """Label one text, with what was found for it: ask, and once more where the answer cannot be used.

        Raises:
            LlmStop: The endpoint refuses the key, knows neither model nor URL, or is dead and ends the job.

        """
        started = self._clock()
        tally = _Tally()
        chat = messages(task, text, found)
        outcome = self._ask(task, text, chat, tally)
        if outcome.failure is Failure.UNUSABLE and outcome.answered:
            tally.notes.append(f"the first answer could not be used: {outcome.detail}")
            again = self._ask(task, text, [*chat, *reminder(outcome.raw, task, outcome.detail)], tally)
            kept = None if again.labels is not None else again.raw or outcome.raw
            outcome = replace(again, raw=kept)
        return LlmReply(
            labels=outcome.labels,
            failure=outcome.failure,
            detail="; ".join(dict.fromkeys(part for part in (outcome.detail, *tally.notes) if part)),
            raw=outcome.raw,
            usage=replace(tally.usage, seconds=self._clock() - started),
            requests=tally.requests,
            retries=tally.retries,
            confidence=outcome.confidence,
        )

    def complete(self, chat: Sequence[Mapping[str, Any]], parameters: _Parameters) -> Completed:
        """Have a chat continued, whatever it is about; what the answer says and cost is the caller's to read.

        Args:
            chat: The messages.
            parameters: The request's other parameters, in the words of the endpoint's dialect.

        Raises:
            LlmStop: As in `label`.

        """
        started, tally = self._clock(), _Tally()
        body = self._deliver(chat, parameters, tally)
        trouble = body if isinstance(body, Trouble) else None
        notes = (*((trouble.detail,) if trouble else ()), *tally.notes)
        return Completed(
            None if isinstance(body, Trouble) else body,
            trouble.failure if trouble else None,
            "; ".join(dict.fromkeys(notes)),
            self._clock() - started,
            tally.requests,
            tally.retries,
        )

    def clean(self, text: str) -> str:
        """Foreign text without the key, should it hold that."""
        return without_key(text, self._key)

    def _ask(self, task: Task, text: str, chat: list[dict[str, str]], tally: _Tally) -> _Outcome:
        bound, confidence = output_bound(task, self._model.max_output_tokens), self._confidence
        body = self._deliver(
            chat, lambda dialect: dialect.parameters(task, bound, confidence=confidence), tally
        )
        if isinstance(body, Trouble):
            return _Outcome(failure=body.failure, detail=body.detail, answered=False)
        reading = self._reader.read(task, text, chat, body)
        tally.usage += reading.usage
        if reading.note:
            tally.notes.append(reading.note)
        if reading.labels is not None:
            return _Outcome(labels=reading.labels, confidence=reading.confidence)
        return _Outcome(failure=Failure.UNUSABLE, detail=reading.detail, raw=reading.raw)

    def _deliver(
        self, chat: Sequence[Mapping[str, Any]], parameters: _Parameters, tally: _Tally
    ) -> bytes | Trouble:
        """Send a question unless the endpoint counts as dead, and let the breaker know what came of it."""
        ticket = self._breaker.admit()
        if isinstance(ticket, Outage):
            return self._dead(ticket)
        try:
            answer = self._send(chat, parameters, tally, ticket)
        except BaseException:  # nobody could probe any more if the ticket were lost
            self._breaker.abandon(ticket)
            raise
        if isinstance(answer, bytes) or answer.alive:
            self._breaker.answered(ticket)
            return answer
        now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self._wall_clock()))
        self._breaker.failed(ticket, f"{now}: {answer.detail}")
        outage = self._breaker.outage
        return self._dead(outage) if outage and self._model.when_dead == "stop" else answer

    def _dead(self, outage: Outage) -> Trouble:
        """Return what a record gets that is not asked; raises `LlmStop` where the job is to stop instead."""
        count = f"records in a row without an answer: {outage.failures}"
        said = f"the endpoint counts as dead ({count}). It failed last at {outage.last}"
        if self._model.when_dead == "stop":
            raise LlmStop(f"{said}. The job stops, as when_dead says; run the same command again to continue")
        return Trouble(f"not asked: {said}", Failure.UNAVAILABLE)

    def _send(
        self, chat: Sequence[Mapping[str, Any]], wanted: _Parameters, tally: _Tally, ticket: Ticket
    ) -> bytes | Trouble:
        """Send a question until it is answered or given up; negotiate the parameters on the way."""
        while True:
            dialect = self._dialect
            parameters = wanted(dialect)
            tally.requests += 1
            answer = self._network.send({"model": self._model.model, "messages": chat, **parameters})
            if isinstance(answer, ErrorStatus) and self._renegotiate(dialect, parameters, answer):
                continue
            if isinstance(answer, bytes):
                return answer
            if isinstance(answer, BrokenTransfer) and answer.maybe_billed:
                tally.notes.append("a request without a complete answer may have been billed")
            trouble = trouble_of(answer, self._model, self._wall_clock(), self.clean)
            if trouble.failure is None:
                raise LlmStop(trouble.detail)
            if trouble.alive:
                self._breaker.answered(ticket)
            allowed = self._model.max_retries if ticket.retries or trouble.alive else 0
            delay = max(llm_wire.backoff(tally.retries, self._jitter()), trouble.wait)
            hopeless = not trouble.retry or tally.retries >= allowed or delay > MAX_WAIT_SECONDS
            if hopeless or not self._wait(delay):
                return replace(trouble, detail=f"{trouble.detail} (requests: {tally.requests})")
            tally.retries += 1

    def _wait(self, seconds: float) -> bool:
        """Wait before the next try; False where others found the endpoint dead before or meanwhile."""
        if self._breaker.outage:
            return False
        self._sleep(seconds)
        return self._breaker.outage is None

    def _renegotiate(self, dialect: llm_wire.Dialect, sent: Mapping[str, Any], error: ErrorStatus) -> bool:
        """Give up the parameter that an error names, for the client's life; False where it names none."""
        if not llm_wire.is_about_parameters(error.status, error.said):
            return False
        refused = llm_wire.refused_parameter(error.said, error.parameter, sent)
        poorer = None if refused is None else dialect.without(refused)
        if poorer is None:
            return False
        with self._lock:
            # Another thread may have learnt it in the meantime; then what it learnt is tried next.
            if self._dialect == dialect:
                self._dialect = poorer
        return True
