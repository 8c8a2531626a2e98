"""Certifying a gate: thresholds and what may be said of them, worked out by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from router.certification import Certificate, Certification, CertifyingRows, certify, certify_slices
from router.gate import NOTHING
from router.guarantee import Population

if TYPE_CHECKING:
    from collections.abc import Sequence

TARGET, DELTA = 0.95, 0.05
HUNDRED = np.linspace(0.01, 1.0, 100)
"""With 100 rows one difference is tolerated, with 59 none, and fewer prove nothing."""


def rows(confidence: Any, wrong: Sequence[int] = (), large_wrong: Sequence[int] | None = None) -> Any:
    """Rows of which the small model, and the large one, got some wrong."""
    sure = np.asarray(confidence, np.float64)
    return CertifyingRows(sure, _but(sure, wrong), None if large_wrong is None else _but(sure, large_wrong))


def about(value: float) -> Any:
    """A threshold, but for rounding."""
    return pytest.approx(value)


def _but(sure: Any, wrong: Sequence[int]) -> Any:
    right = np.ones(len(sure), bool)
    right[list(wrong)] = False
    return right


def certified(given: CertifyingRows, *, population: Population | None = None, escalates: bool = True) -> Any:
    """The certificate at 95 %."""
    return certify(given, target=TARGET, delta=DELTA, population=population, escalates=escalates)


def test_the_threshold_is_that_of_the_guarantee() -> None:
    """Three differences where one is tolerated: all above the second one, .8, are trusted."""
    found = certified(rows(HUNDRED, [89, 79, 69]))

    assert found == Certificate(about(0.81), True, 100, 1, 20, 1)


def test_of_equal_confidences_all_are_trusted_or_none() -> None:
    """Two of fifty at .5 are wrong, which is one too many for all of them."""
    assert certified(rows([0.9] * 50 + [0.5] * 50, [50, 51])) == Certificate(0.9, True, 100, 1, 50, 0)


def test_nothing_of_a_useless_model_is_trusted() -> None:
    """The promise holds all the same, because the oracle answers everything."""
    assert certified(rows([0.5] * 100, range(100))) == Certificate(NOTHING, True, 100, 1, 0, 0)


@pytest.mark.parametrize("count", [0, 1, 58])
def test_too_few_rows_trust_nothing(count: int) -> None:
    """However right the model is in them."""
    assert certified(rows([0.5] * count)) == Certificate(NOTHING, True, count, None, 0, 0)
    assert certified(rows([0.5] * 59)) == Certificate(0.5, True, 59, 0, 59, 0)


def test_no_rows_of_a_job_whose_rest_may_be_wrong_trust_nothing() -> None:
    """Two of 100 records are left and five may differ; without a confidence there is no threshold."""
    found = certified(rows([]), population=Population(2, 100))

    assert (found.threshold, found.certified, found.rows) == (NOTHING, True, 0)


def test_a_finite_job_tolerates_more() -> None:
    """The rows are all of it, so each record has the oracle's own word, and none can be wrong."""
    wrong = range(0, 400, 16)
    bounded = certified(rows([0.5] * 400, wrong), population=Population(400, 400))

    assert len(wrong) == 25
    assert (bounded.threshold, bounded.kept, bounded.disagreed) == (0.5, 400, 25)
    assert certified(rows([0.5] * 400, wrong)).threshold == NOTHING


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [([], True), ([0], True), ([99], True), ([0, 1], False), (range(100), False)],
)
def test_without_a_model_to_escalate_to_every_answer_stands(wrong: Sequence[int], expected: bool) -> None:
    """So the promise holds only where all of them may be trusted; the threshold is 0 either way."""
    found = certified(rows(HUNDRED, wrong), escalates=False)

    assert found == Certificate(0.0, expected, 100, 1, 100, len(wrong))


@pytest.mark.parametrize("count", [0, 58])
def test_without_a_model_to_escalate_to_few_rows_promise_nothing(count: int) -> None:
    """There is nobody whose word is certain."""
    assert certified(rows([0.5] * count), escalates=False) == Certificate(0.0, False, count, None, count, 0)


def test_what_the_small_model_did_not_answer_is_never_trusted() -> None:
    """Its confidence is -1: one such row is the one that is tolerated, and yet below the threshold."""
    assert certified(rows([-1.0] + [0.5] * 99, [0])) == Certificate(0.0, True, 100, 1, 99, 0)
    assert certified(rows([-1.0] * 100, range(100))) == Certificate(NOTHING, True, 100, 1, 0, 0)


def test_a_large_model_that_is_always_right_changes_little() -> None:
    """Below .51 all are wrong, and one may be: down to .5, as with an oracle that answers itself."""
    assert certified(rows(HUNDRED, range(50), [])) == Certificate(about(0.5), True, 100, 1, 51, 1)
    assert certified(rows(HUNDRED, range(50))) == Certificate(about(0.5), True, 100, 1, 51, 1)


def test_what_the_large_model_gets_wrong_counts_too() -> None:
    """It errs at .2: the one difference that is tolerated is spent on that, so .51 is the lowest."""
    found = certified(rows(HUNDRED, range(50), [19]))

    assert found == Certificate(about(0.51), True, 100, 1, 50, 0)


