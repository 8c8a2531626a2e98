"""Questions that wait to be submitted, and how they are put into files that a provider takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from router.job import BatchSettings

if TYPE_CHECKING:
    from router.job import OpenAIModel
    from transforms.batch_results import Question

_MEGABYTE = 1_000_000
_HOUR = 3600.0


class Cut(NamedTuple):
    """One file of requests."""

    questions: list[Question]
    content: bytes


def cut(
    questions: Iterable[Question], line_of: Callable[[Question], bytes], most: int, most_bytes: float
) -> Iterator[Cut]:
    """Put questions into files, in their order: at most so many, and at most so many bytes, in each."""
    file, lines, size = list["Question"](), list[bytes](), 0
    for question in questions:
        line = line_of(question)
        if file and (len(file) >= most or size + len(line) > most_bytes):
            yield Cut(file, b"".join(lines))
            file, lines, size = [], [], 0
        file.append(question)
        lines.append(line)
        size += len(line)
    if file:
        yield Cut(file, b"".join(lines))


class Queue:
    """The questions of one model that wait, in the order of their records."""

    def __init__(self, model: OpenAIModel, wall_clock: Callable[[], float]) -> None:
        """Begin empty."""
        self._settings = model.batching or BatchSettings()
        self._wall_clock = wall_clock
        self._waiting: list[Question] = []
        self._most = self._settings.max_requests
        self._crowded_since: float | None = None
        """Since when the provider takes one file of ours at a time."""

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def put(self, questions: Iterable[Question]) -> None:
        """Let questions wait."""
        self._waiting += questions

    def empty(self) -> list[Question]:
        """Take all that wait."""
        taken, self._waiting = self._waiting, []
        return taken

    def files(self, line_of: Callable[[Question], bytes]) -> Iterator[Cut]:
        """Take what waits, file by file; only one file where the provider's queue has no room for more."""
        for file in cut(tuple(self._waiting), line_of, self._most, self._settings.max_megabytes * _MEGABYTE):
            del self._waiting[: len(file.questions)]
            yield file
            if self._crowded_since is not None:
                return

    def crowded(self, requests: int, *, alone: bool) -> bool:
        """Take note that the provider's queue had no room; False where that has lasted for too long.

        Args:
            requests: How many were in the file that was too much.
            alone: Whether no other file of ours was in the queue: then it may be too large at any time.

        """
        now = self._wall_clock()
        if self._crowded_since is None:
            self._crowded_since = now
        if alone:
            self._most = max(1, min(self._most, requests) // 2)
        return now - self._crowded_since < self._settings.max_wait_hours * _HOUR
