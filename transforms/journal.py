"""The journal of one model in one process: answers given before are found in it, new ones are kept at once.

What the files hold is in `router.journal`; docs/journal.md is for their readers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import fsspec

from router.journal import Entry, as_journaled, header, read_entry, write_entry
from router.records import Usage
from transforms.journal_files import AppendedFile, JournalError, ObjectFiles, can_append
from transforms.journal_index import AnswerIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fsspec import AbstractFileSystem

    from router.records import Answer
    from transforms.journal_files import Written

__all__ = [
    "Journal",
    "JournalError",
    "JournalOf",
    "JournalPlace",
    "flush_all",
    "look_after",
    "new_writer",
]

_LOGGER = logging.getLogger(__name__)

Tier = Literal["slm", "llm"]

_LOOK_SECONDS = 0.05
"""How often, at most, a process looks at what others have written since: sooner than any runner starts anew
what a dead worker had begun."""
_LOOK_SHARE = 20
"""And so many times as seldom as it takes long, which bounds what looking costs."""


@dataclass(frozen=True, slots=True)
class JournalPlace:
    """Where a job's journal is and, on object stores, how much may be held back."""

    url: str
    flush_records: int = 100
    flush_seconds: float = 10.0
    features: bool = False
    """Whether local models' features are kept, and answers without them not taken."""
    embedding: bool = False
    """The same of the sentence encoder's vectors."""


@dataclass(frozen=True)
class JournalOf:
    """A model's part of the journal: plain data, from which a worker opens it."""

    place: JournalPlace
    tier: Tier
    model: str
    fingerprints: Mapping[str, str]
    """By task: what decides the answers apart from the text."""


class _Held(Protocol):
    """A journal that may hold lines back, as this module sees it."""

    def flush(self) -> None: ...

    def flush_due(self) -> None: ...


class _Closed(Protocol):
    def close(self) -> None: ...


_OPEN: weakref.WeakSet[_Held] = weakref.WeakSet()
"""The journals of this process: one that ends at once must write what they hold back, see `flush_all`."""


def flush_all() -> None:
    """Write what any journal of this process holds back, as far as that is possible."""
    for journal in list(_OPEN):
        with contextlib.suppress(JournalError):
            journal.flush()


def new_writer(
    filesystem: AbstractFileSystem, folder: str, stem: str, first: bytes, place: JournalPlace
) -> AppendedFile | ObjectFiles:
    """What writes the lines of one process as the filesystem allows; `first` is the first of each file."""
    if can_append(filesystem):
        return AppendedFile(filesystem, folder, stem, first)
    return ObjectFiles(filesystem, folder, stem, first, place.flush_records, place.flush_seconds)


def look_after(
    journal: _Held,
    lock: threading.RLock,
    filesystem: AbstractFileSystem,
    place: JournalPlace,
    parts: Sequence[_Closed],
) -> Callable[[], object]:
    """Have what a journal holds back written in time, and at the latest when it is collected.

    Returns what closes it: `parts` in their order; calling that twice is harmless.
    """
    closing = threading.Event()
    # Where lines are held back, what is held must leave before the process does.
    finalizer = weakref.finalize(journal, _close, lock, closing, parts)
    _OPEN.add(journal)
    if not can_append(filesystem):
        threading.Thread(
            target=_flush_now_and_then, args=(weakref.ref(journal), closing, place), daemon=True
        ).start()
    return finalizer


