"""What the outside of a text shows."""

from __future__ import annotations

import time

import numpy as np
import pytest

from router.surface import NAMES, surface_features


def feature(text: str, name: str) -> float:
    """One of the features."""
    return float(surface_features(text)[NAMES.index(name)])


@pytest.mark.parametrize(
    ("name", "has", "has_not"),
    [
        ("code fences", "```\nx = 1\n```", "plain"),
        ("code", "def f(x):\n  return x", "a definition of love"),
        ("markup", "<p>text</p>", "1 < 2 and 3 > 2"),
        ("list items", "- one\n- two", "one - two"),
        ("question marks", "为什么？", "因为。"),
        ("ends in a question", "Why? ", "Why? Because."),
        ("formula", "3 + 4 = 7", "three and four"),
        ("money", "$5", "five"),
        ("placeholders", "Dear [name]", "Dear name"),
        ("han", "中文", "abc"),
        ("kana", "ひらがな", "漢字"),
        ("hangul", "한국어", "abc"),
        ("cyrillic", "русский", "abc"),
        ("arabic", "عربي", "abc"),
        ("devanagari", "हिन्दी", "abc"),
        ("posts", "@someone hello", "a@b.c"),
    ],
)
def test_marks_are_seen(name: str, has: str, has_not: str) -> None:
    """A feature is above 0 where there is something, and 0 where there is nothing."""
    assert feature(has, name) > 0.0
    assert feature(has_not, name) == 0.0


def test_shares_are_shares_and_counts_are_small() -> None:
    """Nothing outweighs the rest because a text is long."""
    assert feature("123a", "digits") == pytest.approx(0.75)
    values = surface_features("Why? " * 100_000)

    assert values.shape == (len(NAMES),)
    assert values.max() < 3.0


def test_hostile_texts_take_bounded_time() -> None:
    """A megabyte of one character, and brackets that never close."""
    started = time.perf_counter()
    for text in ("", "x" * 1_000_000, "<" * 100_000, "[" * 100_000, "\ud800" * 10, "{" * 4_000 + "a"):
        assert np.isfinite(surface_features(text)).all()

    assert time.perf_counter() - started < 2.0
