"""What the outside of a text shows: its length, marks and scripts. Cheap, and the same in every language."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np

from router.text_ends import both_ends

if TYPE_CHECKING:
    import numpy.typing as npt

_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("code fences", re.compile(r"```|~~~")),
    (
        "code",
        re.compile(
            r"[{};]\s*$|^\s*(?:def|class|import|function|SELECT|#include)\b|\w\(\)|=>|==", re.MULTILINE
        ),
    ),
    ("markup", re.compile(r"</?\w+[^<>]*>")),
    ("addresses", re.compile(r"https?://|www\.")),
    ("posts", re.compile(r"(?<!\w)[@#]\w")),
    ("list items", re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.MULTILINE)),
    ("options", re.compile(r"(?:^|\s)\(?[A-Da-d][.):]\s")),
    ("question marks", re.compile(r"[?？]")),
    ("exclamations", re.compile(r"[!！]")),
    ("quotes", re.compile(r"[\"“”「」『』«»]")),
    ("colons", re.compile(r"[:：]")),
    ("line breaks", re.compile(r"\n")),
    ("empty lines", re.compile(r"\n\s*\n")),
    ("digits", re.compile(r"\d")),
    ("formula", re.compile(r"\d\s*[-+*/×÷=^]\s*\d|\\(?:frac|sqrt)|\b[xyz]\s*=")),
    ("money", re.compile(r"[$€£¥₹]|\b(?:USD|EUR|GBP)\b|%")),
    ("capitals", re.compile(r"[A-Z]")),
    ("placeholders", re.compile(r"\[[^\]\n]{1,40}\]|\{[^}\n]{1,40}\}|_{3,}")),
    ("latin", re.compile(r"[A-Za-z\u00c0-\u024f]")),
    ("han", re.compile(r"[\u4e00-\u9fff]")),
    ("kana", re.compile(r"[\u3041-\u30fa]")),
    ("hangul", re.compile(r"[\uac00-\ud7a3]")),
    ("cyrillic", re.compile(r"[\u0400-\u04ff]")),
    ("arabic", re.compile(r"[\u0600-\u06ff]")),
    ("devanagari", re.compile(r"[\u0900-\u097f]")),
)

NAMES: tuple[str, ...] = ("characters", "words", "ends in a question", *(name for name, _ in _PATTERNS))
"""What the entries of a vector are."""


def surface_features(text: str) -> npt.NDArray[np.float32]:
    """Counts as logarithms and shares, about 0 to 1 each; shape (len(NAMES),).

    Only the first and the last 2,000 characters are looked at, but for the length.
    """
    seen = both_ends(text)
    found = [
        math.log1p(len(text)) / 10.0,
        math.log1p(len(seen.split())) / 10.0,
        float(seen.rstrip().endswith(("?", "？"))),
    ]
    letters = max(len(seen), 1)
    for name, pattern in _PATTERNS:
        count = len(pattern.findall(seen))
        share = name in _AS_SHARES
        found.append(count / letters if share else math.log1p(count) / 4.0)
    return np.array(found, np.float32)


_AS_SHARES = frozenset(
    {"digits", "capitals", "latin", "han", "kana", "hangul", "cyrillic", "arabic", "devanagari"}
)
