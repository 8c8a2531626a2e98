"""A short dense vector of a text's characters: what it looks like, in any script, whatever it means."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import numpy as np

from router.text_ends import both_ends

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

DIMENSIONS = 512
_LONGEST = 3
"""n-grams of 1 to 3 characters."""
_FIRST_OTHER_SCRIPT = 0x370
"""Letters below are Latin: the sentence encoder was trained on English."""
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD6E8FEB86659FD93)
_HALF, _SIGN, _KEPT = np.uint64(32), np.uint64(63), np.uint64(64 - 10)


def sketch_texts(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """A vector of length 1 for each text, shape (texts, 512).

    An n-gram adds 1 + log(its count) to one place, or takes it off, as its hash says; the hash is the same on
    every machine. Case and the amount of white space do not matter; of a long text both ends are read.
    """
    found = np.zeros((len(texts), DIMENSIONS), np.float32)
    for row, text in enumerate(texts):
        hashes, counts = np.unique(_hashes(text), return_counts=True)
        mixed = hashes * _MIX
        signs = np.where(mixed >> _SIGN, -1.0, 1.0)
        # The place is of the bits below the sign's.
        places = ((mixed << np.uint64(1)) >> (_KEPT + np.uint64(1))).astype(np.int64)
        vector = np.bincount(places, signs * (1.0 + np.log(counts)), DIMENSIONS)
        found[row] = vector / max(float(np.linalg.norm(vector)), 1e-12)
    return found


def _hashes(text: str) -> npt.NDArray[np.uint64]:
    plain = " ".join(unicodedata.normalize("NFKC", both_ends(text)).lower().split())
    # White space at both ends marks where the text begins and ends.
    units = np.frombuffer(f" {plain} ".encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    found = []
    value = np.zeros(len(units), np.uint64)
    for length in range(1, min(_LONGEST, len(units)) + 1):
        reach = len(units) - length + 1
        value = (value[:reach] ^ units[length - 1 :]) * _FACTOR
        value ^= value >> _HALF
        found.append(value + np.uint64(length))
    return np.concatenate(found)


def is_other_script(text: str) -> bool:
    """Whether most letters of a text are of another script than the Latin one."""
    letters = [character for character in both_ends(text) if character.isalpha()]
    return 2 * sum(ord(letter) >= _FIRST_OTHER_SCRIPT for letter in letters) > len(letters)
