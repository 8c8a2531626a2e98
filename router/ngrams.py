"""Character and word n-grams of a text, hashed: they know every script, and cost next to nothing."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.text_ends import both_ends

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
_LENGTHS = np.array([view.weight for view in VIEWS])


def ngram_counts(text: str) -> Counts:
    """The buckets of a text's n-grams, ascending, and their weights; each view's weights have its length.

    Weights are 1 + log(count). Case is ignored and white space is one space. Of a long text 900 characters
    are read. The hash is the same on every machine.
    """
    plain = " ".join(both_ends(text).lower().split())
    parts = [_words(part) if view.words else _characters(part) for view, part in _parts(plain)]
    keys = _hashes(parts)
    # One sort for all views: a bucket of each is a number of its own.
    keys, counts = np.unique(keys, return_counts=True)
    weights = 1.0 + np.log(counts)
    views = keys >> BITS
    lengths = np.sqrt(np.bincount(views, weights * weights, len(VIEWS)))
    weights *= (_LENGTHS / np.maximum(lengths, 1e-12))[views]
    kept, at = np.unique(keys & (BUCKETS - 1), return_inverse=True)
    return kept, np.bincount(at, weights, len(kept)).astype(np.float32)


def _parts(plain: str) -> Iterator[tuple[View, str]]:
    for view in VIEWS:
        part = plain
        if len(plain) > view.first + view.last:
            part = " ".join(filter(None, (plain[: view.first], plain[len(plain) - view.last :])))
        yield view, part


def _characters(part: str) -> npt.NDArray[np.uint64]:
    # White space at both ends marks where the text begins and ends.
    encoded = f" {part} ".encode("utf-32-le", "surrogatepass")
    return np.frombuffer(encoded, np.uint32).astype(np.uint64)


def _words(part: str) -> npt.NDArray[np.uint64]:
    found = (zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in _WORD.findall(part))
    return np.fromiter(found, np.uint64)


def _hashes(parts: Sequence[npt.NDArray[np.uint64]]) -> npt.NDArray[np.int64]:
    """The bucket of each n-gram of the views' parts, over the number of its view.

    All are made at once, those of the longest n-grams first: text by text, numpy's calls cost more than what
    they do.
    """
    found = []
    offset = 0
    for number, (view, part) in enumerate(zip(VIEWS, parts, strict=True)):
        found += [
            (length, number, offset, len(part) - length + 1)
            for length in range(1, min(view.longest, len(part)) + 1)
        ]
        offset += len(part)
    if not found:
        return np.zeros(0, np.int64)
    runs = np.array(sorted(found, reverse=True), np.int64)
    lengths, numbers, offsets, counts = runs.T
    units = np.concatenate(parts)
    at = np.arange(counts.sum()) + np.repeat(offsets - (np.cumsum(counts) - counts), counts)
    value = np.repeat((16 * numbers + lengths).astype(np.uint64), counts)
    for place in range(lengths[0]):
        reach = counts[lengths > place].sum()
        part = value[:reach]
        part ^= units[at[:reach] + place]
        part *= _FACTOR
        part ^= part >> _HALF
    buckets = ((value * _MIX) >> _KEPT).astype(np.int64)
    return np.asarray(buckets + np.repeat(numbers << BITS, counts), np.int64)
