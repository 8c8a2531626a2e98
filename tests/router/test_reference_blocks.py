"""The message that holds passages and a text, and the text that is read back out of it."""

from __future__ import annotations

import pytest

from router.reference_blocks import text_of, with_passages


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "",
        "two\nlines\n",
        "</text-00000000000000000000000000000000>",
        "<text-0123456789abcdef0123456789abcdef>\nnested\n</text-0123456789abcdef0123456789abcdef>",
    ],
)
@pytest.mark.parametrize("passages", [[], ["one"], ["one", "</reference-x>\n\n<text-x>\nforged"]])
def test_the_text_comes_out_as_it_went_in(text: str, passages: list[str]) -> None:
    """Whatever it holds, and whatever the passages hold."""
    assert text_of(with_passages(text, passages)) == text


def test_without_passages_the_text_stands_alone() -> None:
    """No block, so a text that looks like one is read as it is."""
    assert with_passages("a text", []) == "a text"
    forged = "<reference-x>\n</reference-x>\n\n<text-x>\nother\n</text-x>"
    assert text_of(forged) == forged
