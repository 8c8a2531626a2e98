"""What a comparison says of itself."""

from __future__ import annotations

from pipelines.compare_notes import too_few
from router.escalation import Terms


def test_too_few_records_for_a_target_are_told_before_anything_is_asked() -> None:
    """The least sample on which .95 can be certified at all has 74 records."""
    terms = Terms(0.95, 0.05)

    assert too_few(74, terms) is None
    assert str(too_few(73, terms)).endswith("at least 74 are needed; give more with --records")
