"""The code that was meant where something else stands for a language: a name, a country, another norm."""

from __future__ import annotations

import re

from router.language import KNOWN_AS, LANGUAGES, UNDETERMINED

CODES = tuple(sorted(LANGUAGES - {UNDETERMINED}))
"""What an answer's language can be found to be."""

_CALLED = {
    "ar": "arabic ara",
    "bg": "bulgarian bul",
    "bn": "bengali bangla ben",
    "cs": "czech cz cze ces",
    "da": "danish dk dan",
    "de": "german deutsch ger deu at",
    "el": "greek gr gre ell",
    "en": "english eng us gb",
    "es": "spanish sp spa",
    "et": "estonian ee est",
    "fa": "persian farsi per fas",
    "fi": "finnish fin",
    "fr": "french fre fra",
    "he": "hebrew iw heb",
    "hi": "hindi hin",
    "hr": "croatian hrv",
    "hu": "hungarian hun",
    "id": "indonesian ind",
    "it": "italian ita",
    "ja": "japanese jp jpn",
    "ko": "korean kr kor",
    "lt": "lithuanian lit",
    "lv": "latvian lav",
    "ms": "malay may msa",
    "nl": "dutch dut nld",
    "no": "norwegian nb nor nob",
    "pl": "polish pol",
    "pt": "portuguese por",
    "ro": "romanian rum ron",
    "ru": "russian rus",
    "sk": "slovak slo slk",
    "sl": "slovenian slovene slv",
    "sr": "serbian rs srp",
    "sv": "swedish se swe",
    "ta": "tamil tam",
    "th": "thai tha",
    "tl": "tagalog filipino fil",
    "tr": "turkish tur",
    "uk": "ukrainian ua ukr",
    "ur": "urdu urd",
    "vi": "vietnamese vn vie",
    "zh": "chinese mandarin cn tw chi zho cmn",
}
_MEANT = KNOWN_AS | {name: code for code, names in _CALLED.items() for name in names.split()}
_REGION = re.compile(r"[-_ ].*", re.DOTALL)


def meant_language(name: str) -> str | None:
    """The code that was probably meant; None where that cannot be told."""
    for one in (name.strip().lower(), _REGION.sub("", name.strip().lower())):
        code = _MEANT.get(one, one)
        if code in CODES:
            return code
    return None


def language_suggestion(name: str) -> str:
    """Say which code was probably meant, else which ones begin with the same letter."""
    meant = meant_language(name)
    if meant is not None:
        return f"did you mean {meant}?"
    alike = [code for code in CODES if code.startswith(name[:1].lower())] if name else []
    if not alike:
        return "give an ISO 639-1 code such as en or ja"
    return f"known are {', '.join(alike)} and others"
