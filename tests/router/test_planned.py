"""A plan as data: rules in words, shares with their intervals, and what came out beside it."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from typing import Any

import pytest

from router.census import Census
from router.job import Job, When
from router.planned import Planned, compared, describe_when, plan_value
from router.records import Position, Record, Route, Work

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ({"languages": ("ja", "zh")}, "language ja, zh"),
        ({"domains": ("law",), "complexity_above": 0.5}, "domain law, complexity above 0.5"),
        ({"tasks": ("code",), "characters_above": 6000}, "task code, more than 6,000 characters"),
    ],
)
def test_a_rule_in_words(when: dict[str, Any], words: str) -> None:
    """All its conditions."""
    assert describe_when(When(**when)) == words


def planned_job() -> Job:
    """A job with one rule."""
    local = {"engine": "llama_cpp", "source": "nowhere.gguf"}
    labels = [{"name": "bad"}, {"name": "good"}]
    rules = [{"when": {"languages": ["ja"]}, "use": "other"}]
    return Job.model_validate(
        {
            "name": "test",
            "input": {"path": "in.jsonl"},
            "output": {"path": "out"},
            "tasks": [{"name": "mood", "instruction": "Judge.", "labels": labels}],
            "models": {"small": local, "other": local},
            "routing": {"default": "small", "rules": rules},
        }
    )


def work(number: int, rule: int | None) -> Work:
    """A routed record."""
    record = Record(Position(0, number), str(number), "text", "mood", None, b"")
    return Work(record, Route("en", "mood", "small", rule))


def test_each_rule_gets_its_share_of_the_records() -> None:
    """Of eight pilot records two met the rule: a quarter of 1,000, with Clopper and Pearson's interval."""
    works = tuple(work(number, 0 if number < 2 else None) for number in range(8))

    value = plan_value(planned_job(), Planned(Census(1000), works, None, Counter()), made=NOW)

    rule, rest = value["routes"]
    assert (rule["rule"], rule["when"], rule["model"]) == (0, "language ja", "other")
    assert rule["records"]["expected"] == 250.0
    assert rule["records"]["low"] == pytest.approx(31.85, abs=0.01)
    assert rule["records"]["high"] == pytest.approx(650.86, abs=0.01)
    assert (rest["rule"], rest["records"]["expected"]) == (None, 750.0)
    assert value["made"] == "2026-11-25T12:00:00+00:00"


def test_a_plan_of_nothing_is_not_compared() -> None:
    """There is nothing that could come true."""
    value = plan_value(planned_job(), Planned(Census(), (), None, Counter()), made=NOW)

    assert compared(value, {}) is None
