"""Tests of what a pack is started from: rows held back, examples, words."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from router.pack_draft import (
    DraftError,
    candidates,
    draft,
    examples_per_label,
    in_rounds,
    is_held_back,
    typical,
    typical_words,
)
from router.prompt_search import LabelledText


def rows(count: int, *labels: Any) -> list[tuple[str, Any]]:
    """So many different texts, labelled in turn."""
    return [(f"text number {number}", labels[number % len(labels)]) for number in range(count)]


def test_about_a_fifth_is_held_back_and_nothing_lost() -> None:
    """Every text is on one side; which one depends on the text alone."""
    made = draft(rows(1000, "a", "b"), "label")

    assert len(made.train) + len(made.held_back) == 1000
    assert 150 < len(made.held_back) < 250
    assert all(is_held_back(row.text) for row in made.held_back)
    assert made.counts == {"a": 500, "b": 500}


def test_more_rows_leave_the_others_on_their_side() -> None:
    """A file that grows later does not mix what was held back with what was seen."""
    small, large = draft(rows(100, "a", "b"), "label"), draft(rows(1000, "a", "b"), "label")

    assert {row.text for row in small.held_back} <= {row.text for row in large.held_back}


def test_case_and_spacing_do_not_change_the_side() -> None:
    """Copies of a text are on its side."""
    for number in range(50):
        assert is_held_back(f"Text  Number {number}") == is_held_back(f"text number {number}")


def test_repeated_and_contradicted_rows_are_left_out() -> None:
    """Of equal texts the first stays; a text with two labels goes altogether."""
    more = [("Text number 0 ", "a"), ("unsure", "a"), ("Unsure", "b")]

    made = draft([*rows(40, "a", "b"), *more], "label")

    assert (made.repeated, made.contradicted) == (1, 2)
    assert len(made.train) + len(made.held_back) == 40


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (rows(40, "a"), "holds only the label 'a'; name the column with the labels"),
        (rows(12, "a", "b"), "12 labelled rows with texts of their own; give at least 20"),
        (rows(40, 1, 0), "holds 1, which is no name: models read the labels' names; write words"),
        (rows(40, True, False), "holds true, which is no name"),
        (rows(40, ["a"], ["b"]), "holds lists: a pack is started for one label a text"),
        (rows(40, " ", "a"), "holds an empty label"),
        (
            [(text, f"id{number}") for number, (text, _) in enumerate(rows(40, "a"))],
            "holds 40 different labels in 40 rows, so it is hardly one of labels",
        ),
    ],
)
def test_rows_that_make_no_pack(given: list[tuple[str, Any]], says: str) -> None:
    """The error says what is wrong and what to do."""
    with pytest.raises(DraftError, match=re.escape(says)):
        draft(given, "label")


def test_number_of_examples_follows_the_labels() -> None:
    """Few labels get two examples each, many none: the prompt would be too long."""
    assert [examples_per_label(count) for count in (2, 12, 13, 40, 41)] == [2, 2, 1, 1, 0]


def test_candidates_are_not_longer_than_usual() -> None:
    """Of texts of 1 to 5 letters, the median is 3: longer ones are no examples, nor is what has no words."""
    texts = [LabelledText("x" * size, "a") for size in (1, 2, 3, 4, 5, 700)]
    texts += [LabelledText("o(^-^)o", "a"), LabelledText("12345678", "a")]

    found = candidates(texts, 10)

    assert [len(row.text) for row in found["a"]] == [1, 2, 3]


def test_typical_is_near_its_own_and_far_from_others() -> None:
    """By hand: label a's rows point up, one leans to b; that one is not chosen first."""
    up, lean, right = (1.0, 0.0), (0.6, 0.8), (0.0, 1.0)
    vectors = {"a": np.array([lean, up, up], np.float32), "b": np.array([right], np.float32)}

    assert typical(vectors, 1) == {"a": [1], "b": [0]}


def test_second_example_is_not_the_first_again() -> None:
    """A row that says the same as the chosen one comes after one that does not."""
    vectors = {"a": np.array([(1.0, 0.0), (1.0, 0.0), (0.8, 0.6)], np.float32)}

    assert typical(vectors, 2)["a"] == [0, 2]


def test_examples_come_in_rounds() -> None:
    """One of each label, then the next of those that have one."""
    one, two, three = (LabelledText(text, "a") for text in "123")
    other = LabelledText("4", "b")

    assert in_rounds({"a": [one, two, three], "b": [other]}) == [one, other, two, three]


def test_typical_words_tell_labels_apart() -> None:
    """Words that all labels share are not among them, nor rare ones."""
    texts = [LabelledText(f"the parcel is late {n}", "delivery") for n in range(5)]
    texts += [LabelledText(f"the invoice is wrong {n}", "billing") for n in range(5)]

    assert typical_words(texts) == {"billing": ["invoice", "wrong"], "delivery": ["late", "parcel"]}
