"""Character and word n-grams of a text, hashed: they know every script, and cost next to nothing."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.text_ends import both_ends

if TYPE_CHECKING:
    import numpy.typing as npt

    Counts = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]

BITS = 16
BUCKETS = 1 << BITS

_WORD = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]|\w+|[^\w\s]")
"""A word, a sign, or a character of a script without spaces."""

_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)
_KEPT = np.uint64(64 - BITS)


@dataclass(frozen=True, slots=True)
class View:
    """A part of a text and the n-grams to read in it."""

    first: int
    """So many characters from the text's beginning."""
    last: int
    """And so many from its end, where it is longer."""
    longest: int
    """n-grams of 1 to so many characters or words."""
    words: bool
    weight: float
    """The length of the view's vector: how much it counts beside the others."""


VIEWS = (
    View(600, 300, 4, words=False, weight=2.0),
    View(120, 0, 4, words=False, weight=2.0),
    View(40, 0, 5, words=False, weight=2.0),
    View(0, 120, 4, words=False, weight=1.0),
    View(600, 300, 2, words=True, weight=1.0),
    View(80, 0, 3, words=True, weight=2.0),
    View(0, 80, 3, words=True, weight=1.0),
)
"""What is asked stands mostly at the beginning of a text, or at its end."""


def ngram_counts(text: str) -> Counts:
    """The buckets of a text's n-grams, ascending, and their weights; each view's weights have its length.

    Weights are 1 + log(count). Case is ignored and white space is one space. Of a long text 900 characters
    are read. The hash is the same on every machine.
    """
    plain = " ".join(both_ends(text).lower().split())
    found = [_view_counts(plain, view, number) for number, view in enumerate(VIEWS)]
    buckets = np.concatenate([one[0] for one in found])
    kept, at = np.unique(buckets, return_inverse=True)
    weights = np.bincount(at, np.concatenate([one[1] for one in found]), len(kept))
    return kept, weights.astype(np.float32)


def _view_counts(plain: str, view: View, salt: int) -> Counts:
    part = plain
    if len(plain) > view.first + view.last:
        part = " ".join(filter(None, (plain[: view.first], plain[len(plain) - view.last :])))
    units = _words(part) if view.words else _characters(part)
    runs = [_hashes(units, length, salt) for length in range(1, view.longest + 1) if len(units) >= length]
    if not runs:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    buckets, counts = np.unique(np.concatenate(runs), return_counts=True)
    weights = 1.0 + np.log(counts)
    return buckets, (weights * (view.weight / np.linalg.norm(weights))).astype(np.float32)


def _characters(part: str) -> npt.NDArray[np.uint64]:
    # White space at both ends marks where the text begins and ends.
    encoded = f" {part} ".encode("utf-32-le", "surrogatepass")
    return np.frombuffer(encoded, np.uint32).astype(np.uint64)


def _words(part: str) -> npt.NDArray[np.uint64]:
    found = (zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in _WORD.findall(part))
    return np.fromiter(found, np.uint64)


def _hashes(units: npt.NDArray[np.uint64], length: int, salt: int) -> npt.NDArray[np.int64]:
    """The bucket of each run of so many units."""
    value = np.full(len(units) - length + 1, np.uint64(16 * salt + length))
    for at in range(length):
        value = (value ^ units[at : at + len(value)]) * _FACTOR
        value ^= value >> _HALF
    found: npt.NDArray[np.int64] = ((value * _MIX) >> _KEPT).astype(np.int64)
    return found
