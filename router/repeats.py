"""Finding repeated ids and texts among millions of records from a compact index.

A record's entry is 28 bytes: a 16-byte key (digest of the id, or of text and task) and its position. Entries
are grouped into buckets by the key's first byte, and repeats are found bucket by bucket with a sort. What is
found travels packed too, because an input may repeat itself from end to end.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.records import Position

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    import numpy.typing as npt

KEY_BYTES = 16
_BUCKETS = 64
_REPEAT = struct.Struct(f">IQBI{KEY_BYTES}s")
_FILE_BYTES, _OFFSET_BYTES = 4, 8
_ENTRY_BYTES = KEY_BYTES + _FILE_BYTES + _OFFSET_BYTES


class Role(enum.Enum):
    """What a position is among those with the same key."""

    ORIGINAL = 0
    COPY = 1
    SAME_ID = 2


@dataclass(frozen=True, slots=True)
class Repeat:
    """A position whose key occurs more than once; `rank` is 0 for the first in input order."""

    position: Position
    role: Role
    key: bytes
    rank: int


def bucket_of(key: bytes) -> int:
    """The bucket in which all entries of a key are: 0 to 63."""
    return key[0] % _BUCKETS


def pack_repeats(repeats: Iterable[Repeat]) -> bytes:
    """33 bytes for each; the inverse of `unpack_repeats`."""
    return b"".join(
        _REPEAT.pack(one.position.file, one.position.offset, one.role.value, one.rank, one.key)
        for one in repeats
    )


def unpack_repeats(packed: bytes) -> Iterator[Repeat]:
    """The repeats of `pack_repeats`, in their order."""
    for file, offset, role, rank, key in _REPEAT.iter_unpack(packed):
        yield Repeat(Position(file, offset), Role(role), key, rank)


def pack_entry(key: bytes, position: Position) -> bytes:
    """The 28 bytes of one entry. Raises `ValueError` for a key of another length."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
    # Big-endian, so that entries sort by key and then by position.
    return key + position.file.to_bytes(_FILE_BYTES, "big") + position.offset.to_bytes(_OFFSET_BYTES, "big")


def find_repeated_ids(blocks: Iterable[bytes]) -> Iterator[Repeat]:
    """The second and later records of each id, in one bucket's packed entries."""
    for key, group in _groups(blocks, frozenset()):
        for rank, position in enumerate(group[1:], start=1):
            yield Repeat(position, Role.SAME_ID, key, rank)


def find_copies(blocks: Iterable[bytes], refused: Collection[Position]) -> Iterator[Repeat]:
    """For each text that occurs more than once: its first record (the original) and the copies.

    Records in `refused` (repeated ids) are not counted: they are dead letters and answer nothing.
    """
    for key, group in _groups(blocks, refused):
        for rank, position in enumerate(group):
            yield Repeat(position, Role.COPY if rank else Role.ORIGINAL, key, rank)


def _groups(blocks: Iterable[bytes], refused: Collection[Position]) -> Iterator[tuple[bytes, list[Position]]]:
    data = np.frombuffer(b"".join(blocks), dtype=np.uint8).reshape(-1, _ENTRY_BYTES)
    if not len(data):
        return
    # Opaque bytes, because numpy's S type drops trailing zero bytes from keys.
    rows = data[np.argsort(data.view(f"V{_ENTRY_BYTES}").reshape(-1), kind="stable")]
    same = (rows[1:, :KEY_BYTES] == rows[:-1, :KEY_BYTES]).all(axis=1)
    for begin, end in _runs(same):
        key = rows[begin, :KEY_BYTES].tobytes()
        positions = [_position(row) for row in rows[begin:end]]
        kept = [position for position in positions if position not in refused]
        if len(kept) > 1:
            yield key, kept


def _runs(same: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Begin and end of each run of equal rows, where `same` says whether a row equals the one before it."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], same, [False])).astype(np.int8)))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        yield int(begin), int(end) + 1


def _position(row: npt.NDArray[np.uint8]) -> Position:
    raw = row.tobytes()
    offset = KEY_BYTES + _FILE_BYTES
    return Position(int.from_bytes(raw[KEY_BYTES:offset], "big"), int.from_bytes(raw[offset:], "big"))
