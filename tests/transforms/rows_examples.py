"""Annotated records for tests of how they are written."""

from __future__ import annotations

from decimal import Decimal

from router.records import Annotated, Annotation, Opinion, Position, Record, Route, Status, Usage

USAGE = Usage(10, 6, 0, 0.5, Decimal("0.0005"))


def annotated(
    payload: bytes,
    *,
    name: str = "r1",
    position: Position = Position(0, 0),  # noqa: B008 - frozen
    labels: tuple[str, ...] = ("good",),
    task: str = "mood",
    confidence: float | None = 0.9,
    status: Status = Status.KEPT,
    usage: Usage = USAGE,
    overruled: Opinion | None = None,
) -> Annotated:
    """A record with this row and an annotation."""
    scores = () if confidence is None else ((labels[0] if labels else "good", confidence),)
    said = Annotation(task, labels, confidence, scores, "small", status, "because")
    record = Record(position, name, "fine", task, None, payload)
    return Annotated(
        record, said, Route("en", task, "small", None), usage, {"small": usage}, overruled=overruled
    )
