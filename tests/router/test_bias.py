"""Correction of a model's liking for some labels."""

from __future__ import annotations

import numpy as np
import pytest

from router.bias import LEAST_SAMPLE, LabelBias, estimate_bias, remove_bias


def test_the_mean_is_over_records() -> None:
    """(.9, .1) and (.5, .5) have the mean (.7, .3)."""
    bias = estimate_bias("small", "mood", [np.array([0.9, 0.1]), np.array([0.5, 0.5])])

    assert (bias.model, bias.task, bias.records) == ("small", "mood", 2)
    assert bias.mean == pytest.approx((0.7, 0.3))


def test_no_prediction_has_no_mean() -> None:
    """The message names model and task."""
    with pytest.raises(ValueError, match="no prediction of 'small' on task 'mood' to average"):
        estimate_bias("small", "mood", [])


def test_dividing_by_the_mean() -> None:
    """(.6, .4) over (.8, .2) is (.75, 2): normalised 3/11 and 8/11. The answer changes."""
    bias = LabelBias("small", "mood", (0.8, 0.2), 20)

    assert remove_bias(np.array([0.6, 0.4]), bias) == pytest.approx([3 / 11, 8 / 11])


def test_the_mean_itself_becomes_even() -> None:
    """A record on which the model says what it always says tells nothing."""
    bias = LabelBias("small", "mood", (0.5, 0.3, 0.2), 100)

    assert remove_bias(np.array([0.5, 0.3, 0.2]), bias) == pytest.approx([1 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize(("records", "changed"), [(LEAST_SAMPLE - 1, False), (LEAST_SAMPLE, True)])
def test_few_records_change_nothing(records: int, changed: bool) -> None:
    """Under 20 records the mean says more about the records than about the model."""
    found = remove_bias(np.array([0.6, 0.4]), LabelBias("small", "mood", (0.8, 0.2), records))

    assert (found.tolist() != [0.6, 0.4]) is changed
    assert LEAST_SAMPLE == 20


def test_no_bias_changes_nothing() -> None:
    """Where nothing was estimated, the prediction stands."""
    assert remove_bias(np.array([0.6, 0.4]), None).tolist() == [0.6, 0.4]


def test_a_label_never_predicted() -> None:
    """A mean of 0 divides nothing by 0, and 0 over 0 stays 0."""
    bias = LabelBias("small", "mood", (1.0, 0.0), 20)

    assert remove_bias(np.array([1.0, 0.0]), bias) == pytest.approx([1.0, 0.0])
    assert remove_bias(np.array([0.0, 0.0]), bias).tolist() == [0.0, 0.0]
