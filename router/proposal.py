"""Which models a job should ask: the cheapest way to a target, from a sample that all have answered.

A way is a small model for every record, another one for some segments, and a large model for what no small
one is trusted with. How much that is, is settled as a run settles it (`router.certification`), so every way
that is weighed reaches the target on the records it was chosen on, or it is no way at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from router.certification import CertifyingRows, certify
from router.evaluation import share
from router.gate import NOTHING
from router.guarantee import broken_at_most, tolerated_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from router.comparison import Segment
    from router.evaluation import Share

    Mask = npt.NDArray[np.bool_]
    Values = npt.NDArray[np.float64]
    Places = npt.NDArray[np.int64]
    Names = npt.NDArray[np.object_]

LEAST_SEGMENT = 30
"""A segment with fewer records gets no rule of its own."""
NOISE = 0.05
"""The probability, over all alternatives that are tried at a step, of a rule that only noise recommends."""
FOLDS = 5
_MOST_RULES = 6
_TESTED = 4
"""So many of the alternatives that look best are tested at each step."""
_DEAR = 1.0
"""Dollars that stand for a wrong answer too many: more than any answer costs."""
_DRAWS = 200
_SEED = 0


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


@dataclass(frozen=True, slots=True)
class SegmentRule:
    """A model for the records of a segment."""

    segment: Segment
    model: str
    gain: float = 0.0
    """Dollars a record of the whole input that it was found to save, against the way without it."""
    error: float = 0.0
    """Standard error of that."""


@dataclass(frozen=True, slots=True)
class Way:
    """Who is asked about what."""

    default: str
    large: str | None
    """The model that is asked where an answer is not kept; None where every answer stands."""
    rules: tuple[SegmentRule, ...] = ()
    """The first one that a record is in wins."""

    def firsts(self, segments: Mapping[Segment, Mask], records: int) -> Names:
        """The model that each record goes to first, shape (records,)."""
        found = np.full(records, self.default, dtype=object)
        for rule in reversed(self.rules):
            found[segments[rule.segment]] = rule.model
        return found


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
class Chosen:
    """A way, with the gate that goes with it."""

    way: Way
    large: Large
    firsts: Names
    threshold: float

    def outcome(self, at: Places) -> Outcome:
        """What becomes of the records at these places."""
        return outcome(self.large, self.firsts, self.threshold, at)


@dataclass(frozen=True, slots=True, eq=False)
class _First:
    """What the first models said of all records."""

    usd: Values
    confidence: Values
    agrees: Mask
    right: Mask


def _first(large: Large, firsts: Names) -> _First:
    """Records that go to the large model at once cost nothing before it, and nothing of them is kept."""
    size = len(large.usd)
    found = _First(np.zeros(size), np.full(size, -1.0), np.zeros(size, bool), np.zeros(size, bool))
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
    return _outcome(large, _first(large, firsts), threshold, at)


def _outcome(large: Large, first: _First, threshold: float, at: Places) -> Outcome:
    escalated = first.confidence[at] < max(threshold, 0.0)
    usd = first.usd[at] + np.where(escalated, large.usd[at], 0.0)
    return Outcome(usd, np.where(escalated, large.right[at], first.right[at]), escalated)


def settle(large: Large, firsts: Names, at: Places, terms: Terms) -> float | None:
    """The threshold that a run would settle on with the records at these places; None: none reaches it.

    As of an input of unknown size: records that a run's pilot takes from a small one are not made up for.
    """
    return _settle(large, _first(large, firsts), at, terms)


def _settle(large: Large, first: _First, at: Places, terms: Terms) -> float | None:
    escalated = None if large.agrees is None else large.agrees[at]
    rows = CertifyingRows(first.confidence[at], first.agrees[at], escalated)
    found = certify(rows, target=terms.target, delta=terms.delta, population=None, escalates=large.answers)
    if not found.certified:
        return None
    if large.is_oracle or large.agrees is not None:
        return found.threshold
    # The gate promises agreement with this model, and the target is about another one's word.
    wrong = int((~_outcome(large, first, found.threshold, at).right).sum())
    return found.threshold if _may_be(wrong, len(at), terms) else None


def _may_be(wrong: int, sampled: int, terms: Terms) -> bool:
    """Whether so few are wrong that the target is reached, with all but `delta`."""
    most = broken_at_most(sampled, target=terms.target, delta=terms.delta)
    return most is not None and wrong <= most


def choose(
    larges: Sequence[Large], segments: Mapping[Segment, Mask], at: Places, terms: Terms
) -> Chosen | None:
    """The cheapest way that reaches the target on the records at these places; None where none does.

    Of equally cheap ways, the one with fewer rules, then the one of the model that stands first in the job.
    """
    found = [way for large in larges for way in _ways(large, segments, at, terms)]
    return min(found, key=lambda one: (one.outcome(at).cost, len(one.way.rules)), default=None)


def _ways(large: Large, segments: Mapping[Segment, Mask], at: Places, terms: Terms) -> Iterator[Chosen]:
    size = len(large.usd)
    alone = np.full(size, large.name, dtype=object)
    if large.answers and (large.is_oracle or _may_be(int((~large.right[at]).sum()), len(at), terms)):
        yield Chosen(Way(large.name, None), large, alone, NOTHING)
    for name in large.small:
        base = Way(name, large.name or None)
        if large.answers and settle(large, base.firsts(segments, size), at, terms) is None:
            continue
        way = _with_rules(large, base, segments, at, terms)
        if not (large.answers or way.rules):
            # One model for everything is a way of its own.
            continue
        firsts = way.firsts(segments, size)
        threshold = settle(large, firsts, at, terms)
        if threshold is not None:
            yield Chosen(way, large, firsts, threshold)


def _with_rules(large: Large, way: Way, segments: Mapping[Segment, Mask], at: Places, terms: Terms) -> Way:
    """The way with a rule for each segment whose gain is beyond noise, the largest gain first."""
    while len(way.rules) < _MOST_RULES:
        better = _next_rule(large, way, segments, at, terms)
        if better is None:
            return way
        way = better
    return way


def _next_rule(
    large: Large, way: Way, segments: Mapping[Segment, Mask], at: Places, terms: Terms
) -> Way | None:
    size = len(large.usd)
    now = _first(large, way.firsts(segments, size))
    before = _mean_cost(large, now, at, terms)
    tried = list(_alternatives(large, way, segments, at))
    if not tried:
        return None
    found = []
    for rule in tried:
        rules = (*way.rules, rule)
        then = _first(large, replace(way, rules=rules).firsts(segments, size))
        found.append((before - _mean_cost(large, then, at, terms), rule, then))
    beyond = NormalDist().inv_cdf(1.0 - NOISE / len(tried))
    found.sort(key=lambda one: -one[0])
    for gain, rule, then in found[:_TESTED]:
        if gain <= 0.0:
            break
        error = _error(large, now, then, at, terms)
        if gain > beyond * error:
            return replace(way, rules=(*way.rules, replace(rule, gain=gain, error=error)))
    return None


def _alternatives(
    large: Large, way: Way, segments: Mapping[Segment, Mask], at: Places
) -> Iterator[SegmentRule]:
    """Segments with enough records that no rule has taken yet, with each other model for them."""
    taken = np.zeros(len(large.usd), bool)
    for rule in way.rules:
        taken |= segments[rule.segment]
    for segment, mask in segments.items():
        left = (mask & ~taken)[at]
        if int(left.sum()) < LEAST_SEGMENT or bool(left.all()):
            continue
        for name in (*large.small, *([large.name] if large.answers else ())):
            if name != way.default:
                yield SegmentRule(segment, name)


def _mean_cost(large: Large, first: _First, at: Places, terms: Terms) -> float:
    """Dollars a record; where the target cannot be reached, those of asking both models about everything.

    Where nobody is escalated to, the way to the target comes first: what is wrong beyond it is very dear.
    """
    if not large.answers:
        wrong = 1.0 - float(first.right[at].mean())
        return float(first.usd[at].mean()) + _DEAR * max(0.0, wrong - (1.0 - terms.target))
    threshold = _settle(large, first, at, terms)
    return _outcome(large, first, NOTHING if threshold is None else threshold, at).cost


def _error(large: Large, before: _First, after: _First, at: Places, terms: Terms) -> float:
    """Standard error of what the second saves, by the bootstrap: thresholds are settled anew on each draw."""
    random = np.random.default_rng(_SEED)
    gains = np.empty(_DRAWS)
    for number in range(_DRAWS):
        drawn = random.choice(at, len(at))
        gains[number] = _mean_cost(large, before, drawn, terms) - _mean_cost(large, after, drawn, terms)
    return float(gains.std(ddof=1))


@dataclass(frozen=True, slots=True, eq=False)
class CrossFit:
    """What a way of choosing is worth on records that it did not see."""

    outcome: Outcome
    ways: tuple[Way, ...]
    """What was chosen each time."""


def cross_fitted(records: int, chooses: Callable[[Places], Chosen | None]) -> CrossFit | None:
    """Each fifth of the records by a choice on the others; None where any of the choices finds nothing.

    The records have to be in an order that says nothing about them, as hashed ids are.
    """
    places = np.arange(records)
    outcomes, ways, order = [], [], []
    for fold in range(FOLDS):
        held = places % FOLDS == fold
        chosen = chooses(places[~held])
        if chosen is None:
            return None
        outcomes.append(chosen.outcome(places[held]))
        ways.append(chosen.way)
        order.append(places[held])
    back = np.argsort(np.concatenate(order), kind="stable")
    found = Outcome(
        np.concatenate([one.usd for one in outcomes])[back],
        np.concatenate([one.right for one in outcomes])[back],
        np.concatenate([one.escalated for one in outcomes])[back],
    )
    return CrossFit(found, tuple(ways))


def kept_to(large: Large, firsts: Names, terms: Terms) -> Callable[[Places], Chosen | None]:
    """A choice of nothing but the threshold, to compare with: who is asked first is given."""

    def chooses(at: Places) -> Chosen | None:
        threshold = settle(large, firsts, at, terms)
        return None if threshold is None else Chosen(Way("", large.name), large, firsts, threshold)

    return chooses


def saved(one: Outcome, other: Outcome) -> tuple[float, float]:
    """Mean dollars a record by which the second is cheaper, and the standard error of that."""
    less = one.usd - other.usd
    return float(less.mean()), float(less.std(ddof=1) / math.sqrt(len(less))) if len(less) > 1 else math.inf


def least_records(target: float, delta: float) -> int:
    """How large a sample has to be, for four fifths of it to certify anything."""
    size = 1
    while tolerated_errors(size, target=target, delta=delta) is None:
        size += 1
    return -(-size * FOLDS // (FOLDS - 1))
