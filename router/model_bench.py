"""How files of a model compare: speed by turns, and what their answers are worth on the same records."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from router.evaluation import quality, share, write_labels
from router.oracle import gold_labels
from router.verdict import read_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from router.bias import LabelBias
    from router.job import Task
    from router.records import Answer, Record


@dataclass(frozen=True, slots=True)
class Turn:
    """The same part of the records, answered by one model."""

    records: int
    tokens: int
    """Evaluated: what a cached prefix held is not among them."""
    seconds: float


def turn_of(answers: Sequence[Answer]) -> Turn:
    """What answering took; records on which the engine failed took nothing."""
    used = [answer.usage for answer in answers if answer.scores is not None]
    tokens = sum(one.input_tokens - one.cached_tokens for one in used)
    return Turn(len(used), tokens, sum(one.seconds for one in used))


def speed(turns: Sequence[Turn], first: Sequence[Turn]) -> dict[str, Any]:
    """Medians over the turns, and how many times as fast as the first model: the median of the turns' ratios.

    A turn of one model is compared with the same turn of the other, right before or after it, so that what
    else the machine does weighs on both.
    """
    timed = [one for one in turns if one.seconds > 0.0]
    pairs = [(a, b) for a, b in zip(turns, first, strict=True) if a.seconds > 0.0 and b.seconds > 0.0]
    return {
        "records_per_second": median(one.records / one.seconds for one in timed) if timed else None,
        "tokens_per_second": median(one.tokens / one.seconds for one in timed) if timed else None,
        "times_first": median((a.records / a.seconds) / (b.records / b.seconds) for a, b in pairs)
        if pairs
        else None,
        "turns": [asdict(one) for one in turns],
    }


@dataclass(frozen=True, slots=True)
class Said:
    """What a model said of a record."""

    label: str
    """In multi_label tasks its labels, as `router.evaluation.write_labels` writes them."""
    confidence: float | None


def read_said(answers: Sequence[Answer], task: Task, bias: LabelBias | None) -> list[Said | None]:
    """The answers as a run reads them; None where the engine failed."""
    found: list[Said | None] = []
    for answer in answers:
        readings = {} if bias is None else {(answer.model, task.name): bias}
        verdict = read_answer(answer, task, readings)
        found.append(None if verdict is None else Said(_one(verdict.labels, task), verdict.confidence))
    return found


def read_truth(records: Sequence[Record], task: Task) -> list[str]:
    """What is true of the records, in the form of `Said.label`.

    Raises `ValueError` for a label that the task does not have.
    """
    return [_one(tuple(gold_labels(record.gold, task) or ()), task) for record in records]


def _one(labels: tuple[str, ...], task: Task) -> str:
    return write_labels(labels) if task.kind == "multi_label" else labels[0]


def worth(
    said: Sequence[Said | None], first: Sequence[Said | None], truth: Sequence[str], *, multi: bool
) -> dict[str, Any]:
    """Accuracy and calibration of a model's answers, and how they differ from the first model's."""
    answered = [(one, gold) for one, gold in zip(said, truth, strict=True) if one is not None]
    found = quality(
        [one.label for one, _ in answered],
        [gold for _, gold in answered],
        [one.confidence for one, _ in answered],
        multi=multi,
    )
    both = [
        (one.label, other.label, gold)
        for one, other, gold in zip(said, first, truth, strict=True)
        if one is not None and other is not None
    ]
    return {
        "accuracy": found["accuracy"],
        "macro_f1": found["macro_f1"],
        "calibration_error": found["calibration"]["expected_error"],
        "agreement": asdict(share(sum(one == other for one, other, _ in both), len(both))),
        "gained": sum(one == gold != other for one, other, gold in both),
        "lost": sum(other == gold != one for one, other, gold in both),
        "failed": len(said) - len(answered),
    }
