"""Repeats sorted into the splits that hold them."""

from __future__ import annotations

from router.records import Position
from router.repeats import Repeat, Role, pack_repeats, unpack_repeats
from transforms.reading import Split
from transforms.split_repeats import by_split, split_of, split_starts

SPLITS = (
    Split("jsonl", "a.jsonl", 0, 0, 100),
    Split("jsonl", "a.jsonl", 0, 100, 150),
    Split("jsonl", "b.jsonl.gz", 1, 0, None),
    Split("parquet", "c.parquet", 2, 0, 2, first_row=0, rows=10),
    Split("parquet", "c.parquet", 2, 2, 3, first_row=10, rows=5),
)
PLACES = [(0, 0), (0, 99), (0, 100), (0, 149), (1, 0), (1, 10**12), (2, 9), (2, 10), (2, 14)]


def test_each_position_has_its_split() -> None:
    """JSONL by bytes, Parquet by rows; the split itself agrees."""
    starts = split_starts(SPLITS)

    numbers = [split_of(Position(*place), starts) for place in PLACES]

    assert numbers == [0, 0, 1, 1, 2, 2, 3, 4, 4]
    assert all(SPLITS[number].holds(Position(*place)) for number, place in zip(numbers, PLACES, strict=True))


def test_repeats_are_sorted_into_splits() -> None:
    """None is lost or repeated."""
    repeats = [Repeat(Position(*place), Role.COPY, b"k" * 16, rank) for rank, place in enumerate(PLACES)]

    found = dict(by_split(pack_repeats(reversed(repeats)), split_starts(SPLITS)))

    assert {number: len(list(unpack_repeats(packed))) for number, packed in found.items()} == {
        0: 2,
        1: 2,
        2: 2,
        3: 1,
        4: 2,
    }
    back = [repeat for packed in found.values() for repeat in unpack_repeats(packed)]
    assert sorted(back, key=lambda repeat: repeat.rank) == repeats


def test_nothing_has_no_split() -> None:
    """Most inputs repeat nothing."""
    assert list(by_split(b"", split_starts(SPLITS))) == []