class Journal:
    """One model's answers; safe to share between threads. Close it, or let it be collected."""

    def __init__(self, of: JournalOf) -> None:
        """Index what is there. Raises `OSError` where the place cannot be read."""
        self._of = of
        self._filesystem, self._folder = fsspec.core.url_to_fs(of.place.url)
        self._lock = threading.RLock()
        self._indexes = {task: self._open_index(task) for task in of.fingerprints}
        self._writers = {task: self._new_writer(task) for task in of.fingerprints}
        self._least_pause = _LOOK_SECONDS if can_append(self._filesystem) else of.place.flush_seconds
        self._next_look = time.monotonic() + self._least_pause
        parts = [*self._writers.values(), *self._indexes.values()]
        self._finalizer = look_after(self, self._lock, self._filesystem, of.place, parts)

    def _stem(self, task: str) -> str:
        return f"{self._of.tier}-{self._of.fingerprints[task]}"

    def _open_index(self, task: str) -> AnswerIndex:
        self._filesystem.invalidate_cache()
        paths = self._filesystem.glob(f"{self._folder}/{self._stem(task)}-*.jsonl")
        return AnswerIndex(self._filesystem, sorted(paths))

    def _new_writer(self, task: str) -> AppendedFile | ObjectFiles:
        first = header(self._of.fingerprints[task], self._of.model, task)
        return new_writer(self._filesystem, self._folder, self._stem(task), first, self._of.place)

    def find(self, task: str, text_key: bytes) -> Answer | None:
        """The final answer to a text, as given before and with all it cost; None where it must be asked.

        What other processes were told by a hosted model meanwhile is found too: where one of them died, a
        runner may have its records repeated here, long after this journal was opened.
        """
        with self._lock:
            found = self._found(task, text_key)
            if found is None and self._of.tier == "llm" and time.monotonic() >= self._next_look:
                self._look_at_others()
                found = self._found(task, text_key)
            return found

    def _found(self, task: str, text_key: bytes) -> Answer | None:
        return self._indexes[task].find(text_key, self._of.model, self._lacks) or self._held(task, text_key)

    def _look_at_others(self) -> None:
        started = time.monotonic()
        try:
            self._take_in_others()
        # Every filesystem has exception types of its own. What cannot be seen just now is asked for.
        except Exception:
            _LOGGER.warning("%s: cannot see what other workers wrote", self._folder, exc_info=True)
        now = time.monotonic()
        self._next_look = now + max(self._least_pause, _LOOK_SHARE * (now - started))

    def _take_in_others(self) -> None:
        self._filesystem.invalidate_cache(self._folder)
        try:
            files = self._filesystem.ls(self._folder, detail=True)
        except FileNotFoundError:
            return  # nobody has written yet
        for task, index in self._indexes.items():
            start, writer = f"{self._stem(task)}-", self._writers[task]
            names = ((one["name"].rpartition("/")[2], one) for one in files)
            index.take_in(
                {
                    one["name"]: one["size"]
                    for name, one in names
                    if name.startswith(start) and name.endswith(".jsonl") and not writer.owns(name)
                }
            )

    def _held(self, task: str, text_key: bytes) -> Answer | None:
        for line in self._writers[task].waiting():
            entry = read_entry(line, self._of.model)
            if entry is None or entry.text_key != text_key or not entry.final:
                continue
            if not self._lacks(entry.answer):
                return entry.answer
        return None

    def _lacks(self, answer: Answer) -> bool:
        """Whether something is missing of what a learned head will look at."""
        scores, place = answer.scores, self._of.place
        if scores is None:
            return False
        return (place.features and scores.features is None) or (place.embedding and scores.embedding is None)

    def keep(self, task: str, text_key: bytes, answer: Answer, *, at_once: bool = True) -> Answer:
        """Write an answer down; returns it with what earlier attempts at this text have cost added.

        An attempt that failed and cost nothing is not worth a line. With `at_once=False`, an answer of a
        hosted model outlives this process but not the machine until `sync`. Raises `JournalError`.
        """
        if answer.failure is not None and answer.usage.usd == 0 and not Entry(text_key, answer).final:
            with self._lock:
                return _with_usage(answer, self._indexes[task].wasted(text_key))
        place = self._of.place
        kept = as_journaled(answer, features=place.features, embedding=place.embedding)
        line = write_entry(Entry(text_key, kept))
        with self._lock:
            earlier = self._indexes[task].spent(text_key, self._of.model)
            self._take_in(task, self._writers[task].write(line))
        if self._of.tier == "llm" and at_once:
            self._writers[task].sync()
        return _with_usage(answer, earlier)

    def sync(self) -> None:
        """Write what is held back, and wait until the disk has all. Raises `JournalError`."""
        self.flush()
        for writer in self._writers.values():
            writer.sync()

    def flush(self) -> None:
        """Write what is held back. Raises `JournalError`."""
        with self._lock:
            for task, writer in self._writers.items():
                self._take_in(task, writer.flush())

    def flush_due(self) -> None:
        """Write what has been held back for long enough. Raises `JournalError`."""
        with self._lock:
            for task, writer in self._writers.items():
                self._take_in(task, writer.flush_due())

    def _take_in(self, task: str, lines: Iterable[Written]) -> None:
        for written in lines:
            self._indexes[task].add(*written)

    def close(self) -> None:
        """Write what is held back and close the files; closing twice is harmless."""
        self._finalizer()


def _with_usage(answer: Answer, usage: Usage) -> Answer:
    return answer if usage == Usage() else dataclasses.replace(answer, usage=answer.usage + usage)


def _close(lock: threading.RLock, closing: threading.Event, parts: Sequence[_Closed]) -> None:
    closing.set()
    with lock:
        for part in parts:
            part.close()


def _flush_now_and_then(journal: weakref.ref[_Held], closing: threading.Event, place: JournalPlace) -> None:
    while not closing.wait(min(1.0, place.flush_seconds)):
        found = journal()
        if found is None:
            return
        try:
            found.flush_due()
        except JournalError:
            # The next answer meets the same error where the job can hear it.
            return
        del found
