"""Quality against true labels, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from router.evaluation import (
    Bin,
    Coverage,
    calibration_error,
    confusion,
    label_quality,
    quality,
    read_labels,
    reliability,
    risk_coverage,
    share,
    write_labels,
)

SAID = ["a", "a", "a", "b", "b", "c"]
GOLD = ["a", "a", "b", "b", "b", "a"]


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        # 1 - .025 ** (1/10) and .025 ** (1/10); 5 of 10 from the tables of Clopper and Pearson.
        (0, 10, 0.0, 0.3085),
        (10, 10, 0.6915, 1.0),
        (5, 10, 0.1871, 0.8129),
        (950_000, 1_000_000, 0.9496, 0.9504),
        (0, 0, 0.0, 1.0),
    ],
)
def test_intervals_are_exact(count: int, of: int, low: float, high: float) -> None:
    """At the ends and in the middle, for small and large numbers."""
    found = share(count, of)

    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    assert found.rate == (None if of == 0 else count / of)


def test_more_hits_than_records_are_refused() -> None:
    """Somebody counted wrong."""
    with pytest.raises(ValueError, match="3 of 2"):
        share(3, 2)


def test_labels() -> None:
    """A: two of three said are right, two of three true are found. C was said and is never true."""
    a, b, c = label_quality([{one} for one in SAID], [{one} for one in GOLD])

    assert (a.label, a.precision.rate, a.recall.rate, a.f1) == ("a", 2 / 3, 2 / 3, pytest.approx(2 / 3))
    assert (b.precision.rate, b.recall.rate, b.f1) == (1.0, pytest.approx(2 / 3), pytest.approx(0.8))
    assert (c.precision.rate, c.recall.rate, c.f1) == (0.0, None, 0.0)


def test_labels_of_sets() -> None:
    """A: said twice, once rightly, and true once. B: said once, rightly, and true twice. No label, no row."""
    a, b = label_quality([{"a", "b"}, {"a"}, set()], [{"a", "b"}, {"b"}, set()])

    assert (a.precision.count, a.precision.of, a.recall.of, a.f1) == (1, 2, 1, pytest.approx(2 / 3))
    assert (b.precision.count, b.precision.of, b.recall.of, b.f1) == (1, 1, 2, pytest.approx(2 / 3))


def test_sets_are_written_in_one_way() -> None:
    """In any order and with repetitions, in any script."""
    assert write_labels(["b", "a", "b"]) == '["a", "b"]'
    assert write_labels([]) == "[]"
    assert read_labels(write_labels(["音", 'a"b'])) == ['a"b', "音"]


def test_quality_of_sets() -> None:
    """Right as a whole: one of two. By label: a is found in one of two, b in its only one."""
    found = quality(['["a", "b"]', "[]"], ['["a", "b"]', '["a"]'], [0.9, 0.6], multi=True)

    assert found["accuracy"]["count"] == 1
    assert [(one["label"], one["recall"]["count"], one["recall"]["of"]) for one in found["labels"]] == [
        ("a", 1, 2),
        ("b", 1, 1),
    ]
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["confusion"] == {'["a", "b"]': {'["a", "b"]': 1}, '["a"]': {"[]": 1}}


def test_sets_without_any_label() -> None:
    """Right, and no label to have an F1 of."""
    found = quality(["[]"], ["[]"], [0.9], multi=True)

    assert (found["accuracy"]["rate"], found["macro_f1"], found["labels"]) == (1.0, None, [])


def test_confusion() -> None:
    """By the true label, then by what was said."""
    assert confusion(SAID, GOLD) == {"a": {"a": 2, "c": 1}, "b": {"a": 1, "b": 2}}


def test_reliability_keeps_ties_together() -> None:
    """Two bins of four: the tie at .5 goes into the first one whole."""
    found = reliability([0.9, 0.5, 0.5, 0.1], [True, True, False, False], bins=2)

    assert found == [
        Bin(3, pytest.approx(1.1 / 3), pytest.approx(1 / 3)),
        Bin(1, 0.9, 1.0),
    ]
    assert calibration_error(found) == pytest.approx((3 * abs(1.1 / 3 - 1 / 3) + 0.1) / 4)
    assert reliability([], []) == []
    assert calibration_error([]) == 0.0


def test_a_model_that_knows_what_it_knows_has_no_calibration_error() -> None:
    """Sure of 80 %, right in 80 %."""
    assert calibration_error(reliability([0.8] * 10, [True] * 8 + [False] * 2)) == pytest.approx(0.0)


def test_risk_coverage() -> None:
    """From the strictest threshold to none; equal scores are kept or left together."""
    found = risk_coverage([0.9, 0.8, 0.8, 0.1], [True, True, False, False], points=4)

    assert found == [
        Coverage(0.9, 0.25, 1.0),
        Coverage(0.8, 0.75, pytest.approx(2 / 3)),
        Coverage(0.1, 1.0, 0.5),
    ]
    assert risk_coverage([], []) == []
    many = risk_coverage(np.linspace(0, 1, 1000), np.ones(1000), points=20)
    assert len(many) == 20
    assert many[-1] == Coverage(0.0, 1.0, 1.0)


def test_quality_is_json_and_heeds_missing_confidences() -> None:
    """An endpoint's answers count for accuracy and not for calibration."""
    found = quality(["a", "b"], ["a", "a"], [0.7, None])

    assert found["accuracy"]["rate"] == 0.5
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["calibration"]["records"] == 1
    assert found["calibration"]["expected_error"] == pytest.approx(0.3)
    assert quality(["a"], ["a"], [None])["calibration"]["expected_error"] is None
