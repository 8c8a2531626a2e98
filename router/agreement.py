"""How alike two answers are, from 0 to 1: fields of JSON objects, whole short answers, words of long ones."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORT = 3
"""An answer of at most so many words is right or wrong as a whole."""

_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]|[^\W\u3040-\u30ff\u3400-\u9fff"
    r"\uac00-\ud7af\u0e00-\u0e7f]+"
)
"""A word, or a letter of a script that puts no spaces between words."""


def agreement(one: str, other: str, *, as_json: bool) -> float:
    """How alike two answers to the same question are.

    JSON answers: the share of their fields (leaves of the object, of both answers together) that hold the
    same value. Others: 1 or 0 by `folded` where both have at most `SHORT` words; else the F1 of the words
    they have in common, in any order (as ROUGE-1 counts them). Two answers that are alike may both be wrong.
    """
    if as_json:
        try:
            fields = dict(_leaves(json.loads(one))), dict(_leaves(json.loads(other)))
        except (ValueError, RecursionError):
            return 1.0 if folded(one) == folded(other) else 0.0
        names = set(fields[0]) | set(fields[1])
        if not names:
            return 1.0
        same = [name for name in names if fields[0].get(name, _NONE) == fields[1].get(name, _NONE)]
        return len(same) / len(names)
    words = Counter(_words(one)), Counter(_words(other))
    sizes = words[0].total(), words[1].total()
    if max(sizes) <= SHORT:
        return 1.0 if folded(one) == folded(other) else 0.0
    common: int = (words[0] & words[1]).total()
    return 2.0 * common / sum(sizes)


_NONE = object()


def folded(text: str) -> str:
    """A text without what changes no answer: case, width of letters, white space, a last full stop."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(".。 ")


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _leaves(
    value: Any,  # noqa: ANN401 - JSON
    at: tuple[str, ...] = (),
) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from _leaves(one, (*at, key))
    elif isinstance(value, list) and value:
        for number, one in enumerate(value):
            yield from _leaves(one, (*at, str(number)))
    else:
        yield at, folded(value) if isinstance(value, str) else (type(value).__name__, value)
