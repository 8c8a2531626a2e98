"""Writing journal files: appended to on disks, in small objects on stores that cannot append.

Each file belongs to the one process that made its name up; another process never writes to it.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fsspec import AbstractFileSystem

Written = tuple[bytes, str, int]
"""A line, the file it went to, and where in it."""


class JournalError(RuntimeError):
    """Answers cannot be kept any more, so the job must not go on asking; the message says what to do."""


def can_append(filesystem: AbstractFileSystem) -> bool:
    """Whether what is written to an open file is there at once, without closing it."""
    protocol = filesystem.protocol
    return "file" in ((protocol,) if isinstance(protocol, str) else protocol)


def new_name(stem: str) -> str:
    """A file name that no other process has."""
    return f"{stem}-{uuid.uuid4().hex}"


class AppendedFile:
    """One file that grows line by line; each line has left the process when `write` returns."""

    def __init__(self, filesystem: AbstractFileSystem, folder: str, stem: str, first: bytes) -> None:
        """The file is made, with its first line, when something is written."""
        self._filesystem = filesystem
        self._name = new_name(stem)
        self._path = f"{folder}/{self._name}.jsonl"
        self._first = first
        self._stream: Any = None
        self._offset = 0
        self._failure: Exception | None = None

    def write(self, line: bytes) -> list[Written]:
        """Append a line; it outlives this process, see `sync` for the machine. Raises `JournalError`."""
        if self._failure is not None:
            # What a failed write left of its line would swallow the next one. Another thread may
            # meet this before the first failure has ended the job: it says the same.
            raise _cannot_write(self._path, self._failure) from self._failure
        try:
            if self._stream is None:
                self._open()
            offset = self._offset
            self._append(line)
        except OSError as error:
            self._failure = error
            raise _cannot_write(self._path, error) from error
        return [(line, self._path, offset)]

    def sync(self) -> None:
        """Wait until the disk has what was written. Raises `JournalError`.

        Needs no lock: several threads may wait at once, and the disk then does their work in one.
        """
        if self._stream is None:
            return  # nothing was written
        try:
            os.fsync(self._stream.fileno())
        except OSError as error:
            self._failure = error
            raise _cannot_write(self._path, error) from error

    def _open(self) -> None:
        self._filesystem.makedirs(self._path.rpartition("/")[0], exist_ok=True)
        self._stream = self._filesystem.open(self._path, "ab")
        self._append(self._first)

    def _append(self, line: bytes) -> None:
        self._stream.write(line)
        self._stream.flush()
        self._offset += len(line)

    def owns(self, name: str) -> bool:
        """Whether a file of this name is what this writes."""
        return name.startswith(self._name)

    def flush(self) -> list[Written]:
        """Nothing is held back here."""
        return []

    def flush_due(self) -> list[Written]:
        """Nothing is held back here."""
        return []

    def waiting(self) -> Iterator[bytes]:
        """Nothing is held back here."""
        return iter(())

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            # A full disk shows here once more, and was reported when it was met.
            with contextlib.suppress(OSError):
                self._stream.close()
            self._stream = None


class ObjectFiles:
    """Many small objects, each written whole after so many lines or so many seconds."""

    def __init__(  # noqa: PLR0913, PLR0917 - two more than `AppendedFile`, whose place it takes
        self,
        filesystem: AbstractFileSystem,
        folder: str,
        stem: str,
        first: bytes,
        records: int,
        seconds: float,
    ) -> None:
        """`records` and `seconds` say how much may be lost when the process dies."""
        self._filesystem = filesystem
        self._name = new_name(stem)
        self._stem = f"{folder}/{self._name}"
        self._first = first
        self._records, self._seconds = records, seconds
        self._held: list[bytes] = []
        self._since = 0.0
        self._number = 0

    def sync(self) -> None:
        """Nothing to wait for: an object is there when it is written, and `records` says when that is."""

    def write(self, line: bytes) -> list[Written]:
        """Hold a line, and write all that are held where it is time. Raises `JournalError`."""
        if not self._held:
            self._since = time.monotonic()
        self._held.append(line)
        return self.flush_due()

    def flush_due(self) -> list[Written]:
        """Write what is held where it is time. Raises `JournalError`."""
        due = len(self._held) >= self._records or time.monotonic() - self._since >= self._seconds
        return self.flush() if due else []

    def owns(self, name: str) -> bool:
        """Whether an object of this name is one that this writes."""
        return name.startswith(self._name)

    def flush(self) -> list[Written]:
        """Write what is held. Raises `JournalError`; what is held stays so then."""
        if not self._held:
            return []
        path = f"{self._stem}-{self._number:06d}.jsonl"
        try:
            self._filesystem.pipe_file(path, self._first + b"".join(self._held))
        # Every filesystem has exception types of its own, and here all of them mean the same.
        except Exception as error:
            raise _cannot_write(path, error) from error
        self._number += 1
        held, self._held = self._held, []
        return list(_places(held, path, len(self._first)))

    def waiting(self) -> Iterator[bytes]:
        """The lines that are held."""
        return iter(self._held)

    def close(self) -> None:
        """Write what is held."""
        self.flush()


def _places(lines: Iterable[bytes], path: str, offset: int) -> Iterator[Written]:
    for line in lines:
        yield line, path, offset
        offset += len(line)


def _cannot_write(path: str, error: Exception) -> JournalError:
    reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return JournalError(
        f"the journal {path} cannot be written ({reason}): the job stops, because answers that are not kept "
        "would be paid for again. Mend that (free space, permissions, credentials) and run the same command: "
        "it continues"
    )
