"""Documents are cut into passages of bounded length, each with an id that says where it stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.passages import MOST_CHARACTERS, cut_document, cut_text

GUIDE = """\
Read this first.

# Sentiment
Irony is negative.

Praise is positive.

## Mixed   reviews ##
The last sentence decides.
```
# not a heading
```

# Sentiment
Said again.
"""


def test_headings_begin_passages_and_stand_in_them() -> None:
    """Paragraphs below a heading stay together while they fit; ids say file, heading and number."""
    found = [(row.id, row.text) for row in cut_document("guide.md", GUIDE)]

    assert found == [
        ("guide.md/1", "Read this first."),
        ("guide.md#Sentiment/1", "Sentiment\nIrony is negative.\n\nPraise is positive."),
        (
            "guide.md#Mixed reviews/1",
            "Mixed reviews\nThe last sentence decides.\n```\n# not a heading\n```",
        ),
        ("guide.md#Sentiment/2", "Sentiment\nSaid again."),
    ]
    assert {row.label for row in cut_document("guide.md", GUIDE)} == {None}


def test_a_text_without_headings_is_cut_at_paragraphs() -> None:
    """Two of 290 characters and the empty line fit 600, the third begins a new passage."""
    paragraphs = [letter * 290 for letter in "abc"]

    found = cut_document("notes.txt", "\n\n".join(paragraphs))

    assert [(row.id, row.text) for row in found] == [
        ("notes.txt/1", "\n\n".join(paragraphs[:2])),
        ("notes.txt/2", paragraphs[2]),
    ]


@pytest.mark.parametrize(
    ("text", "most", "parts"),
    [
        ("One two. Three four. Five.", 20, ["One two. Three four.", "Five."]),
        ("One two. Three four. Five.", 19, ["One two.", "Three four. Five."]),
        ("良い。とても良い。", 6, ["良い。", "とても良い。"]),
        ("aaaa bbbb cccc", 9, ["aaaa bbbb", "cccc"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("", 10, []),
        (" \n\n ", 10, []),
    ],
)
def test_sentences_stay_whole_where_they_fit(text: str, most: int, parts: list[str]) -> None:
    """Words do where sentences do not."""
    assert cut_text(text, most) == parts


@given(st.text(alphabet="ab .。#\n", max_size=2000), st.sampled_from(["g.md", "g.txt"]))
def test_no_passage_is_too_long_and_nothing_is_lost(text: str, name: str) -> None:
    """Ids are unique, and every letter stands in the passages as often as in the text, headings apart."""
    found = cut_document(name, text)

    assert all(0 < len(row.text) <= MOST_CHARACTERS for row in found)
    assert len({row.id for row in found}) == len(found)
    body = "".join(line for line in text.split("\n") if not line.startswith("#"))
    shown = "".join(row.text for row in found)
    assert shown.count("a") >= body.count("a")
