"""Which model takes a record."""

from __future__ import annotations

import pytest

from router.findings import Wanted
from router.job import Job, Routing, When
from router.rules import choose_model, decisive, matches, sorts_tasks, wanted, why_matched
from tests.router.route_examples import found
from tests.router.work_examples import record


def routing(*rules: dict[str, object]) -> Routing:
    """A routing with these rules and the default model `small`."""
    return Routing.model_validate({"default": "small", "rules": rules})


def test_the_default_takes_what_no_rule_takes() -> None:
    """The route then names no rule, and holds what was found."""
    route = choose_model(
        record(),
        found(domain="law", complexity=0.3),
        routing({"when": {"languages": ["ja"]}, "use": "other"}),
    )

    assert (route.model, route.rule) == ("small", None)
    assert (route.language, route.task, route.domain, route.complexity) == ("en", "mood", "law", 0.3)


def test_the_first_rule_that_matches_wins() -> None:
    """Later rules are not looked at."""
    rules = routing(
        {"when": {"languages": ["ja"]}, "use": "one"},
        {"when": {"tasks": ["mood"]}, "use": "two"},
        {"when": {"languages": ["en"]}, "use": "three"},
    )

    assert (choose_model(record(), found(), rules).model, choose_model(record(), found(), rules).rule) == (
        "two",
        1,
    )
    assert choose_model(record(), found("ja"), rules).model == "one"


@pytest.mark.parametrize(("characters", "expected"), [(4, False), (5, False), (6, True)])
def test_characters_above_is_strict(characters: int, expected: bool) -> None:
    """A text of exactly the limit is not above it; characters are counted, not bytes."""
    assert matches(When(characters_above=5), record("é" * characters), found()) is expected


@pytest.mark.parametrize(
    ("complexity", "expected"), [(0.89, False), (0.9, False), (0.91, True), (None, False)]
)
def test_complexity_above_is_strict(complexity: float | None, expected: bool) -> None:
    """What was not found is not above anything."""
    assert matches(When(complexity_above=0.9), record(), found(complexity=complexity)) is expected


def test_all_conditions_must_hold() -> None:
    """One that fails is enough to refuse."""
    when = When(languages=("en", "de"), tasks=("mood",), characters_above=3)

    assert matches(when, record("long enough"), found("de"))
    assert not matches(when, record("long enough"), found("fr"))
    assert not matches(when, record("long enough", "topics"), found("de"))
    assert not matches(when, record("no"), found("de"))


def test_domains_and_what_a_text_asks_for_can_be_named() -> None:
    """A task of a rule is the record's own, or the one that the router found."""
    assert matches(When(domains=("law", "finance")), record(), found(domain="finance"))
    assert not matches(When(domains=("law",)), record(), found(domain=None))
    assert matches(When(tasks=("code",)), record(), found(task="code"))
    assert not matches(When(tasks=("code",)), record(), found())


def test_an_undetermined_language_can_be_named() -> None:
    """`und` is a language code like any other."""
    assert matches(When(languages=("und",)), record("123"), found("und"))


def test_the_route_names_what_the_router_found_that_a_text_asks_for() -> None:
    """Where rules look at it; else the record's own task."""
    route = choose_model(record(), found(task="code"), routing({"when": {"tasks": ["code"]}, "use": "big"}))

    assert (route.task, route.model) == ("code", "big")


def test_a_decision_says_which_values_led_to_it() -> None:
    """Only those that the rule asks about."""
    when = When(languages=("de",), complexity_above=0.5, characters_above=2, domains=("law",))
    route = choose_model(
        record(),
        found("de", complexity=0.75, domain="law"),
        routing({"when": when.model_dump(exclude_none=True), "use": "big"}),
    )

    assert (
        why_matched(when, record(), route)
        == "language de, domain law, complexity 0.75 above 0.5, 4 characters"
    )
    assert why_matched(When(tasks=("mood",)), record(), route) == "task mood"


def job(*rules: dict[str, object], find: str = "all", tasks: int = 1, column: str | None = None) -> Job:
    """A job with these rules and so many tasks."""
    task = {"instruction": "Do it.", "labels": [{"name": "a"}, {"name": "b"}]}
    return Job.model_validate(
        {
            "name": "n",
            "input": {"path": "in.jsonl", "task": column},
            "output": {"path": "out"},
            "tasks": [{**task, "name": name} for name in ("code", "translation")[:tasks]],
            "models": {name: {"engine": "llama_cpp", "source": "pypi://x"} for name in ("small", "other")},
            "routing": {"default": "small", "rules": [{"when": when, "use": "other"} for when in rules]},
            "router": {"find": find},
        }
    )


NOTHING = Wanted(task=False, domain=False, complexity=False)


def test_only_what_rules_ask_for_is_found_before_the_model_is_chosen() -> None:
    """The first pass over the input must not cost an encoder for nothing."""
    assert decisive(job()) == NOTHING
    assert decisive(job({"languages": ["de"]})) == NOTHING
    assert decisive(job({"domains": ["law"]})) == Wanted(task=False, domain=True, complexity=False)
    assert decisive(job({"complexity_above": 0.5})) == Wanted(task=False, domain=False, complexity=True)
    assert decisive(job({"tasks": ["math"]})) == Wanted(task=True, domain=False, complexity=False)
    assert not decisive(job({"tasks": ["code"], "characters_above": 5})).task


def test_domain_and_complexity_of_every_record_are_found_unless_the_job_says_otherwise() -> None:
    """What a text asks for is only found where a rule names it."""
    assert wanted(job()) == Wanted(task=False)
    assert wanted(job({"tasks": ["math"]})) == Wanted()
    assert wanted(job(find="needed")) == NOTHING


def test_several_tasks_without_a_column_are_sorted_by_the_router() -> None:
    """With one task, or with a column, there is nothing to sort."""
    assert sorts_tasks(job(tasks=2))
    assert not sorts_tasks(job(tasks=2, column="kind"))
    assert not sorts_tasks(job())
