"""Repeated ids and texts, found in packed entries."""

from __future__ import annotations

import pytest

from router.records import Position
from router.repeats import (
    Repeat,
    Role,
    bucket_of,
    find_copies,
    find_repeated_ids,
    pack_entry,
    pack_repeats,
    unpack_repeats,
)

A, B, C = (bytes([value]) * 16 for value in (1, 2, 3))


def packed(*entries: tuple[bytes, int, int]) -> bytes:
    """Entries of key, file and offset as one block."""
    return b"".join(pack_entry(key, Position(file, offset)) for key, file, offset in entries)


def test_the_first_record_of_an_id_in_input_order_stays() -> None:
    """Whatever the order in which workers deliver: file before offset."""
    blocks = [packed((A, 1, 0), (B, 0, 9)), packed((A, 0, 300)), packed((A, 0, 70_000), (C, 5, 5))]

    found = list(find_repeated_ids(blocks))

    assert found == [
        Repeat(Position(0, 70_000), Role.SAME_ID, A, 1),
        Repeat(Position(1, 0), Role.SAME_ID, A, 2),
    ]


def test_copies_are_found_among_files() -> None:
    """The first is the original, the others are its copies, numbered in input order."""
    found = list(find_copies([packed((A, 2, 7), (A, 0, 7), (B, 0, 8), (A, 1, 0))], frozenset()))

    assert found == [
        Repeat(Position(0, 7), Role.ORIGINAL, A, 0),
        Repeat(Position(1, 0), Role.COPY, A, 1),
        Repeat(Position(2, 7), Role.COPY, A, 2),
    ]


def test_a_refused_record_is_no_original() -> None:
    """The next one with its text takes its place."""
    blocks = [packed((A, 0, 0), (A, 0, 10), (A, 0, 20))]

    found = list(find_copies(blocks, frozenset({Position(0, 0)})))

    assert found == [Repeat(Position(0, 10), Role.ORIGINAL, A, 0), Repeat(Position(0, 20), Role.COPY, A, 1)]


def test_where_only_one_record_remains_there_are_no_copies() -> None:
    """An original without copies is a record like any other."""
    assert not list(find_copies([packed((A, 0, 0), (A, 0, 10))], frozenset({Position(0, 10)})))


def test_keys_that_differ_in_trailing_zeros_differ() -> None:
    """Digests may end in zero bytes, which strings in numpy would drop."""
    ends_in_zero = b"\x01" * 15 + b"\x00"
    longer = b"\x01" * 14 + b"\x00\x00"

    assert not list(find_copies([packed((ends_in_zero, 0, 0), (longer, 0, 1))], frozenset()))
    assert len(list(find_copies([packed((longer, 0, 0), (longer, 0, 1))], frozenset()))) == 2


def test_keys_above_127_sort_as_bytes() -> None:
    """Signed comparison would tear equal keys apart."""
    keys = [bytes([value]) * 16 for value in (0, 127, 128, 255)]
    entries = [(key, 0, offset) for offset, key in enumerate(keys * 2)]

    found = list(find_copies([packed(*entries)], frozenset()))

    assert [repeat.position.offset for repeat in found] == [0, 4, 1, 5, 2, 6, 3, 7]


def test_nothing_is_found_in_nothing() -> None:
    """An empty bucket has no groups."""
    assert not list(find_repeated_ids([]))
    assert not list(find_copies([b""], frozenset()))


def test_large_positions_survive_packing() -> None:
    """Offsets of 64 bits, file numbers of 32."""
    last = Position(2**32 - 1, 2**64 - 1)

    found = list(find_repeated_ids([packed((A, 0, 0)), pack_entry(A, last)]))

    assert [repeat.position for repeat in found] == [last]


def test_repeats_survive_packing() -> None:
    """In 33 bytes each, in their order; the largest values too."""
    repeats = [
        Repeat(Position(0, 0), Role.ORIGINAL, A, 0),
        Repeat(Position(2**32 - 1, 2**64 - 1), Role.COPY, b"\x00" * 16, 2**32 - 1),
        Repeat(Position(7, 9), Role.SAME_ID, b"\xff" * 16, 3),
    ]

    packed = pack_repeats(repeats)

    assert len(packed) == 3 * 33
    assert list(unpack_repeats(packed)) == repeats
    assert list(unpack_repeats(pack_repeats([]))) == []


def test_equal_keys_are_in_one_bucket() -> None:
    """There are 64 of them."""
    keys = [bytes([first]) * 16 for first in range(256)]

    assert {bucket_of(key) for key in keys} == set(range(64))
    assert bucket_of(b"\x41" + b"\x00" * 15) == bucket_of(b"\x41" * 16) == 1


def test_a_key_of_another_length_is_refused() -> None:
    """It would shift every entry after it."""
    with pytest.raises(ValueError, match="16 bytes, not 3"):
        pack_entry(b"abc", Position(0, 0))
