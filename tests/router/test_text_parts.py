"""Cutting long texts, with tokenizers that are simple, awkward or wasteful."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.text_parts import split_sentences


def characters(text: str) -> list[int]:
    """A token for each character."""
    return [ord(character) for character in text]


def led(text: str) -> list[int]:
    """As the scorer does it: a space before each part, so that parts cost more than their characters."""
    return [32, *characters(text)]


def not_additive(text: str) -> list[int]:
    """A longer text costs a token more than its sentences together."""
    return characters(text) + ([0] if len(text) > 3 else [])


def spelled(parts: list[list[int]]) -> list[str]:
    """The texts of parts."""
    return ["".join(map(chr, part)) for part in parts]


def test_cuts_at_sentence_ends() -> None:
    """As many whole sentences as fit; marks, quotes and spaces stay with their sentence."""
    text = 'He left. "Really?" she asked! And then... nothing.'

    assert spelled(split_sentences(text, 20, characters)) == [
        'He left. "Really?" ',
        "she asked! ",
        "And then... nothing.",
    ]


def test_cuts_japanese_sentences() -> None:
    """No spaces are needed after 。, and closing brackets belong to their sentence."""
    text = "「遅い。」と言った。もう来ない！"

    assert spelled(split_sentences(text, 9, characters)) == ["「遅い。」", "と言った。", "もう来ない！"]


def test_cuts_at_line_ends() -> None:
    """A list without full stops is cut at its lines."""
    assert spelled(split_sentences("one\ntwo\n\nthree", 5, characters)) == ["one\n", "two\n\n", "three"]


def test_a_number_is_no_sentence_end() -> None:
    """A point inside a word or a number is not followed by a space."""
    assert spelled(split_sentences("It is 3.50 e.g. now. Yes.", 16, characters)) == [
        "It is 3.50 e.g. ",
        "now. Yes.",
    ]


def test_a_long_sentence_is_cut_between_words() -> None:
    """Halved at the space before the middle, and in the middle of a word only where there is no space."""
    halves = spelled(split_sentences("alpha beta gamma delta", 12, characters))
    assert halves == ["alpha beta", " gamma delta"]
    assert spelled(split_sentences("abcdefgh", 4, characters)) == ["abcd", "efgh"]


@pytest.mark.parametrize("room", [1, 2, 3, 10, 11, 12])
def test_boundaries_of_the_room(room: int) -> None:
    """11 characters: one part from a room of 11 on."""
    parts = split_sentences("Hello. You.", room, characters)

    assert (len(parts) == 1) == (room >= 11)
    assert "".join(spelled(parts)) == "Hello. You."
    assert all(len(part) <= room for part in parts)


def test_nothing_is_no_part() -> None:
    """An empty text has no parts."""
    assert split_sentences("", 10, characters) == []


def test_a_character_over_the_room_stays() -> None:
    """It cannot be cut."""
    assert split_sentences("a", 1, led) == [[32, 97]]


@example(text="a. b. c. d. e. f. ", room=6)
@given(text=st.text(alphabet="ab .!?。」\n", max_size=80), room=st.integers(5, 40))
def test_nothing_is_lost_and_all_fits(text: str, room: int) -> None:
    """Whatever the text, parts put together are the text, and no part is over the room."""
    parts = split_sentences(text, room, characters)
    assert "".join(spelled(parts)) == text
    assert all(0 < len(part) <= room for part in parts)

    parts = split_sentences(text, room, led)
    assert "".join(part[1:] for part in spelled(parts)) == text
    assert all(len(part) <= room for part in parts)

    parts = split_sentences(text, room, not_additive)
    assert "".join(spelled(parts)).replace("\0", "") == text
    assert all(len(part) <= room for part in parts)


@pytest.mark.parametrize("text", ["." * 100_000, ".'" * 50_000, "?!" * 50_000, " " * 100_000, "。" * 100_000])
def test_runs_of_marks_take_no_time(text: str) -> None:
    """The time grows with the length and not with its square, which would be minutes here."""
    started = time.perf_counter()

    parts = split_sentences(text, 5_000, characters)

    assert time.perf_counter() - started < 5.0
    assert sum(len(part) for part in parts) == 100_000
