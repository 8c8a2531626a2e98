"""Which models a job should ask: the cheapest way to a target, from a sample that all have answered.

A way is a small model for every record, another one for some segments, and a large model for what no small
one is trusted with. Every way that is weighed reaches the target on the records it was chosen on, as a run
certifies it (`router.escalation`), or it is no way at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from router.escalation import Outcome, first_of, may_be, outcome, outcome_of, settle, settle_of
from router.gate import NOTHING
from router.guarantee import tolerated_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from router.comparison import Segment
    from router.escalation import First, Large, Terms

    Mask = npt.NDArray[np.bool_]
    Places = npt.NDArray[np.int64]
    Names = npt.NDArray[np.object_]

LEAST_SEGMENT = 30
"""A segment with fewer records gets no rule of its own."""
NOISE = 0.05
"""The probability, over all alternatives that are tried at a step, of a rule that only noise recommends."""
WORTH = 0.01
"""A rule that saves a smaller part of the cost is one line more to read, and no more."""
FOLDS = 5
_MOST_RULES = 6
_TESTED = 4
"""So many of the alternatives that look best are tested at each step."""
_DEAR = 1.0
"""Dollars that stand for a wrong answer too many: more than any answer costs."""
_DRAWS = 200
_SEED = 0


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
class Chosen:
    """A way, with the gate that goes with it."""

    way: Way
    large: Large
    firsts: Names
    threshold: float

    def outcome(self, at: Places) -> Outcome:
        """What becomes of the records at these places."""
        return outcome(self.large, self.firsts, self.threshold, at)


def choose(
    larges: Sequence[Large], segments: Mapping[Segment, Mask], at: Places, terms: Terms
) -> Chosen | None:
    """The cheapest way that reaches the target on the records at these places; None where none does.

    Of ways that cost as good as the same, the one with fewer rules, then the cheaper one, then the one of the
    model that stands first in the job.
    """
    found = [way for large in larges for way in _ways(large, segments, at, terms)]
    costs = [way.outcome(at).cost for way in found]
    most = min(costs, default=0.0) * (1.0 + WORTH)
    near = [(cost, way) for cost, way in zip(costs, found, strict=True) if cost <= most]
    return min(near, key=lambda one: (len(one[1].way.rules), one[0]), default=(most, None))[1]


def _ways(large: Large, segments: Mapping[Segment, Mask], at: Places, terms: Terms) -> Iterator[Chosen]:
    size = len(large.usd)
    alone = np.full(size, large.name, dtype=object)
    if large.answers and (large.is_oracle or may_be(int((~large.right[at]).sum()), len(at), terms)):
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
    now = first_of(large, way.firsts(segments, size))
    before = _mean_cost(large, now, at, terms)
    tried = list(_alternatives(large, way, segments, at))
    if not tried:
        return None
    found = []
    for rule in tried:
        rules = (*way.rules, rule)
        then = first_of(large, replace(way, rules=rules).firsts(segments, size))
        found.append((before - _mean_cost(large, then, at, terms), rule, then))
    beyond = NormalDist().inv_cdf(1.0 - NOISE / len(tried))
    found.sort(key=lambda one: -one[0])
    for gain, rule, then in found[:_TESTED]:
        if gain <= WORTH * before:
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


def _mean_cost(large: Large, first: First, at: Places, terms: Terms) -> float:
    """Dollars a record; where the target cannot be reached, those of asking both models about everything.

    Where nobody is escalated to, the way to the target comes first: what is wrong beyond it is very dear.
    """
    if not large.answers:
        wrong = 1.0 - float(first.right[at].mean())
        return float(first.usd[at].mean()) + _DEAR * max(0.0, wrong - (1.0 - terms.target))
    threshold = settle_of(large, first, at, terms)
    return outcome_of(large, first, NOTHING if threshold is None else threshold, at).cost


def _error(large: Large, before: First, after: First, at: Places, terms: Terms) -> float:
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

    None too where there are fewer than ten records: then nothing is left to judge by.

    The records have to be in an order that says nothing about them, as hashed ids are.
    """
    if records < 2 * FOLDS:
        return None
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


def least_records(target: float, delta: float) -> int:
    """How large a sample has to be, for four fifths of it to certify anything."""
    size = 1
    while tolerated_errors(size, target=target, delta=delta) is None:
        size += 1
    return -(-size * FOLDS // (FOLDS - 1))
