"""Cutting a long text into parts at sentence ends."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# One mark is enough to find an end. A pattern for a run of marks would look at the run again from each of its
# marks: a text of 100,000 dots would take minutes.
_END = re.compile(r"[.!?…][\"')\]]*\s+|[。！？]+[」』）]*\s*|\n+")


def split_sentences(text: str, room: int, tokenize: Callable[[str], list[int]]) -> list[list[int]]:
    """Token lists of parts of `text`, each at most `room` tokens, cut at sentence ends where possible.

    A single sentence over the room is halved, between words where it has them, until it fits; only a single
    character that is over the room stays so. Every character is in exactly one part.
    """
    parts: list[list[int]] = []
    held: list[str] = []
    held_tokens = 0
    for sentence in _sentences(text):
        for piece, size in _pieces(sentence, room, tokenize):
            if held and held_tokens + size > room:
                parts += _joined(held, room, tokenize)
                held, held_tokens = [], 0
            held.append(piece)
            held_tokens += size
    return parts + _joined(held, room, tokenize)


def _sentences(text: str) -> list[str]:
    cuts = [0, *(match.end() for match in _END.finditer(text)), len(text)]
    return [text[start:end] for start, end in pairwise(cuts) if start < end]


def _pieces(sentence: str, room: int, tokenize: Callable[[str], list[int]]) -> list[tuple[str, int]]:
    """Parts of a sentence that fit the room, each with its number of tokens."""
    pieces: list[tuple[str, int]] = []
    waiting = [sentence]
    while waiting:
        piece = waiting.pop()
        size = len(tokenize(piece))
        if size <= room or len(piece) == 1:
            pieces.append((piece, size))
            continue
        middle = len(piece) // 2
        cut = piece.rfind(" ", middle // 2 + 1, middle)
        cut = middle if cut < 0 else cut
        waiting += [piece[cut:], piece[:cut]]
    return pieces


def _joined(pieces: Sequence[str], room: int, tokenize: Callable[[str], list[int]]) -> list[list[int]]:
    """Tokens of the pieces as one part, or as more where joining them made the tokens too many."""
    if not pieces:
        return []
    tokens = tokenize("".join(pieces))
    if len(tokens) <= room or len(pieces) == 1:
        return [tokens]
    middle = len(pieces) // 2
    return _joined(pieces[:middle], room, tokenize) + _joined(pieces[middle:], room, tokenize)
