"""Finding answers in journal files: 32 bytes of memory for each; a line is read when it is wanted."""

from __future__ import annotations

import dataclasses
import logging
import os
from array import array
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from router.journal import KEY_END, KEY_START, is_settled, is_whole, read_entry
from router.records import Usage
from transforms.journal_files import can_append

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy.typing as npt
    from fsspec import AbstractFileSystem

    from router.records import Answer

_LOGGER = logging.getLogger(__name__)

_OPEN_FILES = 32
_MERGE_AT = 65_536
_Place = tuple[int, int, int]


class AnswerIndex:
    """The answers of some files; new lines may be added. Not safe to share between threads without a lock."""

    def __init__(self, filesystem: AbstractFileSystem, paths: Iterable[str]) -> None:
        """Read every file once. A damaged or unfinished line is passed over: it costs its own answer only."""
        self._files = _OpenFiles(filesystem)
        self._paths: list[str] = []
        self._numbers: dict[str, int] = {}
        self._keys: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._places: npt.NDArray[np.int64] = np.empty((0, 3), np.int64)
        self._fresh: dict[bytes, list[_Place]] = {}
        self._wasted: dict[bytes, Usage] = {}
        self._read: dict[str, int] = {}
        keys, places = array("Q"), array("q")
        for path in paths:
            self._scan(path, keys, places)
        if keys:
            self._merge(np.frombuffer(keys, np.uint64), np.frombuffer(places, np.int64).reshape(-1, 3))

    def _scan(self, path: str, keys: array[int], places: array[int]) -> None:
        number, offset, damaged = self._number(path), 0, 0
        for line in self._files.lines(path):
            length = len(line)
            if not is_whole(line):
                damaged += offset > 0
            elif is_settled(line):
                keys.append(int(line[KEY_START : KEY_START + 16], 16))
                places.extend((number, offset, length))
            else:
                self._waste(line)
            offset += length
            if line.endswith(b"\n"):
                self._read[path] = offset
        if damaged:
            _LOGGER.warning(
                "%s: %d damaged line(s) passed over; their answers are asked for again", path, damaged
            )

    def _number(self, path: str) -> int:
        if path not in self._numbers:
            self._numbers[path] = len(self._paths)
            self._paths.append(path)
        return self._numbers[path]

    def _waste(self, line: bytes) -> None:
        entry = read_entry(line, "")
        if entry is not None:
            self._wasted[entry.text_key] = self._wasted.get(entry.text_key, Usage()) + entry.answer.usage

    def add(self, line: bytes, path: str, offset: int) -> None:
        """Take in a line that was just written."""
        if not is_settled(line):
            self._waste(line)
            return
        key = bytes.fromhex(line[KEY_START:KEY_END].decode())
        self._fresh.setdefault(key, []).append((self._number(path), offset, len(line)))
        if len(self._fresh) >= _MERGE_AT:
            entries = [(key, place) for key, places in self._fresh.items() for place in places]
            keys = np.array([int.from_bytes(key[:8], "big") for key, _ in entries], np.uint64)
            self._merge(keys, np.array([place for _, place in entries], np.int64))
            self._fresh.clear()

    def take_in(self, sizes: Mapping[str, int]) -> None:
        """Take in what other processes have written since to files of these sizes, or to new ones.

        A file's unfinished last line is taken in when it is whole.
        """
        for path, size in sizes.items():
            offset = self._read.get(path, 0)
            if size <= offset:
                continue
            for line in self._files.lines(path, offset):
                if not line.endswith(b"\n"):
                    break
                if is_whole(line):
                    self.add(line, path, offset)
                offset += len(line)
            self._read[path] = offset

    def _merge(self, keys: npt.NDArray[np.uint64], places: npt.NDArray[np.int64]) -> None:
        keys, places = np.concatenate((self._keys, keys)), np.concatenate((self._places, places))
        order = np.argsort(keys, kind="stable")
        self._keys, self._places = keys[order], places[order]

    def find(
        self, text_key: bytes, model: str, lacks: Callable[[Answer], bool] = lambda _: False
    ) -> Answer | None:
        """The final answer to a text, with all that was ever paid for it; None where there is none.

        The same question may have been answered twice, where a runner repeated a bundle elsewhere, or where
        more of the answer was wanted later: the first one counts of those that lack nothing.
        """
        found = self._answers(text_key, model)
        if not found:
            return None
        if len(found) == 1 and text_key not in self._wasted:
            return None if lacks(found[0]) else found[0]
        best = min(found, key=lacks)
        if lacks(best):
            return None
        usage = sum((answer.usage for answer in found), self.wasted(text_key))
        return best if usage == best.usage else dataclasses.replace(best, usage=usage)

    def spent(self, text_key: bytes, model: str) -> Usage:
        """What was paid for a text so far, in answers and in vain."""
        return sum((answer.usage for answer in self._answers(text_key, model)), self.wasted(text_key))

    def _answers(self, text_key: bytes, model: str) -> list[Answer]:
        return [entry.answer for line in self._lines_of(text_key) if (entry := read_entry(line, model))]

    def wasted(self, text_key: bytes) -> Usage:
        """What attempts that gave no answer to a text have cost."""
        return self._wasted.get(text_key, Usage())

    def _lines_of(self, text_key: bytes) -> list[bytes]:
        half = np.uint64(int.from_bytes(text_key[:8], "big"))
        at = int(self._keys.searchsorted(half))
        places: list[_Place] = []
        while at < len(self._keys) and self._keys[at] == half:
            number, offset, length = self._places[at].tolist()
            places.append((number, offset, length))
            at += 1
        places += self._fresh.get(text_key, ())
        lines = [self._files.read(self._paths[number], offset, length) for number, offset, length in places]
        name = text_key.hex().encode()
        return [line for line in lines if line[KEY_START:KEY_END] == name]

    def __len__(self) -> int:
        """How many answers it holds."""
        return len(self._keys) + sum(map(len, self._fresh.values()))

    def close(self) -> None:
        """Close the files."""
        self._files.close()


class _OpenFiles:
    """A few files kept open for reading, the one used longest ago closed first."""

    def __init__(self, filesystem: AbstractFileSystem) -> None:
        self._filesystem = filesystem
        self._on_disk = can_append(filesystem) and hasattr(os, "pread")
        self._open: OrderedDict[str, Any] = OrderedDict()

    def lines(self, path: str, offset: int = 0) -> Iterable[bytes]:
        """All lines of a file that begin at `offset` or after it, their ends included."""
        with self._filesystem.open(path, "rb") as stream:
            stream.seek(offset)
            yield from stream

    def read(self, path: str, offset: int, length: int) -> bytes:
        """A piece of a file."""
        stream = self._open.pop(path, None) or self._filesystem.open(path, "rb")
        self._open[path] = stream
        if len(self._open) > _OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        if self._on_disk:
            return os.pread(stream.fileno(), length, offset)
        stream.seek(offset)
        data: bytes = stream.read(length)
        return data

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()
