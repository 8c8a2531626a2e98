"""Notes that workers leave while they run, so that whoever started the job can show how far it is.

Every worker process overwrites a small file of its own in the output's state folder; nothing is ever locked.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import fsspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SECONDS_LOCAL = 0.5
_SECONDS_REMOTE = 20.0


class ProgressNote:
    """Counts of one stage in one worker, written to `STATE/progress/` at most every half second."""

    def __init__(self, state: str) -> None:
        """`state` is the URL of the output's state folder."""
        self._filesystem, folder = fsspec.core.url_to_fs(state)
        self._path = f"{folder}/progress/{uuid.uuid4().hex}.json"
        self._counts: Counter[str] = Counter()
        local = "file" in _protocols(self._filesystem.protocol)
        self._pause = _SECONDS_LOCAL if local else _SECONDS_REMOTE
        self._next = 0.0

    def add(self, **counts: int) -> None:
        """Add to the counts, and write them if the last note is old."""
        for name, count in counts.items():
            self._counts[name] += count
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._pause
            self.write()

    def write(self) -> None:
        """Write the counts now."""
        self._filesystem.makedirs(self._path.rpartition("/")[0], exist_ok=True)
        with self._filesystem.open(self._path, "w") as stream:
            json.dump(self._counts, stream)


class CountProgress(beam.DoFn):
    """Passes on what comes, and counts it under a name."""

    def __init__(self, state: str, name: str) -> None:
        """`state` is the URL of the output's state folder."""
        self._state, self._name = state, name

    def setup(self) -> None:
        """Count anew in each worker."""
        self._note = ProgressNote(self._state)

    def process(self, element: Any) -> Iterator[Any]:  # noqa: ANN401 - whatever is counted
        """Count one."""
        self._note.add(**{self._name: 1})
        yield element

    def finish_bundle(self) -> None:
        """Write what was counted since the last note."""
        self._note.write()


def read_progress(state: str) -> Mapping[str, int]:
    """Sum of all notes; a note that is being written just then is left out."""
    filesystem, folder = fsspec.core.url_to_fs(state)
    total: Counter[str] = Counter()
    try:
        names = filesystem.ls(f"{folder}/progress", detail=False, refresh=True)
    except FileNotFoundError:
        return total
    for name in names:
        with contextlib.suppress(ValueError, FileNotFoundError):
            total.update(json.loads(filesystem.cat_file(name)))
    return total


def clear_progress(state: str) -> None:
    """Remove all notes: what comes next is counted from zero."""
    filesystem, folder = fsspec.core.url_to_fs(state)
    if filesystem.exists(f"{folder}/progress"):
        filesystem.rm(f"{folder}/progress", recursive=True)


def _protocols(protocol: str | tuple[str, ...]) -> tuple[str, ...]:
    return (protocol,) if isinstance(protocol, str) else protocol
