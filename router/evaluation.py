"""How good annotations are against true labels: accuracy, F1, calibration, and what a threshold would keep.

Plain functions on arrays; `pipelines.evaluate` reads an output and calls them.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    import numpy.typing as npt

LEVEL = 0.95
"""Confidence level of the intervals."""
BINS = 10


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many, with an exact interval for the rate behind it."""

    count: int
    of: int
    rate: float | None
    low: float
    high: float


def share(count: int, of: int, level: float = LEVEL) -> Share:
    """A rate with its Clopper-Pearson interval (Clopper and Pearson 1934): exact at any size.

    Raises:
        ValueError: more were counted than there are, or a number is negative.
    """
    if not 0 <= count <= of:
        raise ValueError(f"{count} of {of}: give a count between 0 and the whole")
    if of == 0:
        return Share(0, 0, None, 0.0, 1.0)
    # Importing it takes a quarter of a second, for which a run would have to wait at its start.
    from scipy import special  # noqa: PLC0415 - see above

    tail = (1.0 - level) / 2.0
    low = 0.0 if count == 0 else float(special.betaincinv(count, of - count + 1, tail))
    high = 1.0 if count == of else float(special.betaincinv(count + 1, of - count, 1.0 - tail))
    return Share(count, of, count / of, low, high)


@dataclass(frozen=True, slots=True)
class LabelQuality:
    """One label of a task."""

    label: str
    precision: Share
    recall: Share
    f1: float


def label_quality(said: Sequence[AbstractSet[str]], gold: Sequence[AbstractSet[str]]) -> list[LabelQuality]:
    """Precision, recall and F1 of every label that was said or is true, in alphabetical order.

    Args:
        said: The labels of each answer: one in single_label tasks, any number in multi_label tasks.
        gold: The true labels of the same records.
    """
    hits = Counter(label for s, g in zip(said, gold, strict=True) for label in s & g)
    given = Counter(label for labels in said for label in labels)
    true = Counter(label for labels in gold for label in labels)
    return [
        LabelQuality(
            label,
            share(hits[label], given[label]),
            share(hits[label], true[label]),
            2.0 * hits[label] / (given[label] + true[label]),
        )
        for label in sorted({*given, *true})
    ]


def confusion(said: Sequence[str], gold: Sequence[str]) -> dict[str, dict[str, int]]:
    """How often each true answer was called what: `confusion[true][said]`, without zeros."""
    table: dict[str, Counter[str]] = {}
    for s, g in zip(said, gold, strict=True):
        table.setdefault(g, Counter())[s] += 1
    return {label: dict(sorted(table[label].items())) for label in sorted(table)}


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of about the same confidence: how sure they were, and how often right."""

    records: int
    confidence: float
    accuracy: float


def reliability(confidence: npt.ArrayLike, right: npt.ArrayLike, bins: int = BINS) -> list[Bin]:
    """Answers in bins of equal size by confidence, least confident first; ties stay together."""
    scores, hits = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    order = np.argsort(scores, kind="stable")
    scores, hits = scores[order], hits[order]
    found, begin = [], 0
    for number in range(1, bins + 1):
        end = max(begin, round(number * len(scores) / bins))
        while 0 < end < len(scores) and scores[end] == scores[end - 1]:
            end += 1
        if end > begin:
            part = slice(begin, end)
            found.append(Bin(end - begin, float(scores[part].mean()), float(hits[part].mean())))
        begin = max(begin, end)
    return found


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy, weighted by records.

    Source: Naeini, Cooper and Hauskrecht, AAAI 2015, with bins of equal size in place of equal width.
    """
    total = sum(one.records for one in bins)
    return sum(one.records * abs(one.confidence - one.accuracy) for one in bins) / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a threshold keeps, and how often that is wrong."""

    threshold: float
    kept: float
    accuracy: float


def risk_coverage(confidence: npt.ArrayLike, right: npt.ArrayLike, points: int = 20) -> list[Coverage]:
    """For thresholds from strict to loose: the share of records kept, and their accuracy."""
    scores, hits = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    if not len(scores):
        return []
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(hits[order])
    # Where the next score is the same, a threshold cannot stop.
    ends = np.flatnonzero(np.append(scores[:-1] != scores[1:], True)) + 1
    wanted = np.unique(np.searchsorted(ends, np.linspace(1, len(scores), points)).clip(max=len(ends) - 1))
    return [
        Coverage(float(scores[end - 1]), float(end / len(scores)), float(hits[end - 1] / end))
        for end in ends[wanted]
    ]


def quality(
    said: Sequence[str], gold: Sequence[str], confidence: Sequence[float | None], *, multi: bool = False
) -> dict[str, Any]:
    """Everything about the answers to a task, as JSON values.

    Calibration and coverage are about the answers that carry a confidence.

    Args:
        said: The label of each answer; in a multi_label task its labels, as `write_labels` writes them.
        gold: What is true, in the same form. An answer is right where the two are equal.
        confidence: Of each answer; None where there is none.
        multi: Whether the task has several labels. Precision, recall and F1 are about single labels then too.
    """
    right = [s == g for s, g in zip(said, gold, strict=True)]
    labels = label_quality([_labels(one, multi) for one in said], [_labels(one, multi) for one in gold])
    sure = [(c, r) for c, r in zip(confidence, right, strict=True) if c is not None]
    scores, hits = [c for c, _ in sure], [r for _, r in sure]
    bins = reliability(scores, hits)
    return {
        "accuracy": asdict(share(sum(right), len(right))),
        "macro_f1": float(np.mean([one.f1 for one in labels])) if labels else None,
        "labels": [asdict(one) for one in labels],
        "confusion": confusion(said, gold),
        "calibration": {
            "records": len(sure),
            "expected_error": calibration_error(bins) if sure else None,
            "bins": [asdict(one) for one in bins],
        },
        "risk_coverage": [asdict(one) for one in risk_coverage(scores, hits)],
    }


def write_labels(labels: Iterable[str]) -> str:
    """A set of labels as text: the same for every order, and with repetitions."""
    return json.dumps(sorted(set(labels)), ensure_ascii=False)


def read_labels(written: str) -> list[str]:
    """The labels that `write_labels` wrote."""
    found: list[str] = json.loads(written)
    return found


def list_labels(labels: Iterable[object]) -> list[str]:
    """A list of true labels, whatever the input has put into it; empty places are none."""
    return sorted(
        {
            one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)
            for one in labels
            if one is not None
        }
    )


def read_gold(gold: str) -> list[str]:
    """True labels of a multi_label task as the input has them: a JSON list, or one label."""
    try:
        found = json.loads(gold)
    except ValueError:
        found = None
    if isinstance(found, list):
        return list_labels(found)
    # `true` and `1.0` are no lists: they are labels of that name.
    return [found if isinstance(found, str) else gold]


def _labels(answer: str, multi: bool) -> set[str]:  # noqa: FBT001 - the one kind of task or the other
    return set(read_labels(answer)) if multi else {answer}
