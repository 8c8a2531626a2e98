"""Records, answers and policies for tests of what is decided about them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from router.decide import Policy
from router.gate import GateRule
from router.job import Label, Task
from router.records import Answer, Failure, LabelScores, Position, Record, Route, Usage, Work

if TYPE_CHECKING:
    from collections.abc import Sequence

SENTIMENT = Task(name="mood", instruction="Judge.", labels=(Label(name="bad"), Label(name="good")))
TOPICS = Task(
    name="topics",
    kind="multi_label",
    instruction="Tag.",
    labels=(Label(name="a"), Label(name="b"), Label(name="c")),
)


def policy(*, min_confidence: float = 0.8, escalate_to: str | None = "big") -> Policy:
    """Both tasks, and a large model unless told otherwise."""
    return Policy({"mood": SENTIMENT, "topics": TOPICS}, GateRule(min_confidence), escalate_to)


def record(text: str = "fine", task: str = "mood", *, offset: int = 0) -> Record:
    """A record at an offset of the first file."""
    return Record(Position(0, offset), f"r{offset}", text, task, None, b'{"text": "fine"}')


def scored(probabilities: Sequence[float], *, model: str = "small", usd: str = "0.001") -> Answer:
    """A local model's answer that took 10 tokens, half a second and `usd`."""
    usage = Usage(10, 6, 0, 0.5, Decimal(usd))
    return Answer(model, usage, scores=LabelScores(np.array(probabilities, dtype=np.float64)))


def said(*labels: str, model: str = "big", usd: str = "0.02") -> Answer:
    """An LLM's labels, for 100 tokens in and 5 out."""
    return Answer(model, Usage(100, 40, 5, 1.5, Decimal(usd)), labels=labels)


def failed(failure: Failure, *, model: str = "big", usd: str = "0", raw: str | None = None) -> Answer:
    """No answer."""
    usage = Usage(0, 0, 0, 0.0, Decimal(usd))
    return Answer(model, usage, failure=failure, detail=f"it was {failure.value}", raw=raw)


def work(
    *answers: Answer,
    task: str = "mood",
    model: str = "small",
    rule: int | None = None,
    ask: str | None = None,
    pilot: tuple[Answer, ...] = (),
) -> Work:
    """A record with the answers given so far."""
    return Work(record(task=task), Route("en", task, model, rule), ask, answers, pilot)
