"""Cutting texts into passages of bounded length: at headings, then at paragraphs, then at sentences."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from router.reference import ReferenceRow

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_CHARACTERS = 600
"""Of a passage: about what the sentence encoder reads of a text, and what a prompt can hold several of."""

_HEADING = re.compile(r"#{1,6}[ \t]+(?P<title>.*?)[ \t]*#*[ \t]*")
_FENCE = re.compile(r"[ \t]*(```|~~~)")
_BREAK = re.compile(r"\n[ \t]*\n\s*")
_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")


def cut_document(name: str, text: str) -> list[ReferenceRow]:
    """The passages of a document; Markdown headings begin new ones and stand at the head of each.

    Args:
        name: Of the document, which the ids begin with: `name#heading/2` is the second passage below a
            heading, `name/2` one before the first heading. Headings that are twice there are counted on.
        text: The whole document.
    """
    found: list[ReferenceRow] = []
    used: dict[str, int] = {}
    for title, body in _sections(text):
        place = f"{name}#{title}" if title else name
        for passage in cut_text(body, MOST_CHARACTERS - len(_headed(title, ""))):
            used[place] = used.get(place, 0) + 1
            found.append(ReferenceRow(f"{place}/{used[place]}", _headed(title, passage)))
    return found


def cut_text(text: str, most: int = MOST_CHARACTERS) -> list[str]:
    """Parts of a text of at most `most` characters: whole paragraphs where these fit, else sentences.

    Only a single sentence that is longer is cut between words, or where it has none within.
    """
    parts: list[str] = []
    for paragraph in filter(None, (one.strip() for one in _BREAK.split(text))):
        if parts and len(parts[-1]) + 2 + len(paragraph) <= most:
            parts[-1] += f"\n\n{paragraph}"
        elif len(paragraph) <= most:
            parts.append(paragraph)
        else:
            parts += _pieces(paragraph, most)
    return parts


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """(heading, text below it); the heading is empty before the first one."""
    title, lines, fenced = "", list[str](), False
    for line in text.splitlines():
        # What looks like a heading in a block of code is a comment.
        fenced ^= _FENCE.match(line) is not None
        heading = None if fenced else _HEADING.fullmatch(line)
        if heading is None:
            lines.append(line)
            continue
        yield title, "\n".join(lines)
        title, lines = " ".join(heading["title"].split())[: MOST_CHARACTERS // 4], []
    yield title, "\n".join(lines)


def _headed(title: str, passage: str) -> str:
    return f"{title}\n{passage}" if title else passage


def _pieces(paragraph: str, most: int) -> Iterator[str]:
    held = ""
    for sentence in filter(None, _END.split(paragraph)):
        if held and len(held) + 1 + len(sentence) > most:
            yield held
            held = ""
        rest = f"{held} {sentence}" if held else sentence
        while len(rest) > most:
            cut = rest.rfind(" ", most // 2, most + 1)
            cut = most if cut < 0 else cut
            yield rest[:cut]
            rest = rest[cut:].lstrip()
        held = rest
    if held:
        yield held
