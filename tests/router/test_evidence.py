"""What is seen of records: arrays of one length, and parts that all have or none."""

from __future__ import annotations

import numpy as np
import pytest

from router.evidence import Evidence, gather
from router.records import LabelScores

BARE = LabelScores(np.array([0.5, 0.5]))
WHOLE = LabelScores(
    np.array([0.25, 0.75]), np.array([1.0, 2.0], np.float32), embedding=np.array([3.0], np.float32)
)


def test_parts_are_gathered_where_all_have_them() -> None:
    """One that is missing makes the part useless to a head."""
    both = gather([WHOLE, WHOLE])

    assert both.scores.tolist() == [[0.25, 0.75]] * 2
    assert both.features is not None
    assert both.features.tolist() == [[1.0, 2.0]] * 2
    assert both.embedding is not None
    assert both.embedding.tolist() == [[3.0]] * 2
    mixed = gather([WHOLE, BARE])
    assert (len(mixed), mixed.features, mixed.embedding) == (2, None, None)


def test_some_records_are_taken_with_all_that_is_seen_of_them() -> None:
    """By place."""
    taken = gather([WHOLE, WHOLE, WHOLE]).take(np.array([2]))

    assert (taken.scores.shape, len(taken)) == ((1, 2), 1)
    assert taken.features is not None
    assert taken.features.tolist() == [[1.0, 2.0]]
    assert Evidence(np.ones((3, 2))).take(np.array([0, 1])).features is None


def test_arrays_of_other_records_are_refused() -> None:
    """Their number tells."""
    with pytest.raises(ValueError, match="2 rows of scores do not go with 1 of embedding"):
        Evidence(np.ones((2, 2)), embedding=np.ones((1, 3), np.float32))
