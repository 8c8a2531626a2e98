"""How probable a small model's answer is to a head that reads the text alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from router.second_opinion import LEAST, SecondOpinion, fit_opinion
from router.text_view import view_texts
from tests.router.route_examples import encode, head

_SALES = ["I want to buy a {}", "how much is the {}", "order one {} please", "do you sell a {}"]
_COMPLAINTS = ["my {} is broken", "the {} does not work", "I want my money back for the {}", "terrible {}"]
_THINGS = ["lamp", "chair", "phone", "table", "kettle", "bag", "clock", "shelf"]
_TEXTS = [line.format(thing) for line in (*_SALES, *_COMPLAINTS) for thing in _THINGS]
_TRUTHS = ["sale"] * 32 + ["complaint"] * 32


def test_each_answer_has_the_heads_probability() -> None:
    """By hand: intercepts ln 3 and 0, so 3/4 and 1/4; a label that the head does not know is improbable."""
    opinion = SecondOpinion(
        dataclasses.replace(head("a", "b"), intercept=np.array([np.log(3.0), 0.0], np.float32))
    )
    views = view_texts(["one", "two", "three"], encode)

    assert opinion.of(views, ["a", "b", "c"]) == pytest.approx([0.75, 0.25, LEAST], abs=1e-6)


def test_nothing_is_impossible() -> None:
    """However sure the head is."""
    sure = dataclasses.replace(head("a", "b"), intercept=np.array([50.0, 0.0], np.float32))

    assert SecondOpinion(sure).of(view_texts(["one"], encode), ["b"]).tolist() == [LEAST]


def test_held_back_a_wrong_answer_is_less_probable() -> None:
    """Every fourth answer is wrong; a fit without the text itself tells."""
    answers = [
        truth if number % 4 else {"sale": "complaint", "complaint": "sale"}[truth]
        for number, truth in enumerate(_TRUTHS)
    ]
    views = view_texts(_TEXTS, encode)
    fitted = fit_opinion(views, _TRUTHS, answers)

    assert fitted is not None
    wrong = np.arange(64) % 4 == 0
    assert fitted.held_back[wrong].max() < 0.5 < fitted.held_back[~wrong].min()
    assert fitted.opinion.of(views[:1], ["sale"])[0] > 0.5


def test_a_label_of_a_single_text_is_not_learned() -> None:
    """The others are; what the small model says of that text is judged among them."""
    fitted = fit_opinion(view_texts([*_TEXTS, "?"], encode), [*_TRUTHS, "other"], [*_TRUTHS, "other"])

    assert fitted is not None
    assert fitted.opinion.head.labels == ("complaint", "sale")
    assert len(fitted.held_back) == 65
    assert fitted.held_back[-1] == LEAST


@pytest.mark.parametrize("truths", [["sale"] * 3, ["sale", "sale", "complaint"], []])
def test_one_label_leaves_nothing_to_tell_apart(truths: list[str]) -> None:
    """There is no opinion then, which is no error."""
    assert fit_opinion(view_texts(_TEXTS[: len(truths)], encode), truths, truths) is None
