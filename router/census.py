"""What the first pass over an input counts: the records that a job has to annotate, and what it refuses."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from router.records import Reason


@dataclass(frozen=True, slots=True)
class Census:
    """Counts over a whole input, without asking any model; they add up."""

    read: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Rows that become dead letters, by reason."""
    copies: int = 0
    """Records whose text was there before: they take over its answer."""
    text_bytes: int = 0
    """Bytes of the texts that were not refused when they were read, copies included."""

    def __add__(self, other: Census) -> Census:
        """Sum field by field."""
        return Census(
            self.read + other.read,
            self.refused + other.refused,
            self.copies + other.copies,
            self.text_bytes + other.text_bytes,
        )

    @property
    def annotated(self) -> int:
        """Records that get an annotation, unless their models fail."""
        return self.read - self.refused.total()

    @property
    def answered(self) -> int:
        """Those of them that a model has to answer: copies are not asked about."""
        return self.annotated - self.copies

    @property
    def mean_bytes(self) -> float:
        """Mean length of a text in bytes; 0 where there is none."""
        texts = self.annotated + self.refused[Reason.DUPLICATE_ID.value]
        return self.text_bytes / texts if texts else 0.0


def census_value(census: Census) -> dict[str, Any]:
    """A census as JSON."""
    return {
        "read": census.read,
        "refused": dict(sorted(census.refused.items())),
        "copies": census.copies,
        "text_bytes": census.text_bytes,
    }


def census_of(value: dict[str, Any]) -> Census:
    """The inverse of `census_value`."""
    return Census(value["read"], Counter(value["refused"]), value["copies"], value["text_bytes"])
