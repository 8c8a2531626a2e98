"""How alike two answers are, by hand."""

from __future__ import annotations

import pytest

from router.agreement import agreement, folded


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        # Two of three fields hold the same.
        ('{"a": 1, "b": "x", "c": true}', '{"a": 1, "b": "X.", "c": false}', 2 / 3),
        # Leaves: a[0], a[1] and b of the first, a[0] of both; b is missing in the second.
        ('{"a": ["x", "y"], "b": 1}', '{"a": ["x"]}', 1 / 3),
        # 1 and true are no equal values.
        ('{"a": 1}', '{"a": true}', 0.0),
        ("{}", "{}", 1.0),
        # One of them is cut off: equal as texts or not at all.
        ('{"a": 1', '{"a": 1}', 0.0),
    ],
)
def test_json_answers_share_fields(one: str, other: str, alike: float) -> None:
    """The share of the leaves of both together."""
    assert agreement(one, other, as_json=True) == pytest.approx(alike)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("Paris", " paris. ", 1.0),
        ("Paris", "London", 0.0),
        ("New York City", "York New City", 0.0),
        # Four words and three, of which three are common: 2 * 3 / 7.
        ("the cat sat down", "the cat sat", 6 / 7),
        # Six characters each, of which four are common.
        ("我喜欢红茶。", "我喜欢绿茶。", 2 * 4 / 10),
        ("", "", 1.0),
    ],
)
def test_other_answers_share_words(one: str, other: str, alike: float) -> None:
    """Short ones are equal or not, long ones have words in common, Chinese ones characters."""
    assert agreement(one, other, as_json=False) == pytest.approx(alike)


def test_what_does_not_change_an_answer_is_folded() -> None:
    """Case, width, white space and a last full stop."""
    assert folded("  Ｎew\n York. ") == "new york"
