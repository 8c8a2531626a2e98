"""Certifying a gate: from the answers to a pilot to thresholds, and what may be said of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from router.gate import NOTHING, stated_threshold
from router.guarantee import Population, broken_at_most, certify_threshold, tolerated_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class CertifyingRows:
    """Uniformly drawn records that had no part in any fit."""

    confidence: npt.NDArray[np.float64]
    """Shape (rows,): of the small model's answers; -1 where it gave none."""
    agrees: npt.NDArray[np.bool_]
    """Shape (rows,): whether the oracle said the same; False where it has no answer."""
    large_agrees: npt.NDArray[np.bool_] | None = None
    """Shape (rows,): whether what escalated records get is the oracle's word. None: always, because it is
    the oracle that answers them."""
    slices: Sequence[str] = ()
    """The slice of each row, where the promise is asked per slice."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A threshold and what it rests on; `threshold` is `NOTHING` where no answer can be trusted."""

    threshold: float
    certified: bool
    """Whether the promise holds with it."""
    rows: int
    tolerated: int | None
    """Disagreements that the rows might show among the trusted; None where the rows are too few."""
    kept: int
    """Rows that are trusted."""
    disagreed: int
    """Disagreements among those."""

    def stated(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "threshold": stated_threshold(self.threshold),
            "certified": self.certified,
            "rows": self.rows,
            "tolerated": self.tolerated,
            "kept": self.kept,
            "disagreed": self.disagreed,
        }


@dataclass(frozen=True, slots=True)
class Certification:
    """The certificate of the whole job, or those of its slices."""

    whole: Certificate | None
    slices: Mapping[str, Certificate] = field(default_factory=dict)

    @property
    def certified(self) -> bool:
        """Whether the promise holds for everything that it was asked for."""
        found = [*self.slices.values(), *([] if self.whole is None else [self.whole])]
        return all(one.certified for one in found)


def certify(
    rows: CertifyingRows, *, target: float, delta: float, population: Population | None, escalates: bool
) -> Certificate:
    """Certify the whole job. `escalates` says whether there is a model that answers what is not trusted."""
    sure, right = rows.confidence, rows.agrees
    tolerated = tolerated_errors(len(sure), target=target, delta=delta, population=population)
    if rows.large_agrees is not None:
        found, tolerated = _with_fallible(rows, target=target, delta=delta, population=population)
        threshold, certified = (NOTHING, False) if found is None else (found, True)
    else:
        lowest = certify_threshold(sure, right, target=target, delta=delta, population=population)
        threshold, certified = (NOTHING, True) if lowest is None else (lowest, True)
    if not escalates:
        # Every answer stands, so the promise holds only where every answer may be trusted.
        certified = bool(threshold <= sure.min(initial=NOTHING)) and threshold < NOTHING
        threshold = 0.0
    # A model's answer that is missing is never trusted.
    threshold = max(threshold, 0.0)
    kept = sure >= threshold
    return Certificate(
        threshold, certified, len(sure), tolerated, int(kept.sum()), int((kept & ~right).sum())
    )


def _with_fallible(
    rows: CertifyingRows, *, target: float, delta: float, population: Population | None
) -> tuple[float | None, int | None]:
    """The threshold where escalated records too may differ from the oracle, and the tolerated differences.

    Thresholds are tested one after the other from the strictest on, each exactly and at `delta`, until the
    first that cannot be certified (fixed-sequence testing: Maurer, Hothorn and Lehmacher 1995). Their order
    depends on the confidences alone, not on what the oracle said.
    """
    sure, large = rows.confidence, rows.large_agrees
    tolerated = broken_at_most(len(sure), target=target, delta=delta, population=population)
    if tolerated is None or large is None:
        return None, tolerated
    # From the strictest on, each threshold trusts the records of one more confidence, ties together.
    order = np.argsort(-sure, kind="stable")
    sure, trusted, escalated = sure[order], ~rows.agrees[order], ~large[order]
    wrong = escalated.sum() + np.append(0, np.cumsum(trusted.astype(np.int64) - escalated))
    ends = np.flatnonzero(np.append(sure[:-1] != sure[1:], True) & (sure >= 0.0))
    tested = wrong[np.append(0, ends + 1)] <= tolerated
    passed = int(np.argmin(np.append(tested, False)))
    if not passed:
        return None, tolerated
    return (NOTHING if passed == 1 else float(sure[ends[passed - 2]])), tolerated


def certify_slices(
    rows: CertifyingRows, slices: int, *, target: float, delta: float, escalates: bool
) -> dict[str, Certificate]:
    """Certify each slice that the rows show, with its share of `delta`; all others are escalated.

    Args:
        rows: with their `slices`.
        slices: how many slices the job has; at least those that the rows show.
        target: the fraction that must agree in each slice.
        delta: the probability that the promise is broken in any slice.
        escalates: whether there is a model that answers what is not trusted.
    """
    names = np.asarray(rows.slices, dtype=object)
    share = delta / max(1, slices)
    found = {}
    for name in sorted(set(rows.slices)):
        at = names == name
        large = None if rows.large_agrees is None else rows.large_agrees[at]
        part = CertifyingRows(rows.confidence[at], rows.agrees[at], large)
        # How many records of a slice the job has is not known exactly, so it is taken for unbounded.
        found[name] = certify(part, target=target, delta=share, population=None, escalates=escalates)
    return found
