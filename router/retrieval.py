"""What is found for a record and shown in its prompt: the nearest labelled rows, and passages to go by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from router.job_tasks import Example
from router.records import Shown

if TYPE_CHECKING:
    from router.reference import Nearest

VERSION = 2
"""Raised whenever a prompt would show what was found in another way: then earlier answers no longer count."""

_MARK_BYTES = 16


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for a record, each with the most similar one first."""

    examples: tuple[Nearest, ...] = ()
    passages: tuple[Nearest, ...] = ()

    @property
    def shown(self) -> Shown:
        """The ids, which are recorded with the answer."""
        return Shown(tuple(one.row.id for one in self.examples), tuple(one.row.id for one in self.passages))

    @property
    def as_examples(self) -> list[Example]:
        """The labelled rows in the order of the prompt: the most similar one stands next to the text."""
        return [
            Example(text=one.row.text, label=one.row.label)
            for one in reversed(self.examples)
            if one.row.label is not None
        ]

    @property
    def as_passages(self) -> list[str]:
        """The passages in the order of the prompt: the most similar one first."""
        return [one.row.text for one in self.passages]

    def __bool__(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.examples or self.passages)

    def without_farthest(self) -> Found:
        """One row less: the least similar one; of an example and a passage alike, the passage stays."""
        if not self.passages or (
            self.examples and self.examples[-1].similarity <= self.passages[-1].similarity
        ):
            return replace(self, examples=self.examples[:-1])
        return replace(self, passages=self.passages[:-1])


NOTHING_FOUND = Found()


@dataclass(frozen=True, slots=True)
class ReferenceSet:
    """Rows among which is searched, as plain data that travels to the workers."""

    url: str
    """Where a worker reads them."""
    digest: str
    k: int
    """How many of them are shown."""
    own_ids: bool = False
    """Whether a column gives their ids, so that a row with the record's id is the record itself."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What one model is shown with each record of one task."""

    examples: ReferenceSet | None
    passages: ReferenceSet | None
    encoder: str | None
    """Folder of the encoder; None: the shipped one."""
    encoder_digest: str

    def facts(self, index_version: int) -> dict[str, Any]:
        """What of it decides an answer, for the journal's fingerprint."""
        sets = {"examples": self.examples, "passages": self.passages}
        return {
            "versions": [VERSION, index_version],
            "encoder": self.encoder_digest,
            **{name: [one.digest, one.k, one.own_ids] for name, one in sets.items() if one is not None},
        }


def mark_of(*parts: str) -> str:
    """A name for a prompt's blocks, in 32 hexadecimal digits: a hash of all that stands in them.

    There is no secret in it. But who writes it into a text or passage changes it by that, so that a text
    which holds its own name has to be found by trying: 2^128 texts, which nobody can.
    """
    data = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=_MARK_BYTES).hexdigest()
