"""Which model takes a record."""

from __future__ import annotations

import pytest

from router.job import Routing, When
from router.rules import choose_model, matches
from tests.router.work_examples import record


def routing(*rules: dict[str, object]) -> Routing:
    """A routing with these rules and the default model `small`."""
    return Routing.model_validate({"default": "small", "rules": rules})


def test_the_default_takes_what_no_rule_takes() -> None:
    """The route then names no rule."""
    route = choose_model(record(), "en", routing({"when": {"languages": ["ja"]}, "use": "other"}))

    assert (route.model, route.rule) == ("small", None)
    assert (route.language, route.task) == ("en", "mood")


def test_the_first_rule_that_matches_wins() -> None:
    """Later rules are not looked at."""
    rules = routing(
        {"when": {"languages": ["ja"]}, "use": "one"},
        {"when": {"tasks": ["mood"]}, "use": "two"},
        {"when": {"languages": ["en"]}, "use": "three"},
    )

    assert (choose_model(record(), "en", rules).model, choose_model(record(), "en", rules).rule) == ("two", 1)
    assert choose_model(record(), "ja", rules).model == "one"


@pytest.mark.parametrize(("characters", "expected"), [(4, False), (5, False), (6, True)])
def test_characters_above_is_strict(characters: int, expected: bool) -> None:
    """A text of exactly the limit is not above it; characters are counted, not bytes."""
    assert matches(When(characters_above=5), record("é" * characters), "en") is expected


def test_all_conditions_must_hold() -> None:
    """One that fails is enough to refuse."""
    when = When(languages=("en", "de"), tasks=("mood",), characters_above=3)

    assert matches(when, record("long enough"), "de")
    assert not matches(when, record("long enough"), "fr")
    assert not matches(when, record("long enough", "topics"), "de")
    assert not matches(when, record("no"), "de")


def test_an_undetermined_language_can_be_named() -> None:
    """`und` is a language code like any other."""
    assert matches(When(languages=("und",)), record("123"), "und")


@pytest.mark.parametrize("when", [When(domains=("law",)), When(complexity_above=0.0)])
def test_what_is_not_known_never_matches(when: When) -> None:
    """Domain and complexity are not estimated yet, and a missing value is not above anything."""
    assert not matches(when, record(), "en")
