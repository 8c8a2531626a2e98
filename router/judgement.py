"""What a judge was asked, what it did step by step, and what it decided; as values and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from router.records import Answer, Failure, Usage, write_money

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class View:
    """What one model said of a record."""

    model: str
    labels: tuple[str, ...]
    confidence: float | None
    scores: tuple[tuple[str, float], ...] = ()
    """(label, probability), highest first; empty where the model gave none."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """Why a record is judged."""

    why: str
    """In words: who disagreed with whom, or who was unsure."""
    views: tuple[View, ...]
    """What was said so far, in the order in which the models were asked; the last one stands for now."""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool that the judge called."""

    tool: str
    arguments: str
    """As JSON; what the model sent, where that was not valid."""
    result: str
    """What it was told."""
    valid: bool = True
    """Whether the arguments were what the tool takes."""


@dataclass(frozen=True, slots=True)
class Step:
    """One request to the judge's model, and what came of it."""

    asked: str
    """What was sent, in short."""
    said: str
    """The text that it wrote beside its calls."""
    tools: tuple[ToolUse, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of it: a verdict, a call for a person, or neither."""

    reason: str
    labels: tuple[str, ...] | None = None
    """The verdict; None where there is none."""
    failure: Failure | None = None
    """Why there is no verdict; None beside one, and where a person is needed."""
    steps: tuple[Step, ...] = ()
    calls: Mapping[str, Usage] = field(default_factory=dict)
    """What it took, by model: the judge's own requests, and other models that it asked."""

    @property
    def needs_human(self) -> bool:
        """Whether it says that a person must decide."""
        return self.labels is None and self.failure is None


def as_answer(judgement: Judgement, name: str) -> Answer:
    """A judgement as a line of the journal: its money is not in it, for that is journaled call by call."""
    value = {"steps": judgement.steps, "calls": judgement.calls}
    return Answer(
        name,
        Usage(),
        labels=judgement.labels,
        failure=judgement.failure,
        detail=judgement.reason,
        raw=orjson.dumps(value, default=write_money).decode(),
    )


def of_answer(answer: Answer) -> Judgement | None:
    """The judgement of a line of the journal; None where it is damaged."""
    try:
        value = orjson.loads(answer.raw or "")
        steps = tuple(_step(one) for one in value["steps"])
        calls = {name: _usage(one) for name, one in value["calls"].items()}
    except (ValueError, KeyError, TypeError, ArithmeticError):
        return None
    return Judgement(answer.detail, answer.labels, answer.failure, steps, calls)


def _step(value: Mapping[str, Any]) -> Step:
    tools = tuple(ToolUse(**one) for one in value["tools"])
    return Step(value["asked"], value["said"], tools, _usage(value["usage"]))


def _usage(value: Mapping[str, Any]) -> Usage:
    return Usage(**{**value, "usd": Decimal(value["usd"])})


@dataclass(frozen=True, slots=True)
class Judged:
    """How a record was judged, as its row tells it."""

    dispute: Dispute
    judgement: Judgement
    changed: bool
    """Whether the verdict differs from what the large model had said."""
