"""Labelled rows and passages that may stand in a prompt, and when one is the record itself over again."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

NEAR_DUPLICATE = 0.8
"""Texts that share this part of their trigrams are the same text for the retrieval (docs/retrieval.md)."""


@dataclass(frozen=True, slots=True)
class ReferenceRow:
    """A row that can be found: a labelled example, or a passage, which has no label."""

    id: str
    text: str
    label: str | tuple[str, ...] | None = None
    """One label; of a multi_label task a tuple of them."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """A row that was found."""

    row: ReferenceRow
    similarity: float
    """1 for the same text, about 0 for one that has nothing to do with it."""


def folded(text: str) -> str:
    """The text without case, spacing and punctuation: copies of a text are equal in it."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    # A text of signs alone ("?!", an emoji) is told from others by them.
    return "".join(filter(str.isalnum, plain)) or "".join(plain.split())


def trigrams(text: str) -> frozenset[str]:
    """The runs of three characters of a folded text."""
    return frozenset(text[at : at + 3] for at in range(max(1, len(text) - 2)))


def shared_part(some: frozenset[str], others: frozenset[str]) -> float:
    """The part that two sets share of what is in either (Jaccard)."""
    both = len(some & others)
    return both / (len(some) + len(others) - both)


def row_digest(row: ReferenceRow) -> str:
    """An id for a row that has none: 16 hex digits of its text and label."""
    return _digest([row.text, row.label], 8)


def digest_rows(rows: Sequence[ReferenceRow]) -> str:
    """What tells these rows from others, in whatever order they come: 32 hex digits."""
    return _digest(sorted(_digest([row.id, row.text, row.label], 16) for row in rows), 16)


def _digest(data: object, size: int) -> str:
    return hashlib.blake2b(json.dumps(data).encode(), digest_size=size).hexdigest()
