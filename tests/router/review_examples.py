"""Records to be looked at, for tests of what is made of them."""

from __future__ import annotations

from router.records import Opinion, Position, Status
from router.review import ReviewRow

BIG = Opinion("big", ("good",), None)
SMALL = Opinion("small", ("bad",), 0.93)
KEPT = Opinion("small", ("good",), 0.4)


def review_row(*, said: Opinion = BIG, small: Opinion = SMALL, task: str = "mood") -> ReviewRow:
    """A record whose small model was overruled, unless `said` and `small` agree."""
    disputed = said.labels != small.labels
    status = Status.ESCALATED if disputed else Status.KEPT
    return ReviewRow(disputed, 0.0, Position(0, 0), "r1", "It <b>hums</b>.", task, status, said, small)
