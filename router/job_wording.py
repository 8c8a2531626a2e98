"""Words for problems in a job file: the place, the value (never a secret) and the nearest known name."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_SHOWN = 60
_LISTED = 10
_CUTOFF = 0.6

_SECRET_VALUE = re.compile(
    r"(?<![A-Za-z0-9])sk-\w{3}"
    r"|(?<![A-Za-z0-9])(?:gsk|hf|gh[a-z]|github_pat|glpat|pypi|npm|xox[a-z]|[spr]k)[-_][A-Za-z0-9_-]{16,}"
    r"|AKIA[A-Z0-9]{12}|AIza[\w-]{20}|eyJ[\w-]{10}|Bearer\s+\S"
    # A password or a signature in a URL.
    r"|://[^/\s]*:[^/\s]*@|[?&][^=&\s]*(?:key|sig|token|secret|credential)[^=&\s]*="
    # A long run of letters and digits without a break is no name that a person gave.
    r"|(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{24}",
    re.IGNORECASE,
)
_SECRET_KEY = re.compile(r"api_?key|secret|token(?!s)|passw|credential|^auth", re.IGNORECASE)


def looks_secret(text: str) -> bool:
    """Tell whether a text may hold a key, a password or a signed URL; rather once too often."""
    return _SECRET_VALUE.search(text) is not None


def names_secret(key: object) -> bool:
    """Tell whether what stands under a key may be a secret; rather once too often."""
    return _SECRET_KEY.search(str(key)) is not None


def dotted(path: tuple[str | int, ...]) -> str:
    """Write a path as in `tasks[0].labels[1].name`; a part that looks like a secret is left out."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += "." * bool(text) + ("(not shown)" if looks_secret(part) else shortened(part))
    return text


def shown(value: object, path: tuple[str | int, ...] = ()) -> str | None:
    """Write a scalar as YAML would, at most 60 characters of it; None where its place or look is a secret's.

    Lists and mappings are named by their kind only, because a secret may stand anywhere in them.
    """
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value)
    if looks_secret(text) or (path and names_secret(path[-1])):
        return None
    return repr(shortened(text)) if isinstance(value, str) else shortened(text)


def shortened(text: str) -> str:
    """Cut a text to 60 characters, the last of which is then an ellipsis."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def nearest(name: str, known: Collection[str]) -> str | None:
    """Find the known name that a misspelt one was probably meant to be."""
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=_CUTOFF)), None)


def suggestion(name: str, known: Collection[str]) -> str:
    """Say which known name was probably meant, else which ones there are (the first ten)."""
    near = nearest(name, known)
    if near is not None:
        return f"did you mean {shortened(near)}?"
    listed = ", ".join(shortened(name) for name in list(known)[:_LISTED])
    return f"known: {listed}" + ", …" * (len(known) > _LISTED)
