"""What is found for records in a worker: the rows are read and indexed once a process."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec

from router.assets import asset_path
from router.llm_prompt import fit_found
from router.reference import digest_rows
from router.retrieval import NOTHING_FOUND, Found
from transforms.nearest_rows import NearestRows
from transforms.reference_rows import read_rows
from transforms.text_encoder import ENCODER, shared_encoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.job import Task
    from router.records import Record
    from router.reference import Nearest
    from router.retrieval import ReferenceSet, Retrieval

_LOCK = threading.Lock()


class Retriever:
    """Finds what one model is to be shown; safe to share between threads."""

    def __init__(self, retrievals: Mapping[str, Retrieval]) -> None:
        """By task; nothing is read yet."""
        self._retrievals = dict(retrievals)

    def retrieves(self, task: str) -> bool:
        """Whether the model is shown anything with the records of a task."""
        return task in self._retrievals

    def find(self, record: Record) -> Found:
        """What to show with a record; nothing where its task has no retrieval.

        Raises `OSError` where the rows cannot be read, and `ValueError` where they are not those of the job.
        """
        retrieval = self._retrievals.get(record.task)
        if retrieval is None:
            return NOTHING_FOUND
        found: list[tuple[Nearest, ...]] = []
        # A passage gives no label away, and none tells more than one that is about just this text.
        for one, copies in ((retrieval.examples, False), (retrieval.passages, True)):
            if one is None:
                found.append(())
                continue
            rows = rows_of(one, retrieval.encoder)
            own = record.id if one.own_ids else None
            found.append(tuple(rows.nearest(record.text, one.k, not_id=own, copies=copies)))
        return Found(*found)

    def fitting(self, task: Task, record: Record, context: int | None) -> Found:
        """What a hosted model is shown: what is found, as far as it has room. Raises what `find` does."""
        return fit_found(task, record.text, self.find(record), context)


def rows_of(one: ReferenceSet, encoder: str | None) -> NearestRows:
    """The index over a set of rows, one a process. Raises what `Retriever.find` does."""
    # Of threads that need the rows at once, one makes the index.
    with _LOCK:
        return _open(one.url, one.digest, encoder)


@functools.cache
def _open(url: str, digest: str, encoder: str | None) -> NearestRows:
    filesystem, path = fsspec.core.url_to_fs(url)
    rows = read_rows(filesystem.cat_file(path))
    if digest_rows(rows) != digest:
        raise ValueError(
            f"{url} does not hold the rows that the job began with; run the job again, which writes them anew"
        )
    folder = asset_path(ENCODER) if encoder is None else Path(encoder)
    found = NearestRows(rows, shared_encoder(folder))
    found.prepare()
    return found
