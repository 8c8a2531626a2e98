"""Which repeats are in which split: a worker is told of those in the split that it reads, and no others."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from router.records import Position
from router.repeats import pack_repeats, unpack_repeats

if TYPE_CHECKING:
    from router.repeats import Repeat
    from transforms.reading import Split


def split_starts(splits: Sequence[Split]) -> tuple[Position, ...]:
    """The place at which each split begins, in the order of the splits, which is that of the input."""
    return tuple(
        Position(split.file, split.start if split.kind == "jsonl" else split.first_row) for split in splits
    )


def split_of(position: Position, starts: Sequence[Position]) -> int:
    """The number of the split that holds a position."""
    return bisect.bisect_right(starts, position) - 1


def by_split(packed: bytes, starts: Sequence[Position]) -> Iterator[tuple[int, bytes]]:
    """Packed repeats, sorted into the splits that hold them, by the split's number."""
    found: dict[int, list[Repeat]] = defaultdict(list)
    for repeat in unpack_repeats(packed):
        found[split_of(repeat.position, starts)].append(repeat)
    for number, repeats in found.items():
        yield number, pack_repeats(repeats)
