"""The choice of a routing, on rows whose best way is known beforehand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from router.escalation import Large, Outcome, Small, Terms, outcome, saved, settle
from router.gate import NOTHING
from router.proposal import (
    LEAST_SEGMENT,
    SegmentRule,
    Way,
    choose,
    cross_fitted,
    kept_to,
    least_records,
)

if TYPE_CHECKING:
    import numpy.typing as npt

TERMS = Terms(0.9, 0.05)
CALL, LOCAL = 0.001, 0.00001
N = 300
EVEN = np.arange(N) % 2 == 0
SEGMENTS = {("language", "en"): EVEN, ("language", "ja"): ~EVEN}
EVERYWHERE = np.arange(N)
GUESS = np.random.default_rng(7).random(N) < 0.5


def reading(reads: npt.NDArray[np.bool_], usd: float = LOCAL, rows: int = N) -> Small:
    """A model that is right and sure where it can read, and guesses elsewhere."""
    right = reads | GUESS[:rows]
    return Small(np.full(rows, usd), np.where(reads, 0.97, 0.5), right, right)


def oracle(small: dict[str, Small], usd: float = CALL, rows: int = N) -> Large:
    """A large model whose word counts."""
    return Large("big", np.full(rows, usd), np.ones(rows, bool), small)


def test_a_segment_gets_the_model_that_reads_it() -> None:
    """Each small model reads one language: with one rule nothing is escalated."""
    chosen = choose([oracle({"a": reading(EVEN), "b": reading(~EVEN)})], SEGMENTS, EVERYWHERE, TERMS)
    assert chosen is not None
    assert (chosen.way.default, chosen.way.large) == ("a", "big")
    [rule] = chosen.way.rules
    assert (rule.segment, rule.model) == (("language", "ja"), "b")
    # Half of the records are not escalated any more: .0005 dollars a record.
    assert rule.gain == pytest.approx(CALL / 2)
    assert 0.0 < rule.error < rule.gain / 2
    found = chosen.outcome(EVERYWHERE)
    assert (found.cost, int(found.escalated.sum())) == (pytest.approx(LOCAL), 0)


def test_one_model_needs_no_rule() -> None:
    """What it cannot read is escalated, half of the records."""
    chosen = choose([oracle({"a": reading(EVEN)})], {}, EVERYWHERE, TERMS)
    assert chosen is not None
    assert chosen.way == Way("a", "big")
    assert chosen.threshold == 0.97
    found = chosen.outcome(EVERYWHERE)
    assert found.escalated.tolist() == (~EVEN).tolist()
    assert found.cost == pytest.approx(LOCAL + CALL / 2)
    assert found.quality.rate == 1.0


def test_equal_models_tie_for_the_first_without_a_rule() -> None:
    """Two models that say the same: the one that stands first, and no segment gets the other."""
    chosen = choose([oracle({"a": reading(EVEN), "b": reading(EVEN)})], SEGMENTS, EVERYWHERE, TERMS)
    assert chosen is not None
    assert chosen.way.default == "a"
    # What `a` cannot read may go to the large model at once, but never to `b`, which is no better.
    assert all(rule.model == "big" for rule in chosen.way.rules)


def test_one_model_for_all_beats_two_that_cost_as_good_as_the_same() -> None:
    """`b` reads everything; `a` and a rule for the rest is cheaper by a hundred-thousandth only."""
    nearly = {"a": reading(EVEN, LOCAL), "b": reading(np.ones(N, bool), LOCAL * (1.0 + 1e-5))}
    chosen = choose([oracle(nearly)], SEGMENTS, EVERYWHERE, TERMS)
    assert chosen is not None
    assert chosen.way == Way("b", "big")

    cheaper = {"a": reading(EVEN, LOCAL / 2), "b": reading(np.ones(N, bool), LOCAL)}
    chosen = choose([oracle(cheaper)], SEGMENTS, EVERYWHERE, TERMS)
    assert chosen is not None
    assert (chosen.way.default, len(chosen.way.rules)) == ("a", 1)


def test_what_a_small_model_is_never_trusted_with_goes_to_the_large_one_at_once() -> None:
    """Asking first costs a tenth of a call there, for nothing."""
    chosen = choose([oracle({"a": reading(EVEN, CALL / 10)})], SEGMENTS, EVERYWHERE, TERMS)
    assert chosen is not None
    assert [(rule.segment, rule.model) for rule in chosen.way.rules] == [(("language", "ja"), "big")]
    assert chosen.outcome(EVERYWHERE).cost == pytest.approx((CALL / 10 + CALL) / 2)


def test_a_rule_that_saves_next_to_nothing_is_not_made() -> None:
    """Asking the small one in vain costs a hundredth of a call, on half of the records: .98 % of it all."""
    chosen = choose([oracle({"a": reading(EVEN, CALL / 100)})], SEGMENTS, EVERYWHERE, TERMS)
    assert chosen is not None
    assert chosen.way.rules == ()


def test_a_segment_with_too_few_records_gets_no_rule() -> None:
    """29 records of a language that only `b` reads, against 30."""
    for count, rules in ((LEAST_SEGMENT - 1, 0), (LEAST_SEGMENT, 1)):
        rare = np.arange(N) < count
        small = {"a": reading(~rare), "b": reading(rare)}
        segments = {("language", "xx"): rare}
        # So many of the rare ones are wrong that they cannot be kept, and each costs its call.
        small["a"] = Small(small["a"].usd, small["a"].confidence, ~rare, ~rare)
        chosen = choose([oracle(small)], segments, EVERYWHERE, Terms(0.95, 0.05))
        assert chosen is not None
        assert len(chosen.way.rules) == rules, count


def test_a_gain_that_may_be_noise_makes_no_rule() -> None:
    """In 30 segments that mean nothing, another model is a little better here and worse there by chance."""
    rng = np.random.default_rng(3)
    made = 0
    for _ in range(10):
        sure_a, sure_b = rng.random(N), rng.random(N)
        models = {
            name: Small(np.full(N, LOCAL), sure, right, right)
            for name, sure in (("a", sure_a), ("b", sure_b))
            for right in [rng.random(N) < 0.5 + sure / 2]
        }
        parts = rng.integers(0, 6, N)
        segments = {("domain", str(n)): parts == n for n in range(6)}
        chosen = choose([oracle(models)], segments, EVERYWHERE, TERMS)
        assert chosen is not None
        made += len(chosen.way.rules)
    assert made <= 2


def test_nobody_reaches_the_target() -> None:
    """Gold is the judge, the large model is right in 70 of 100, the small one guesses."""
    right = np.arange(N) % 10 < 7
    large = Large("big", np.full(N, CALL), right, {"a": reading(np.zeros(N, bool))}, right)
    assert choose([large], SEGMENTS, EVERYWHERE, TERMS) is None
    assert settle(large, np.full(N, "a", dtype=object), EVERYWHERE, TERMS) is None


def test_a_large_model_below_the_target_is_no_help() -> None:
    """A run tests the strictest gate first, where all is escalated: with a model that errs it stops there."""
    large = Large("big", np.full(N, CALL), EVEN, {"a": reading(~EVEN)}, EVEN)
    assert choose([large], SEGMENTS, EVERYWHERE, TERMS) is None


def test_a_large_model_that_errs_a_little_is_escalated_to() -> None:
    """Gold is the judge; it is wrong in 3 of 150 that it gets, and 300 may show 21 wrong ones at .9."""
    right = np.ones(N, bool)
    right[[1, 3, 5]] = False
    chosen = choose(
        [Large("big", np.full(N, CALL), right, {"a": reading(EVEN)}, right)], {}, EVERYWHERE, TERMS
    )
    assert chosen is not None
    assert chosen.way == Way("a", "big")
    assert chosen.outcome(EVERYWHERE).quality.count == N - 3


def test_the_cheaper_of_two_large_models_is_escalated_to_where_it_is_good_enough() -> None:
    """It says what the dear one says, at a tenth of the price."""
    small = {"a": reading(EVEN)}
    dear = oracle(small)
    right = np.ones(N, bool)
    right[:3] = False
    cheap = Large("cheap", np.full(N, CALL / 10), right, small)
    chosen = choose([dear, cheap], {}, EVERYWHERE, TERMS)
    assert chosen is not None
    assert chosen.large.name == "cheap"
    wrong = np.arange(N) % 2 == 0
    bad = Large("cheap", np.full(N, CALL / 10), ~wrong, small)
    found = choose([dear, bad], {}, EVERYWHERE, TERMS)
    assert found is not None
    # It would agree in the end where the small one is kept, on the even ones: then it may be asked.
    assert found.large.name == "cheap"
    worse = Large("cheap", np.full(N, CALL / 10), wrong, small)
    found = choose([dear, worse], {}, EVERYWHERE, TERMS)
    assert found is not None
    assert found.large.name == "big"


def test_small_models_that_cost_more_than_a_call_are_not_asked() -> None:
    """Everything goes to the large one, which nobody stands behind."""
    chosen = choose([oracle({"a": reading(EVEN, 2 * CALL)})], SEGMENTS, EVERYWHERE, TERMS)
    assert chosen is not None
    assert chosen.way == Way("big", None)
    found = chosen.outcome(EVERYWHERE)
    assert (found.cost, found.quality.rate, bool(found.escalated.all())) == (pytest.approx(CALL), 1.0, True)


def test_too_few_records_keep_nothing() -> None:
    """28 records certify nothing for .9 at .05, because .9 ** 28 is .0523; 29 do."""
    for count, kept in ((28, False), (29, True)):
        small = {"a": reading(np.ones(count, bool), rows=count)}
        threshold = settle(
            oracle(small, rows=count), np.full(count, "a", dtype=object), np.arange(count), TERMS
        )
        assert (threshold == NOTHING) is not kept
    # Four fifths of 37 are 29.6.
    assert least_records(0.9, 0.05) == 37


def test_the_first_rule_wins() -> None:
    """A record in two segments goes where the first rule says."""
    segments = {
        ("language", "en"): np.array([True, True, False]),
        ("domain", "law"): np.array([False, True, True]),
    }
    rules = (SegmentRule(("language", "en"), "b"), SegmentRule(("domain", "law"), "c"))
    assert Way("a", None, rules).firsts(segments, 3).tolist() == ["b", "b", "c"]


def test_a_failed_answer_is_escalated_whatever_the_threshold() -> None:
    """Confidence -1 is no confidence, though every answer may be kept."""
    small = Small(
        np.array([1.0, 1.0]), np.array([-1.0, 0.2]), np.array([False, True]), np.array([False, True])
    )
    large = Large("big", np.array([10.0, 10.0]), np.array([True, True]), {"a": small})
    found = outcome(large, np.full(2, "a", dtype=object), -math.inf, np.arange(2))
    assert found.escalated.tolist() == [True, False]
    assert found.usd.tolist() == [11.0, 1.0]


def test_each_fifth_is_judged_by_a_choice_that_did_not_see_it() -> None:
    """The choice is told which records it may look at; what comes back is in the records' order."""
    seen: list[set[int]] = []
    large, firsts = oracle({"a": reading(EVEN)}), np.full(N, "a", dtype=object)

    def chooses(at: npt.NDArray[np.int64]) -> object:
        seen.append(set(at.tolist()))
        return kept_to(large, firsts, TERMS)(at)

    found = cross_fitted(N, chooses)  # type: ignore[arg-type]  # it passes on what `kept_to` gives
    assert found is not None
    assert [min(set(range(N)) - one) for one in seen] == [0, 1, 2, 3, 4]
    assert found.outcome.escalated.tolist() == (~EVEN).tolist()
    assert cross_fitted(N, lambda _: None) is None
    assert cross_fitted(9, kept_to(large, firsts, TERMS)) is None


def test_what_is_saved_has_its_error() -> None:
    """Differences of 1 and 3: 2 on average, with a standard error of 1."""
    none = np.zeros(2, bool)
    one = Outcome(np.array([2.0, 4.0]), none, none)
    other = Outcome(np.array([1.0, 1.0]), none, none)
    assert saved(one, other) == (2.0, pytest.approx(1.0))


def test_small_models_may_reach_the_target_together_and_alone() -> None:
    """Gold is the judge, and each reads one language: with a rule, nobody has to be escalated to."""
    nobody = Large.nobody({"a": reading(EVEN), "b": reading(~EVEN)}, N)
    chosen = choose([nobody], SEGMENTS, EVERYWHERE, TERMS)
    assert chosen is not None
    assert (chosen.way.default, chosen.way.large) == ("a", None)
    assert [(rule.segment, rule.model) for rule in chosen.way.rules] == [(("language", "ja"), "b")]
    found = chosen.outcome(EVERYWHERE)
    assert (found.quality.count, found.cost, int(found.escalated.sum())) == (N, pytest.approx(LOCAL), 0)
    assert choose([Large.nobody({"a": reading(EVEN)}, N)], SEGMENTS, EVERYWHERE, TERMS) is None
