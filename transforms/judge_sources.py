"""The labelled rows and passages that a judge may search; they are read when they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transforms.retriever import rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.records import Record
    from router.reference import Nearest
    from router.retrieval import Retrieval


class Sources:
    """What can be searched, by task; safe to share between threads."""

    def __init__(self, retrievals: Mapping[str, Retrieval]) -> None:
        """Nothing is read yet."""
        self._retrievals = dict(retrievals)

    def has_examples(self, task: str) -> bool:
        """Whether there are labelled rows of a task."""
        return task in self._retrievals and self._retrievals[task].examples is not None

    def has_passages(self, task: str) -> bool:
        """Whether there are passages for a task."""
        return task in self._retrievals and self._retrievals[task].passages is not None

    def examples(self, record: Record, k: int) -> list[Nearest]:
        """The k labelled rows nearest to a record, which is never among them itself."""
        retrieval = self._retrievals[record.task]
        if retrieval.examples is None:
            return []
        own = record.id if retrieval.examples.own_ids else None
        return rows_of(retrieval.examples, retrieval.encoder).nearest(record.text, k, not_id=own)

    def passages(self, task: str, query: str, k: int) -> list[Nearest]:
        """The k passages nearest to what is asked for, also one that says just that."""
        retrieval = self._retrievals[task]
        if retrieval.passages is None:
            return []
        return rows_of(retrieval.passages, retrieval.encoder).nearest(query, k, copies=True)
