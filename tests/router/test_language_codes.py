"""Which code was meant where something else stands for a language."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.language import KNOWN_AS
from router.language_codes import CODES, language_suggestion, meant_language

DOCS = Path(__file__).parents[2] / "docs" / "generate.md"


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("German", "de"),
        ("DE", "de"),
        ("jp", "ja"),
        ("deu", "de"),
        ("pt-BR", "pt"),
        ("zh_Hans", "zh"),
        ("nb", "no"),
        ("yue", "zh"),
        ("klingon", None),
        ("und", None),
        ("", None),
    ],
)
def test_names_countries_and_other_norms_are_understood(written: str, code: str | None) -> None:
    """Codes of countries, ISO 639-2, English names, regions behind the code, and varieties."""
    assert meant_language(written) == code


def test_codes_that_begin_alike_are_told_where_nothing_is_known() -> None:
    """And an example where there are none."""
    assert language_suggestion("xx") == "known are xal, xmf and others"
    assert language_suggestion("?") == "give an ISO 639-1 code such as en or ja"
    assert language_suggestion("Greek") == "did you mean el?"


def test_what_is_suggested_can_be_found() -> None:
    """No name leads to a code that is refused itself."""
    assert {meant_language(name) for name in KNOWN_AS} <= set(CODES)
    assert {meant_language(code) for code in CODES} == set(CODES)


def test_the_page_lists_all_codes() -> None:
    """The message of `tekizai check` leads there."""
    assert " ".join(CODES) in " ".join(DOCS.read_text(encoding="utf-8").split())
