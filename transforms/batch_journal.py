"""The notes of batches in files beside the journal's answers, each written for good before it is acted on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import fsspec

from router.batch_notes import Noted, Submission, endpoint_print, header, read_notes
from transforms.journal_files import AppendedFile, ObjectFiles, can_append

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from router.job import OpenAIModel

_TIER = "batch"


class BatchJournal:
    """The notes of one model's batches; safe to share between threads."""

    def __init__(self, url: str, model: OpenAIModel) -> None:
        """Open the notes in the journal at `url`; a file is made when something is noted."""
        self._filesystem, self._folder = fsspec.core.url_to_fs(url)
        stem = f"{_TIER}-{endpoint_print(model.base_url, model.model)}"
        self._pattern = f"{self._folder}/{stem}-*.jsonl"
        self._lock = threading.Lock()
        first = header(model.model)
        self._writer: AppendedFile | ObjectFiles
        if can_append(self._filesystem):
            self._writer = AppendedFile(self._filesystem, self._folder, stem, first)
        else:
            # What is held back is forgotten when the process dies, and the batch with it.
            self._writer = ObjectFiles(self._filesystem, self._folder, stem, first, 1, 0.0)

    def read(self) -> Noted:
        """What was noted so far, earlier runs included. Raises `OSError` where the place cannot be read."""
        return read_notes(_lines(self._filesystem, self._pattern))

    def write(self, note: bytes) -> None:
        """Write a note and wait until the disk has it. Raises `JournalError`."""
        with self._lock:
            self._writer.write(note)
            self._writer.sync()

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._writer.close()


def open_batches(url: str) -> tuple[Submission, ...]:
    """Batches of any model that the journal at `url` still waits for."""
    filesystem, folder = fsspec.core.url_to_fs(url)
    return read_notes(_lines(filesystem, f"{folder}/{_TIER}-*.jsonl")).open


def _lines(filesystem: AbstractFileSystem, pattern: str) -> Iterator[bytes]:
    filesystem.invalidate_cache()
    for path in sorted(filesystem.glob(pattern)):
        with filesystem.open(path, "rb") as stream:
            yield from stream
