"""Text on its way to a model behind an endpoint, and JSON on its way back."""

from __future__ import annotations

import re
from typing import Any

_FENCE = re.compile(r"```[A-Za-z0-9_-]*\s*\n?(?P<inside>.*?)\s*```", re.DOTALL)


def sendable(text: str) -> str:
    """The text with "?" for lone surrogates, which UTF-8 cannot carry."""
    return text.encode("utf-8", "replace").decode("utf-8")


def unfenced(text: str) -> str:
    """What stands inside a code fence that is all of the text; any other text as it is."""
    fenced = _FENCE.fullmatch(text)
    return text if fenced is None else fenced["inside"]


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, for `object_pairs_hook`. Raises `ValueError` where it contradicts itself."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found
