"""Rules that can never match are mistakes, and are said before anything runs."""

from __future__ import annotations

import pytest

from router.job import Limits, RouterSettings, Rule, Task
from router.rule_checks import rule_problems, unknown_names, unreachable


def rules(*conditions: dict[str, object]) -> list[Rule]:
    """Rules with these conditions."""
    return [Rule.model_validate({"when": when, "use": "m"}) for when in conditions]


def never(*conditions: dict[str, object], tasks: tuple[str, ...] = ("mood",)) -> list[int]:
    """The numbers of the rules that can never match."""
    return [int(place[1]) for place, _, _ in unreachable(rules(*conditions), tasks, Limits())]


@pytest.mark.parametrize(
    "earlier",
    [
        {"languages": ["de", "en"]},
        {"languages": ["de"], "characters_above": 50},
        {"characters_above": 100},
        {"characters_above": 0},
        {"languages": ["de"], "characters_above": 100, "domains": ["law"]},
    ],
)
def test_a_rule_whose_records_an_earlier_one_takes_is_unreachable(earlier: dict[str, object]) -> None:
    """The earlier rule asks for no more than the later one."""
    assert never(earlier, {"languages": ["de"], "characters_above": 100, "domains": ["law"]}) == [1]


@pytest.mark.parametrize(
    "earlier",
    [
        {"languages": ["en"]},
        {"languages": ["de"], "characters_above": 101},
        {"domains": ["finance"]},
        {"complexity_above": 0.1},
        {"languages": ["de"], "tasks": ["mood"], "complexity_above": 0.0},
    ],
)
def test_a_rule_that_something_is_left_for_is_not(earlier: dict[str, object]) -> None:
    """The earlier rule asks for something that the later one does not."""
    assert never(earlier, {"languages": ["de"], "characters_above": 100, "domains": ["law"]}) == []


def test_several_rules_together_can_take_everything() -> None:
    """German by the first, French by the second: nothing is left of German and French."""
    assert never({"languages": ["de"]}, {"languages": ["fr"]}, {"languages": ["de", "fr"]}) == [2]
    assert never({"languages": ["de"]}, {"languages": ["de", "fr"]}) == []


def test_a_rule_for_every_task_takes_what_names_no_task() -> None:
    """The job's tasks are all there are."""
    assert never({"tasks": ["a", "b"]}, {"characters_above": 5}, tasks=("a", "b")) == [1]
    assert never({"tasks": ["a"]}, {"characters_above": 5}, tasks=("a", "b")) == []


def test_the_message_says_which_rules_and_what_to_do() -> None:
    """By number, as the route names them."""
    [(place, says, _)] = unreachable(
        rules({"languages": ["de"]}, {"languages": ["fr"]}, {"languages": ["de", "fr"]}), ("mood",), None
    )

    assert place == ("rules", 2)
    assert says == "can never match: rules 0, 1 before it took all its records; move it up, or leave it out"


def test_numbers_out_of_reach_can_never_match() -> None:
    """Complexity ends at 1, and longer texts are dead letters before they are routed."""
    assert never({"complexity_above": 1.0}, {"complexity_above": 0.999}) == [0]
    assert never({"characters_above": 100_000}, {"characters_above": 99_999}) == [0]
    [(_, says, _)] = unreachable(rules({"characters_above": 10}), ("mood",), Limits(max_characters=10))
    assert "limits.max_characters (10)" in says


def test_names_that_nothing_is_called_are_refused() -> None:
    """With the nearest known one."""
    found = unknown_names(
        rules({"languages": ["jp"]}, {"tasks": ["mood", "cod"]}, {"domains": ["finanse"]}),
        ["mood"],
        ["code", "math"],
        ["finance", "law"],
    )

    assert [place for place, _, _ in found] == [
        ("rules", 0, "when", "languages", 0),
        ("rules", 1, "when", "tasks", 1),
        ("rules", 2, "when", "domains", 0),
    ]
    assert "did you mean code?" in found[1][1]
    assert "did you mean finance?" in found[2][1]


def test_the_code_that_was_meant_for_a_language_is_named() -> None:
    """Countries and English names are common slips."""
    [(place, says, value)] = unknown_names(rules({"languages": ["en", "jp"]}), ["mood"], [], [])

    assert (place, value) == (("rules", 0, "when", "languages", 1), "jp")
    assert says.endswith("did you mean ja?")


def test_names_of_heads_of_ones_own_are_not_judged_before_the_heads_are_read() -> None:
    """The job file alone does not tell what they know."""
    task = Task.model_validate({"name": "mood", "instruction": "x", "labels": [{"name": "a"}, {"name": "b"}]})
    asked = rules({"domains": ["shipping"]})

    assert len(rule_problems(asked, [task], Limits(), RouterSettings())) == 1
    assert rule_problems(asked, [task], Limits(), RouterSettings(heads="out/router")) == []
    own = RouterSettings.model_validate({"domains": [{"name": "shipping"}, {"name": "other"}]})
    assert rule_problems(asked, [task], Limits(), own) == []
