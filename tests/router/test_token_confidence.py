"""How sure a hosted model was, worked out by hand."""

from __future__ import annotations

import math

import pytest

from router.token_confidence import label_confidence

ANSWER = '{"label": "positive"}'


def test_it_is_the_probability_of_what_stands_behind_the_key() -> None:
    """.5 for the quote and the word's first half, .8 for the rest; the key's own tokens do not count."""
    tokens = [('{"label', math.log(0.1)), ('":', math.log(0.1)), (' "posi', math.log(0.5))]
    tokens += [("tive", math.log(0.8)), ('"}', 0.0)]

    assert label_confidence(tokens, ANSWER) == pytest.approx(0.4)


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        [("something else", -0.1)],
        [(ANSWER, 0.5)],
        [(ANSWER, math.nan)],
    ],
    ids=["none are told", "they are of another text", "more than certain", "no number"],
)
def test_what_cannot_be_is_not_known(tokens: list[tuple[str, float]]) -> None:
    """An endpoint may tell anything."""
    assert label_confidence(tokens, ANSWER) is None


def test_what_was_impossible_has_no_probability() -> None:
    """Some endpoints write minus infinity."""
    assert label_confidence([(ANSWER, -math.inf)], ANSWER) == 0.0
