"""Tests of router/identity.py."""

from __future__ import annotations

from router.identity import content_id, id_key, text_key


def test_a_content_id_is_the_same_in_every_run() -> None:
    """Ids are written to outputs and journals, so their values must never change."""
    assert content_id("good", "sentiment") == "da2312d7473aa6095096775e4d403a3b"


def test_a_content_id_has_32_hex_digits() -> None:
    """Long and empty texts give ids of the same length."""
    assert [len(content_id(text, "t")) for text in ("", "x", "x" * 100_000)] == [32, 32, 32]


def test_the_border_between_text_and_task_counts() -> None:
    """The parts are kept apart, whatever they hold."""
    assert content_id("ab", "c") != content_id("a", "bc")
    assert text_key("ab", "c") != text_key("a", "bc")


def test_the_same_text_under_another_task_is_something_else() -> None:
    """One answer serves one text under one task."""
    assert text_key("good", "a") == text_key("good", "a")
    assert text_key("good", "a") != text_key("good", "b")


def test_white_space_is_part_of_a_text() -> None:
    """Only texts that are equal to the last character share an answer."""
    assert text_key("good", "a") != text_key("good ", "a")


def test_keys_have_16_bytes_and_their_own_purposes() -> None:
    """A text key is not a content id of the same parts, nor an id key."""
    keys = {text_key("x", "y"), bytes.fromhex(content_id("x", "y")), id_key("x")}

    assert [len(key) for key in keys] == [16, 16, 16]


def test_a_lone_surrogate_has_a_key_of_its_own() -> None:
    """A string that UTF-8 cannot hold neither fails nor equals another."""
    assert id_key("\ud800") != id_key("\ud801")
