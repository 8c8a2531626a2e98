"""Models side by side on the same records: quality, speed, cost and failures, over all and by segment.

The records are a uniform sample of a job's input that every model was asked about, with what the oracle said
of each. Which models a job should ask is chosen from the same figures elsewhere (`router.proposal`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from router.evaluation import share
from router.records import write_money

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from router.evaluation import Share

    Mask = npt.NDArray[np.bool_]
    Values = npt.NDArray[np.float64]

Segment = tuple[str, str]
"""A part of the records: `language`, `domain` or `task`, and which one."""

KINDS = ("language", "domain", "task")
_THOUSAND = 1000
_MICRO = Decimal("0.000001")
_SLOWEST = 0.95


@dataclass(frozen=True, slots=True)
class Tagged:
    """What a rule may ask of a record."""

    language: str
    domain: str | None
    """None where it cannot be told: no rule matches that."""
    task: str


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What a model said of the records, as it was asked; arrays have shape (records,)."""

    answered: Mask
    """False where it failed."""
    right: Mask
    """Whether it said what the oracle said; False where it failed."""
    usd: tuple[Decimal, ...]
    seconds: Values
    tokens: tuple[int, int]
    """Of prompts and of answers, over all records."""


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """How a small model's answers read where a pilot has taught it; each by a fit without the record."""

    confidence: Values
    """Shape (records,): the probability that the answer is the oracle's; -1 where there is none."""
    right: Mask
    threshold: float
    """From which confidence on its answers could be kept, if it were the only small model."""

    @property
    def kept(self) -> Mask:
        """Whether the answer could be kept."""
        return self.confidence >= max(self.threshold, 0.0)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a model is worth on some of the records."""

    records: int
    failed: int
    quality: Share
    """Answers as the oracle's, of those that were given."""
    learned: Share | None
    """The same as a pilot teaches to read them; None for models that give no scores."""
    kept: Share | None
    """Records whose answer could be kept; None likewise."""
    usd_per_thousand: Decimal
    records_per_second: float | None
    """Of one worker process; None where the answers took no time."""
    median_seconds: float | None
    slowest_seconds: float | None
    """What 95 of 100 answers do not exceed."""

    def stated(self) -> dict[str, Any]:
        """As JSON values; money is text."""
        value = asdict(self)
        value["usd_per_thousand"] = write_money(self.usd_per_thousand)
        return value


def segments_of(tags: Sequence[Tagged], least: int = 1) -> dict[Segment, Mask]:
    """Which records are in each segment that has at least so many, the largest of each kind first.

    A kind of which there is one value only is left out: it tells nothing apart.
    """
    found: dict[Segment, Mask] = {}
    for kind in KINDS:
        values = np.array([getattr(one, kind) or "" for one in tags], dtype=object)
        counts = Counter(values)
        if len(counts) < 2:  # noqa: PLR2004 - see above
            continue
        for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
            if name and count >= least:
                found[kind, name] = values == name
    return found


def figures(said: Said, learned: Learned | None, at: Mask) -> Figures:
    """What a model is worth on the records in `at`, a mask of shape (records,)."""
    answered = at & said.answered
    records, given = int(at.sum()), int(answered.sum())
    usd = sum((cost for cost, wanted in zip(said.usd, at, strict=True) if wanted), Decimal(0))
    seconds = said.seconds[answered]
    total = float(seconds.sum())
    return Figures(
        records,
        records - given,
        share(int((answered & said.right).sum()), given),
        None if learned is None else share(int((answered & learned.right).sum()), given),
        None if learned is None else share(int((at & learned.kept).sum()), records),
        (usd / records * _THOUSAND).quantize(_MICRO) if records else Decimal(0),
        given / total if total > 0.0 else None,
        float(np.median(seconds)) if given else None,
        float(np.quantile(seconds, _SLOWEST)) if given else None,
    )


def side_by_side(
    models: Mapping[str, tuple[Said, Learned | None]], segments: Mapping[Segment, Mask], records: int
) -> dict[str, Any]:
    """The figures of all models over all records and in each segment, as JSON values."""
    everywhere = np.ones(records, bool)

    def row(at: Mask) -> dict[str, Any]:
        return {name: figures(said, learned, at).stated() for name, (said, learned) in models.items()}

    by: dict[str, dict[str, Any]] = {}
    for (kind, name), at in segments.items():
        by.setdefault(kind, {})[name] = row(at)
    return {"all": row(everywhere), "by": by}
