"""What is read of a long text."""

from __future__ import annotations

from router.text_ends import both_ends


def test_a_text_of_up_to_4000_characters_is_read_whole() -> None:
    """Beyond that the middle is left out."""
    assert both_ends("") == ""
    assert both_ends("a" * 4_000) == "a" * 4_000
    assert both_ends("a" * 2_000 + "x" + "b" * 2_000) == "a" * 2_000 + "\n" + "b" * 2_000