def test_an_error_of_the_large_model_is_made_good_by_a_trusted_answer() -> None:
    """It errs at 1.0, where the small model is right and trusted; then one at .5 may be wrong."""
    found = certified(rows(HUNDRED, range(50), [99]))

    assert found == Certificate(about(0.5), True, 100, 1, 51, 1)


def test_a_large_model_that_errs_too_often_ends_the_search_at_once() -> None:
    """Thresholds are tried from the strictest on, where it answers all; looser ones are not looked at."""
    assert certified(rows(HUNDRED, [], [99, 98])) == Certificate(NOTHING, False, 100, 1, 0, 0)


def test_a_fallible_large_model_needs_rows_too() -> None:
    """With 58 rows nothing is promised, since escalating all is no safe way any more."""
    assert certified(rows([0.5] * 58, [], [])) == Certificate(NOTHING, False, 58, None, 0, 0)
    assert certified(rows([0.5] * 59, [], [])) == Certificate(0.5, True, 59, 0, 59, 0)


def test_equal_confidences_beside_a_fallible_model() -> None:
    """The whole group is trusted or none of it."""
    found = certified(rows([0.9] * 50 + [0.5] * 50, [50, 51], []))

    assert found == Certificate(0.9, True, 100, 1, 50, 0)


def test_unanswered_rows_beside_a_fallible_model() -> None:
    """They are the large model's, right or wrong, and no threshold reaches them."""
    sure = [-1.0] * 2 + [0.5] * 98

    assert certified(rows(sure, [0, 1], [])) == Certificate(0.5, True, 100, 1, 98, 0)
    assert certified(rows(sure, [0, 1], [0, 1])) == Certificate(NOTHING, False, 100, 1, 0, 0)


def sliced(parts: dict[str, CertifyingRows]) -> CertifyingRows:
    """Rows of several slices, one after the other."""
    large = [one.large_agrees for one in parts.values() if one.large_agrees is not None]
    return CertifyingRows(
        np.concatenate([one.confidence for one in parts.values()]),
        np.concatenate([one.agrees for one in parts.values()]),
        np.concatenate(large) if large else None,
        [name for name, one in parts.items() for _ in one.confidence],
    )


def test_each_slice_has_its_share_of_delta() -> None:
    """At .05 / 2, .95 ** 71 is .0262 and .95 ** 72 is .0249: 72 clean rows are the fewest."""
    given = sliced({"de": rows([0.5] * 71), "en": rows([0.4] * 72)})

    found = certify_slices(given, 2, target=TARGET, delta=DELTA, escalates=True)

    assert found == {
        "de": Certificate(NOTHING, True, 71, None, 0, 0),
        "en": Certificate(0.4, True, 72, 0, 72, 0),
    }


def test_slices_that_the_rows_do_not_show_take_their_share() -> None:
    """With 20 slices in the job even 100 clean rows of one prove nothing: .95 ** 100 is .0059."""
    given = sliced({"en": rows([0.4] * 100)})

    assert certify_slices(given, 8, target=TARGET, delta=DELTA, escalates=True)["en"].tolerated == 0
    assert certify_slices(given, 20, target=TARGET, delta=DELTA, escalates=True)["en"].tolerated is None


def test_slices_are_certified_apart() -> None:
    """A useless model in one of them takes nothing from the other, mixed rows or not."""
    given = sliced({"b": rows([0.5] * 100, range(100)), "a": rows(HUNDRED, [89, 79, 69])})
    mixed = np.random.default_rng(1).permutation(200)
    shuffled = CertifyingRows(
        given.confidence[mixed], given.agrees[mixed], None, [given.slices[i] for i in mixed]
    )

    for one in (given, shuffled):
        found = certify_slices(one, 2, target=TARGET, delta=2 * DELTA, escalates=True)
        assert list(found) == ["a", "b"]
        assert found["a"] == Certificate(about(0.81), True, 100, 1, 20, 1)
        assert found["b"].threshold == NOTHING


def test_slices_beside_a_fallible_model() -> None:
    """Each with what the large model said in it."""
    given = sliced({"a": rows(HUNDRED, range(50), [19]), "b": rows(HUNDRED, [], [98, 99])})

    found = certify_slices(given, 2, target=TARGET, delta=2 * DELTA, escalates=True)

    assert found["a"] == Certificate(about(0.51), True, 100, 1, 50, 0)
    assert found["b"] == Certificate(NOTHING, False, 100, 1, 0, 0)


def test_no_rows_are_no_slices() -> None:
    """All records are then escalated."""
    assert certify_slices(rows([]), 0, target=TARGET, delta=DELTA, escalates=True) == {}


GOOD, BAD = Certificate(0.5, True, 100, 1, 60, 1), Certificate(NOTHING, False, 10, None, 0, 0)


def test_a_certification_holds_where_all_its_parts_do() -> None:
    """The whole, or every slice."""
    assert Certification(GOOD).certified
    assert not Certification(BAD).certified
    assert Certification(None, {"a": GOOD}).certified
    assert not Certification(None, {"a": GOOD, "b": BAD}).certified


def test_a_certificate_as_json() -> None:
    """Infinity is no JSON value."""
    assert GOOD.stated() == {
        "threshold": 0.5,
        "certified": True,
        "rows": 100,
        "tolerated": 1,
        "kept": 60,
        "disagreed": 1,
    }
    assert BAD.stated()["threshold"] is None
