"""Cutting a long text into parts at sentence ends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SENTENCE = re.compile(r".+?(?:[.!?…]+[\"')\]]*\s+|[。！？]+[」』）]*|\n+|$)", re.DOTALL)


def split_sentences(text: str, room: int, tokenize: Callable[[str], list[int]]) -> list[list[int]]:
    """Token lists of parts of `text`, each at most `room` tokens, cut at sentence ends where possible.

    A single sentence over the room is halved until it fits. Every character is in exactly one part.
    """
    parts: list[list[int]] = []
    held, held_tokens = "", 0
    for sentence in _sentences_within(text, room, tokenize):
        size = len(tokenize(sentence))
        if held and held_tokens + size > room:
            parts.append(tokenize(held))
            held, held_tokens = "", 0
        held += sentence
        held_tokens += size
    if held:
        parts.append(tokenize(held))
    return parts


def _sentences_within(text: str, room: int, tokenize: Callable[[str], list[int]]) -> list[str]:
    pieces: list[str] = []
    for match in _SENTENCE.finditer(text):
        waiting = [match.group()]
        while waiting:
            piece = waiting.pop()
            # Shorter than its room in bytes means within it in tokens: no tokenizer makes more.
            if len(piece.encode()) < room or len(tokenize(piece)) <= room or len(piece) == 1:
                pieces.append(piece)
            else:
                middle = len(piece) // 2
                waiting += [piece[middle:], piece[:middle]]
    return pieces
