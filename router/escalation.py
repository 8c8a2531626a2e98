"""What becomes of records that small models answer first, and what is not kept a large one.

How much is kept is settled as a run settles it (`router.certification`), on records that all models answered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.certification import CertifyingRows, certify
from router.evaluation import share
from router.guarantee import broken_at_most

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from router.evaluation import Share

    Mask = npt.NDArray[np.bool_]
    Values = npt.NDArray[np.float64]
    Places = npt.NDArray[np.int64]
    Names = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Terms:
    """The promise that is asked for."""

    target: float
    delta: float


@dataclass(frozen=True, slots=True, eq=False)
class Small:
    """A model whose answers a gate can judge; arrays have shape (records,)."""

    usd: Values
    confidence: Values
    """From a fit without the record; -1 where there is no answer."""
    agrees: Mask
    """Whether the gate's oracle said the same."""
    right: Mask
    """Whether the oracle of the comparison said the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Large:
    """A model that answers what is not kept, with the small models as a gate before it reads them."""

    name: str
    usd: Values
    right: Mask
    """Whether the oracle of the comparison said the same."""
    small: Mapping[str, Small]
    agrees: Mask | None = None
    """Whether the gate's oracle said the same; None where this model is the gate's oracle."""

    @classmethod
    def nobody(cls, small: Mapping[str, Small], records: int) -> Large:
        """No model at all: what small models say stands, and must reach the target by itself."""
        return cls("", np.zeros(records), np.zeros(records, bool), small)

    @property
    def answers(self) -> bool:
        """Whether there is a model."""
        return bool(self.name)

    @property
    def is_oracle(self) -> bool:
        """Whether everything that it answers is right by definition."""
        return self.agrees is None and bool(self.right.all())


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What becomes of records; arrays have shape (records,)."""

    usd: Values
    right: Mask
    escalated: Mask
    """Whether the large model answers."""

    @property
    def quality(self) -> Share:
        """Share of records that get the oracle's answer."""
        return share(int(self.right.sum()), len(self.right))

    @property
    def cost(self) -> float:
        """Mean dollars a record."""
        return float(self.usd.mean())


@dataclass(frozen=True, slots=True, eq=False)
class First:
    """What the first models said of all records."""

    usd: Values
    confidence: Values
    agrees: Mask
    right: Mask


def first_of(large: Large, firsts: Names) -> First:
    """Records that go to the large model at once cost nothing before it, and nothing of them is kept."""
    size = len(large.usd)
    found = First(np.zeros(size), np.full(size, -1.0), np.zeros(size, bool), np.zeros(size, bool))
    for name, small in large.small.items():
        at = firsts == name
        for into, of in (
            (found.usd, small.usd),
            (found.confidence, small.confidence),
            (found.agrees, small.agrees),
            (found.right, small.right),
        ):
            into[at] = of[at]
    return found


def outcome(large: Large, firsts: Names, threshold: float, at: Places) -> Outcome:
    """What becomes of records where small models' answers are kept from a threshold on."""
    return outcome_of(large, first_of(large, firsts), threshold, at)


def outcome_of(large: Large, first: First, threshold: float, at: Places) -> Outcome:
    """The same of first models whose answers are known already."""
    escalated = first.confidence[at] < max(threshold, 0.0)
    usd = first.usd[at] + np.where(escalated, large.usd[at], 0.0)
    return Outcome(usd, np.where(escalated, large.right[at], first.right[at]), escalated)


def settle(large: Large, firsts: Names, at: Places, terms: Terms) -> float | None:
    """The threshold that a run would settle on with the records at these places; None: none reaches it.

    As of an input of unknown size: records that a run's pilot takes from a small one are not made up for.
    """
    return settle_of(large, first_of(large, firsts), at, terms)


def settle_of(large: Large, first: First, at: Places, terms: Terms) -> float | None:
    """The same of first models whose answers are known already."""
    escalated = None if large.agrees is None else large.agrees[at]
    rows = CertifyingRows(first.confidence[at], first.agrees[at], escalated)
    found = certify(rows, target=terms.target, delta=terms.delta, population=None, escalates=large.answers)
    if not found.certified:
        return None
    if large.is_oracle or large.agrees is not None:
        return found.threshold
    # The gate promises agreement with this model, and the target is about another one's word.
    wrong = int((~outcome_of(large, first, found.threshold, at).right).sum())
    return found.threshold if may_be(wrong, len(at), terms) else None


def may_be(wrong: int, sampled: int, terms: Terms) -> bool:
    """Whether so few are wrong that the target is reached, with all but `delta`."""
    most = broken_at_most(sampled, target=terms.target, delta=terms.delta)
    return most is not None and wrong <= most


def saved(one: Outcome, other: Outcome) -> tuple[float, float]:
    """Mean dollars a record by which the second is cheaper, and the standard error of that."""
    less = one.usd - other.usd
    return float(less.mean()), float(less.std(ddof=1) / math.sqrt(len(less))) if len(less) > 1 else math.inf
