"""The sample of the records with the smallest keys."""

from __future__ import annotations

import hashlib
import random

import pytest

from router.records import Position
from router.sampling import SmallestKeys, smallest_of

KEYS = [hashlib.sha256(str(number).encode()).digest()[:16] for number in range(200)]


def at(number: int) -> Position:
    """The place of a numbered item in the input."""
    return Position(0, number)


def kept(size: int, keys: list[bytes]) -> list[tuple[bytes, int]]:
    """The items that are kept of numbered keys."""
    sample = SmallestKeys[int](size, at)
    for key in keys:
        sample.offer(key, KEYS.index(key))
    return sample.items()


def test_the_smallest_keys_are_kept() -> None:
    """In order of their keys, each with its item."""
    expected = sorted(KEYS)[:10]

    found = kept(10, KEYS)

    assert [key for key, _ in found] == expected
    assert [KEYS[item] for _, item in found] == expected


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_order_and_splitting_do_not_matter(seed: int) -> None:
    """Workers see the records in any order and in any pieces; the sample is the same."""
    keys = KEYS.copy()
    random.Random(seed).shuffle(keys)
    cut = seed * 40
    pieces = [keys[:cut], keys[cut : cut + 7], keys[cut + 7 :]]

    assert smallest_of(10, [kept(10, piece) for piece in pieces], at) == kept(10, KEYS)


@pytest.mark.parametrize("numbers", [(1, 2, 3), (3, 2, 1), (2, 1, 3)])
def test_equal_keys_are_drawn_once(numbers: tuple[int, ...]) -> None:
    """Copies of a text say nothing new; the first in the input stays, in whatever order they come."""
    sample = SmallestKeys[int](5, at)
    for number in numbers:
        sample.offer(b"b", number)
    sample.offer(b"a", 9)

    assert sample.items() == [(b"a", 9), (b"b", 1)]


def test_wants_tells_before_an_item_is_made() -> None:
    """A key that would not be kept is not wanted."""
    sample = SmallestKeys[int](2, at)
    sample.offer(b"\x05", 5)
    assert sample.wants(b"\xff")

    sample.offer(b"\x07", 7)

    assert sample.wants(b"\x06")
    assert not sample.wants(b"\x08")


def test_a_key_that_was_pushed_out_does_not_come_back() -> None:
    """Offered again, it is still too large."""
    sample = SmallestKeys[int](1, at)
    for key in (b"\x02", b"\x01", b"\x02"):
        sample.offer(key, key[0])

    assert sample.items() == [(b"\x01", 1)]


def test_a_sample_of_none_keeps_nothing() -> None:
    """Size 0 is how a job without calibration asks for none."""
    sample = SmallestKeys[int](0, at)
    sample.offer(b"a", 1)

    assert not sample.wants(b"a")
    assert sample.items() == []
