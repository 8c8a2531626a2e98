"""The sample of the records with the smallest keys."""

from __future__ import annotations

import hashlib
import random

import pytest

from router.sampling import SmallestKeys, smallest_of

KEYS = [hashlib.sha256(str(number).encode()).digest()[:16] for number in range(200)]


def kept(size: int, keys: list[bytes]) -> list[tuple[bytes, int]]:
    """The items that are kept of numbered keys."""
    sample = SmallestKeys[int](size)
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

    assert smallest_of(10, [kept(10, piece) for piece in pieces]) == kept(10, KEYS)


def test_equal_keys_are_drawn_once() -> None:
    """Copies of a text say nothing new; the first item stays."""
    sample = SmallestKeys[str](5)
    for key, item in ((b"b", "first"), (b"b", "second"), (b"a", "other")):
        sample.offer(key, item)

    assert sample.items() == [(b"a", "other"), (b"b", "first")]


def test_wants_tells_before_an_item_is_made() -> None:
    """A key that would not be kept, or is kept already, is not wanted."""
    sample = SmallestKeys[str](2)
    sample.offer(b"\x05", "five")
    assert sample.wants(b"\xff")

    sample.offer(b"\x07", "seven")

    assert sample.wants(b"\x06")
    assert not sample.wants(b"\x08")
    assert not sample.wants(b"\x05")


def test_a_key_that_was_pushed_out_does_not_come_back() -> None:
    """Offered again, it is still too large."""
    sample = SmallestKeys[int](1)
    for key in (b"\x02", b"\x01", b"\x02"):
        sample.offer(key, key[0])

    assert sample.items() == [(b"\x01", 1)]


def test_a_sample_of_none_keeps_nothing() -> None:
    """Size 0 is how a job without calibration asks for none."""
    sample = SmallestKeys[int](0)
    sample.offer(b"a", 1)

    assert not sample.wants(b"a")
    assert sample.items() == []
