"""The two ends of a long text: what says most about it, in bounded time."""

from __future__ import annotations

END_CHARACTERS = 2_000


def both_ends(text: str) -> str:
    """The text, or its first and last 2,000 characters on lines of their own where it is longer than both."""
    if len(text) <= 2 * END_CHARACTERS:
        return text
    return f"{text[:END_CHARACTERS]}\n{text[-END_CHARACTERS:]}"
