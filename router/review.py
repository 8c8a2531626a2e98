"""Which records a person should look at first: those the models disagree on, and the least certain ones."""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from router.records import Opinion, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from router.records import Annotated, Position

REVIEW_ROWS = 500
"""The most rows that are offered."""

_FAILED = -1.0
"""The rank of what fails a check: below every confidence."""
_KINDS = ("needs_human", "disputed", "unsure")


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """A record to be looked at, with what was said of it."""

    disputed: bool
    """Whether the model that had the last word gave other labels than the small one."""
    rank: float
    """Its place among the rows of its kind: the lowest comes first."""
    position: Position
    id: str
    text: str
    task: str
    status: Status
    said: Opinion
    """The annotation."""
    small: Opinion
    """What the small model said; where nothing overruled it, that is the annotation."""


class ReviewRows:
    """The first rows of each kind of any number of records; it holds no more than `REVIEW_ROWS` of each."""

    def __init__(self) -> None:
        """Begin with no rows."""
        # The first of a heap is the next to go: the one with the highest rank, and of equals the last one in
        # the input, so that what stays does not depend on how the input was split.
        self._heaps: dict[str, list[tuple[tuple[float, int, int], ReviewRow]]] = {kind: [] for kind in _KINDS}

    def offer(self, row: Annotated) -> None:
        """Take the record in, if it is worth a look and among the first of its kind so far."""
        kind = _kind(row)
        if kind is None:
            return
        name, rank = kind
        position = row.record.position
        order = (-rank, -position.file, -position.offset)
        heap = self._heaps[name]
        if len(heap) == REVIEW_ROWS and order <= heap[0][0]:
            return
        item = (order, _review_row(row, disputed=name == "disputed", rank=rank))
        if len(heap) < REVIEW_ROWS:
            heapq.heappush(heap, item)
        else:
            heapq.heappushpop(heap, item)

    def rows(self) -> tuple[ReviewRow, ...]:
        """The rows of all kinds, in no order that means anything."""
        return tuple(row for heap in self._heaps.values() for _, row in heap)


def order_review(rows: Iterable[ReviewRow]) -> list[ReviewRow]:
    """The rows to offer, in the order in which to look at them.

    First those that a judge could not settle, as they are in the input. Then the least certain row, the first
    disputed one, the second least certain one, and so on; where one kind is used up, the rest of the other.
    Disputed rows are ordered by the small model's confidence, the highest first, because a model that is sure
    and wrong teaches most. Each kind gets half of `REVIEW_ROWS`, and what the other leaves.
    """
    ordered = sorted(rows, key=lambda row: (row.rank, row.position))
    first = [row for row in ordered if row.status is Status.NEEDS_HUMAN]
    disputed = [row for row in ordered if row.disputed]
    unsure = [row for row in ordered if not row.disputed and row.status is not Status.NEEDS_HUMAN]
    half = REVIEW_ROWS // 2
    pairs = itertools.zip_longest(
        unsure[: max(half, REVIEW_ROWS - len(disputed))], disputed[: max(half, REVIEW_ROWS - len(unsure))]
    )
    others = [row for pair in pairs for row in pair if row is not None]
    return [*first, *others][:REVIEW_ROWS]


def _kind(row: Annotated) -> tuple[str, float] | None:
    """Which of `_KINDS` the record is of, and its rank; None where it is not worth a look.

    A copy is not, because its original is there, nor an answer without a confidence that nobody disputes. A
    written answer that fails a check comes before all that are only unsure.
    """
    said, small = row.annotation, row.overruled
    if said.status is Status.DUPLICATE:
        return None
    if said.status is Status.NEEDS_HUMAN:
        return "needs_human", 0.0
    if said.checks:
        return "unsure", _FAILED
    # Two written answers hardly ever are the same, which is no dispute.
    if said.checks is None and small is not None and set(small.labels) != set(said.labels):
        return "disputed", math.inf if small.confidence is None else -small.confidence
    return None if said.confidence is None else ("unsure", said.confidence)


def _review_row(row: Annotated, *, disputed: bool, rank: float) -> ReviewRow:
    record, annotation = row.record, row.annotation
    said = Opinion(annotation.model, annotation.labels, annotation.confidence, annotation.checks or ())
    return ReviewRow(
        disputed=disputed,
        rank=rank,
        position=record.position,
        id=record.id,
        text=record.text,
        task=record.task,
        status=annotation.status,
        said=said,
        small=said if row.overruled is None else row.overruled,
    )
