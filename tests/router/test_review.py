"""Which records a person is to look at first."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from router.records import Opinion, Position, Status
from router.review import REVIEW_ROWS, ReviewRows, order_review
from tests.transforms.rows_examples import annotated

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from router.records import Annotated


def record(
    offset: int, confidence: float | None, small: tuple[str, ...] | None = None, sure: float | None = 0.5
) -> Annotated:
    """A record that is `good`; `small` is what an overruled small model said with the confidence `sure`."""
    overruled = None if small is None else Opinion("small", small, sure)
    return annotated(
        b"{}", name=f"r{offset}", position=Position(0, offset), confidence=confidence, overruled=overruled
    )


def offered(bundles: Iterable[Sequence[Annotated]]) -> list[str]:
    """The ids of what is offered of records that were written in these bundles, in order."""
    parts = []
    for bundle in bundles:
        rows = ReviewRows()
        for row in bundle:
            rows.offer(row)
        parts.append(rows.rows())
    return [row.id for row in order_review(row for part in parts for row in part)]


def test_unsure_and_disputed_records_take_turns() -> None:
    """The least certain one is first, then the one on which the small model was surest and overruled."""
    rows = [
        record(0, 0.9),
        record(1, 0.3),
        record(2, None, ("bad",), 0.6),
        record(3, 0.5),
        record(4, None, ("bad",), 0.95),
        record(5, 0.7),
    ]

    assert offered([rows]) == ["r1", "r4", "r3", "r2", "r5", "r0"]


def test_answers_that_fail_a_check_come_before_unsure_ones() -> None:
    """Also where a model that is not calibrated gave them no confidence."""
    rows = [record(0, 0.0), record(1, None), record(2, 0.4)]
    failing = [
        replace(one, annotation=replace(one.annotation, checks=("length: the answer is empty",)))
        for one in rows[1:]
    ]

    assert offered([[rows[0], *failing]]) == ["r1", "r2", "r0"]


def test_equal_rows_come_in_input_order() -> None:
    """And a small model that gave no confidence comes after all that did."""
    rows = [
        record(0, None, ("bad",), None),
        record(1, None, ("bad",), 0.1),
        record(2, None, ("bad",), 0.1),
        record(3, 0.5),
        record(4, 0.5),
    ]

    assert offered([reversed_rows(rows)]) == ["r3", "r1", "r4", "r2", "r0"]


def reversed_rows(rows: Sequence[Annotated]) -> list[Annotated]:
    """The last row first."""
    return list(reversed(rows))


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (record(0, 0.9), "unsure"),
        (record(0, None), None),
        (record(0, None, ("bad",)), "disputed"),
        (record(0, None, ("good",)), None),
        (record(0, 0.6, ("good",)), "unsure"),
        (record(0, 0.6, ("bad",)), "disputed"),
        (record(0, None, ()), "disputed"),
        (annotated(b"{}", confidence=0.2, status=Status.DUPLICATE), None),
        (
            annotated(
                b"{}", confidence=None, status=Status.DUPLICATE, overruled=Opinion("small", ("bad",), 0.9)
            ),
            None,
        ),
        (annotated(b"{}", labels=("b", "a"), overruled=Opinion("small", ("a", "b"), 0.9)), "unsure"),
    ],
)
def test_what_is_offered(row: Annotated, kind: str | None) -> None:
    """Labels in another order are the same; copies and sure agreement are not worth a look."""
    rows = ReviewRows()
    rows.offer(row)

    assert ["disputed" if one.disputed else "unsure" for one in rows.rows()] == ([kind] if kind else [])


@pytest.mark.parametrize(
    ("unsure", "disputed", "taken"),
    [(600, 0, (500, 0)), (0, 600, (0, 500)), (600, 600, (250, 250)), (600, 100, (400, 100)), (3, 9, (3, 9))],
)
def test_each_kind_gets_half_and_what_the_other_leaves(
    unsure: int, disputed: int, taken: tuple[int, int]
) -> None:
    """500 rows at most."""
    rows = [record(offset, 0.5) for offset in range(unsure)]
    rows += [record(1000 + offset, None, ("bad",)) for offset in range(disputed)]

    found = offered([rows])

    kinds = [int(name[1:]) >= 1000 for name in found]
    assert (kinds.count(False), kinds.count(True)) == taken
    assert len(found) <= REVIEW_ROWS == 500


def test_what_is_offered_does_not_depend_on_the_bundles() -> None:
    """However the records are split and in whatever order they come, the same rows come out."""
    draw = random.Random(7)
    rows = [
        record(offset, draw.choice([0.4, 0.5, 0.6]))
        if draw.random() < 0.5
        else record(offset, None, ("bad",), draw.choice([0.7, 0.8, None]))
        for offset in range(2000)
    ]
    whole = offered([rows])

    for size in (1, 7, 600, 1999):
        draw.shuffle(rows)
        assert offered([rows[start : start + size] for start in range(0, len(rows), size)]) == whole


def test_a_bundle_holds_no_more_than_it_can_offer() -> None:
    """500 of each kind, because the other bundles may have none of it."""
    rows = ReviewRows()
    for offset in range(3000):
        rows.offer(record(offset, offset / 3000))
        rows.offer(record(offset, None, ("bad",), offset / 3000))

    kept = rows.rows()

    assert len(kept) == 1000
    assert sorted(row.position.offset for row in kept if not row.disputed) == list(range(500))
    assert sorted(row.position.offset for row in kept if row.disputed) == list(range(2500, 3000))


def test_a_row_tells_what_was_said() -> None:
    """By the model that had the last word, and by the small one; where they are one, twice the same."""
    rows = ReviewRows()
    rows.offer(record(0, None, ("bad",), 0.9))
    rows.offer(record(1, 0.4))

    first, second = order_review(rows.rows())[::-1]

    assert (first.said, first.small) == (Opinion("small", ("good",), None), Opinion("small", ("bad",), 0.9))
    assert second.said == second.small == Opinion("small", ("good",), 0.4)
    assert (second.id, second.text, second.task, second.status) == ("r1", "fine", "mood", Status.KEPT)
