"""A plan as data: what is printed, kept beside the output, and compared with what came out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from router.evaluation import share
from router.forecast import Interval, Pace
from router.records import write_money

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from router.census import Census
    from router.forecast import Forecast, Way
    from router.job import Job, When
    from router.records import Work

WAYS = ("all_small", "all_large", "this_job", "random_split")
_MICRO = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Agreement:
    """Share of answers that are the oracle's, where the pilot shows it."""

    all_small: float | None
    this_job: float | None


@dataclass(frozen=True, slots=True)
class Planned:
    """What a plan found out."""

    census: Census
    works: tuple[Work, ...]
    """The pilot's records, with their routes."""
    forecast: Forecast | None
    """None where there is nothing to do."""
    asked: Counter[str]
    """Records of the pilot that each model has answered."""
    notes: tuple[str, ...] = ()
    agreement: Agreement = field(default_factory=lambda: Agreement(None, None))
    pace: Pace | None = None
    """How fast the machine is, apart from the models; None where that was not measured."""
    judge: Mapping[str, Any] | None = None
    """What is to be expected of the judge; None where the job has none or nothing was asked."""


def plan_value(job: Job, planned: Planned, *, made: datetime) -> dict[str, Any]:
    """The plan as JSON; money is written as text."""
    census, found = planned.census, planned.forecast
    large = job.routing.escalate_to
    value: dict[str, Any] = {
        "job": job.name,
        "made": made.isoformat(timespec="seconds"),
        "records": {
            "read": census.read,
            "annotated": census.annotated,
            "duplicates": census.copies,
            "dead_lettered": census.refused.total(),
        },
        "dead_letters": dict(sorted(census.refused.items())),
        "pilot": {"records": len(planned.works), "answered": dict(sorted(planned.asked.items()))},
        "ways": {},
        "routes": _routes(job, planned.works, census.annotated),
        "asked": {},
        "over_budget": None,
        "agreement": {"all_small": planned.agreement.all_small, "this_job": planned.agreement.this_job},
        "large": large,
        "notes": list(planned.notes),
    }
    if planned.pace is not None:
        value["pace"] = {
            "workers": planned.pace.workers,
            "start_seconds": round(planned.pace.start_seconds, 3),
            "record_seconds": round(planned.pace.record_seconds, 6),
        }
    if found is not None:
        value["ways"] = {name: _way(found.ways[name]) for name in WAYS if name in found.ways}
        value["asked"] = {name: interval_value(one) for name, one in found.asked.items()}
        value["escalated"] = interval_value(found.ways["this_job"].large_records.over(census.annotated))
        if job.budget is not None:
            value["over_budget"] = interval_value(found.over_budget)
    if planned.judge is not None:
        value["judge"] = dict(planned.judge)
    return value


def _way(way: Way) -> dict[str, Any]:
    return {
        "usd": {
            "expected": money_value(way.usd.expected),
            "low": money_value(way.usd.low),
            "high": money_value(way.usd.high),
        },
        "seconds": interval_value(way.seconds),
        "large_records": interval_value(way.large_records),
    }


def interval_value(one: Interval) -> dict[str, float]:
    """An interval as JSON."""
    return {"expected": round(one.expected, 6), "low": round(one.low, 6), "high": round(one.high, 6)}


def money_value(value: float) -> str:
    """Dollars as text, to the micro-dollar."""
    return write_money(Decimal(repr(value)).quantize(_MICRO))


def _routes(job: Job, works: Sequence[Work], records: int) -> list[dict[str, Any]]:
    """How many records each rule and the default take, with exact intervals for the pilot's shares."""
    counts = Counter(work.route.rule for work in works)
    rows = []
    for number in (*range(len(job.routing.rules)), None):
        rule = None if number is None else job.routing.rules[number]
        part = share(counts[number], len(works))
        shares = Interval(part.rate or 0.0, part.low, part.high)
        rows.append(
            {
                "rule": number,
                "when": "every other record" if rule is None else describe_when(rule.when),
                "model": job.routing.default if rule is None else rule.use,
                "records": interval_value(
                    Interval(shares.expected * records, shares.low * records, shares.high * records)
                ),
            }
        )
    return rows


def describe_when(when: When) -> str:
    """A rule's conditions in words."""
    said = [
        f"{name} {', '.join(values)}"
        for name, values in (("language", when.languages), ("task", when.tasks), ("domain", when.domains))
        if values is not None
    ]
    if when.complexity_above is not None:
        said.append(f"complexity above {when.complexity_above:g}")
    if when.characters_above is not None:
        said.append(f"more than {when.characters_above:,} characters")
    return ", ".join(said)


def compared(value: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the plan of a job said beside what came out; None for a plan of nothing."""
    way = value.get("ways", {}).get("this_job")
    if way is None:
        return None
    annotated = summary["records"]["annotated"]
    large = value.get("large")
    asked = summary["by_model"].get(large, {}).get("asked", 0)
    return {
        "made": value["made"],
        "usd": way["usd"],
        "seconds": way["seconds"],
        "escalated": value["escalated"],
        "actual": {
            "usd": summary["cost_usd"]["total"],
            "seconds": summary["seconds"],
            "escalated": asked / annotated if annotated else 0.0,
        },
    }
