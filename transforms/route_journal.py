"""The journal of routes in one process: what the router found in a text before is not found again.

What the files hold is in `router.route_journal`; docs/journal.md is for their readers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import fsspec
from apache_beam.utils.shared import Shared

from router.route_journal import as_kept, read_route, route_header, write_route
from transforms.journal import JournalError, JournalPlace, look_after, new_writer
from transforms.route_index import RouteIndex

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fsspec import AbstractFileSystem

    from router.findings import Findings
    from transforms.journal_files import AppendedFile, ObjectFiles

_LOGGER = logging.getLogger(__name__)

_STORE_SECONDS = 60.0
"""How long findings may be held back on object stores: finding them again costs time only."""


@dataclass(frozen=True)
class RoutesOf:
    """A job's part of the journal of routes: plain data, from which workers open one for each process."""

    place: JournalPlace
    fingerprint: str
    """What decides findings apart from the text."""
    shared: Shared = field(default_factory=Shared, compare=False)

    def open(self) -> RouteJournal:
        """The journal of this process."""
        journal: RouteJournal = self.shared.acquire(lambda: RouteJournal(self.place, self.fingerprint))
        return journal


class RouteJournal:
    """Findings by text key; safe to share between threads. Close it, or let it be collected."""

    def __init__(self, place: JournalPlace, fingerprint: str) -> None:
        """Read what is there. Raises `OSError` where the place cannot be read."""
        filesystem, folder = fsspec.core.url_to_fs(place.url)
        place = dataclasses.replace(place, flush_seconds=max(place.flush_seconds, _STORE_SECONDS))
        stem = f"route-{fingerprint}"
        filesystem.invalidate_cache()
        paths = sorted(filesystem.glob(f"{folder}/{stem}-*.jsonl"))
        self._index = RouteIndex(found for path in paths for found in _read(filesystem, path))
        self._writer = new_writer(filesystem, folder, stem, route_header(fingerprint), place)
        self._lock = threading.RLock()
        self._finalizer = look_after(self, self._lock, filesystem, place, [_Forgiving(self._writer)])

    def find(self, keys: Sequence[bytes]) -> list[Findings | None]:
        """What was found in the texts with these keys; None where nothing is known."""
        with self._lock:
            return self._index.find(keys)

    def keep(self, keys: Sequence[bytes], found: Sequence[Findings]) -> list[Findings]:
        """Write findings down together; returns them as they are found again. Raises `JournalError`."""
        kept = [as_kept(one) for one in found]
        lines = b"".join(map(write_route, keys, kept))
        with self._lock:
            # What is held back on a store is in the index already.
            self._writer.write(lines)
            for key, one in zip(keys, kept, strict=True):
                self._index.add(key, one)
        return kept

    def flush(self) -> None:
        """Write what is held back. Raises `JournalError`."""
        with self._lock:
            self._writer.flush()

    def flush_due(self) -> None:
        """Write what has been held back for long enough. Raises `JournalError`."""
        with self._lock:
            self._writer.flush_due()

    def close(self) -> None:
        """Write what is held back and close the file; closing twice is harmless."""
        self._finalizer()


@dataclass(frozen=True)
class _Forgiving:
    """A writer that is closed at the very end, when nobody is there any more to be told that it failed."""

    writer: AppendedFile | ObjectFiles

    def close(self) -> None:
        """Write what is held, where that is possible: what is lost is found again."""
        with contextlib.suppress(JournalError):
            self.writer.close()


def _read(filesystem: AbstractFileSystem, path: str) -> Iterator[tuple[bytes, Findings]]:
    damaged = 0
    with filesystem.open(path, "rb") as stream:
        for number, line in enumerate(stream):
            found = read_route(line)
            if found is not None:
                yield found
            else:
                damaged += number > 0
    if damaged:
        _LOGGER.warning("%s: %d damaged line(s) passed over; their texts are read again", path, damaged)
