"""Texts for benchmarks: short and long ones that ship with Tekizai, or a user's own."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

from router.assets import asset_path
from transforms.read_columns import read_columns
from transforms.shipped_rows import shipped_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SHORT = range(20, 31)
"""Tokens of a text as in sst2."""
LONG = 140
"""Tokens that a long text has at least: it ends with the short text that reaches them."""
SAMPLES = ("data/samples/reviews.jsonl", "data/samples/tickets.jsonl")
_ASCII_SHARE = 0.98
_MOST_OWN = 2000
_PIECE = 40
_PLAIN, _ANY = range(80, 130), range(1, 400)
"""Characters of a job's texts."""
_COPY, _EMPTY = 49, 117
"""Which rows are copies and which have no text, counted from each fiftieth and each two hundredth."""


def shipped_texts() -> list[str]:
    """Reviews and tickets of the samples, then the router's rows, in English; no text twice."""
    found = [*_samples(), *(text for text, _ in shipped_rows("domain"))]
    return list(dict.fromkeys(" ".join(text.split()) for text in found if _english(text)))


def own_texts(url: str, column: str) -> list[str]:
    """The first texts of a user's file. Raises `InputError`, which says what to do."""
    return [text for text, _ in itertools.islice(read_columns(url, column, ()), _MOST_OWN)]


def short_texts(texts: Sequence[str], count_tokens: Callable[[str], int]) -> list[str]:
    """Those of 20 to 30 tokens."""
    return [text for text in texts if count_tokens(text) in SHORT]


def long_texts(texts: Sequence[str], count_tokens: Callable[[str], int]) -> list[str]:
    """Texts of less than 40 tokens, joined until each has 140 or a few more: about 150."""
    joined: list[str] = []
    current: list[str] = []
    tokens = 0
    for text in texts:
        count = count_tokens(text)
        if count >= _PIECE:
            continue
        current.append(text)
        tokens += count
        if tokens >= LONG:
            joined.append(" ".join(current))
            current, tokens = [], 0
    return joined


def job_rows(records: int, *, plain: bool) -> Iterator[dict[str, str]]:
    """Rows of a job: texts of the samples with a number before each, so that they differ.

    Where they need not be `plain`, one in 50 is a copy of the row before and one in 200 has no text; some are
    Japanese. Plain ones are English and 80 to 130 characters long, for a real model.
    """
    texts = shipped_texts() if plain else list(_samples())
    chosen = [text for text in texts if len(text) in (_PLAIN if plain else _ANY)]
    for number in range(records):
        copy = not plain and number % 50 == _COPY
        shown = number - 1 if copy else number
        text = f"{shown}: {chosen[shown % len(chosen)]}"
        if not plain and number % 200 == _EMPTY:
            text = ""
        yield {"id": f"r{number}", "text": text}


def _samples() -> Iterator[str]:
    for name in SAMPLES:
        for line in asset_path(name).read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue  # Some lines of the samples are broken on purpose.
            if isinstance(row, dict) and isinstance(row.get("text"), str):
                yield row["text"]


def _english(text: str) -> bool:
    plain = sum(character.isascii() for character in text)
    return bool(text.strip()) and plain >= _ASCII_SHARE * len(text)
