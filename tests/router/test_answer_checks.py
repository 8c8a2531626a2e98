"""Checks of written answers, and checkers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from router.answer_checks import CheckerError, failed_checks, find_checker, passes
from router.generated import Generated
from router.job import Task

if TYPE_CHECKING:
    import pathlib

ENGLISH = "The weather in the mountains is very nice and sunny today, so we will go for a walk."
GERMAN = "Das Wetter in den Bergen ist heute sehr schön und sonnig, also gehen wir spazieren."


def task(**more: Any) -> Task:
    """A generate task."""
    return Task.model_validate({"name": "t", "kind": "generate", "instruction": "Do it.", **more})


@pytest.mark.parametrize(
    ("keys", "answer", "failed"),
    [
        ({}, Generated("Paris", "en"), ()),
        ({}, Generated("", "en"), ("length: the answer is empty",)),
        ({"max_tokens": 7}, Generated("Par", "en", cut=True), ("length: cut off at max_tokens (7)",)),
        ({"min_characters": 6}, Generated("Paris", "en"), ("length: 5 characters, fewer than 6",)),
        ({"min_characters": 5, "max_characters": 5}, Generated("Paris", "en"), ()),
        ({"max_characters": 4}, Generated("Paris", "en"), ("length: 5 characters, more than 4",)),
        ({"language": "de"}, Generated(ENGLISH, "de"), ("language: en in the place of de",)),
        ({"language": "same"}, Generated(GERMAN, "de"), ()),
        ({"language": "same"}, Generated(GERMAN, "en"), ("language: de in the place of en",)),
        # Neither an answer nor a text whose language cannot be told is held against anyone.
        ({"language": "de"}, Generated("42", "en"), ()),
        ({"language": "same"}, Generated(GERMAN, "und"), ()),
    ],
)
def test_checks_of_length_and_language(
    keys: dict[str, Any], answer: Generated, failed: tuple[str, ...]
) -> None:
    """Each that is not passed is named with the reason."""
    assert failed_checks(task(**keys), answer) == failed


def test_the_language_of_json_is_that_of_its_values() -> None:
    """The keys are the schema's."""
    schema = {"type": "object", "properties": {"the weather and the walk of today": {"type": "string"}}}
    answer = Generated(f'{{"the weather and the walk of today": "{GERMAN}"}}', "de")

    assert failed_checks(task(schema=schema, language="de"), answer) == ()


@pytest.mark.parametrize(
    ("check", "answer", "reference", "right"),
    [
        ("exact", " PARIS. ", "Paris", True),
        ("exact", "Paris, France", "Paris", False),
        ("exact", '{"a": 1, "b": 2}', '{"b": 2, "a": 1}', True),
        ("exact", '{"a": 1}', '{"a": 2}', False),
        ("contains", "It is Paris, of course.", "paris", True),
        ("contains", "It is London.", "Paris", False),
        ("contains", "anything", " ", False),
    ],
)
def test_own_checkers(check: str, answer: str, reference: str, right: bool) -> None:
    """`exact` and `contains`."""
    assert passes(task(check=check), answer, reference, "text") is right


def test_a_function_of_the_users_own(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets answer, reference and text; what goes wrong is told in one line."""
    (tmp_path / "my_checks.py").write_text(
        "def longer(answer, reference, text):\n    return len(answer) > len(reference) + len(text)\n"
        "def broken(answer, reference, text):\n    raise RuntimeError('no')\n"
        "def vague(answer, reference, text):\n    return 1\n"
        "def short(answer):\n    return True\n"
        "def _fine(*given):\n    return True\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    assert passes(task(check="my_checks:longer"), "abcd", "a", "bc") is True
    with pytest.raises(
        CheckerError, match=r"check my_checks:broken failed on the answer 'a' \(RuntimeError: no\)"
    ):
        passes(task(check="my_checks:broken"), "a", "b", "c")
    with pytest.raises(CheckerError, match="returned int, not True or False"):
        passes(task(check="my_checks:vague"), "a", "b", "c")
    with pytest.raises(CheckerError, match=r"cannot be called as check\(answer, reference, text\)"):
        find_checker("my_checks:short")
    with pytest.raises(CheckerError, match="cannot be imported"):
        find_checker("my_checks:none")
    with pytest.raises(CheckerError, match="has no `check`"):
        passes(task(), "a", "b", "c")
    del sys.modules["my_checks"]
