"""The plan in a terminal: at most 80 columns, and plain text where it is piped."""

from __future__ import annotations

import textwrap
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from pipelines.console import say
from pipelines.plan_judge import judge_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

_WIDTH = 80
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_NAMES = {
    "all_small": "small models only",
    "all_large": "large model only",
    "this_job": "this job",
    "random_split": "random, same cost",
}


def print_plan(plan: Mapping[str, Any], console: Console) -> None:
    """Print the plan: four ways to do the job, who answers what, and what will not be answered."""
    records = plan["records"]
    _say(
        console,
        f"{plan['job']}: {records['read']:,} records, {records['annotated']:,} to annotate "
        f"({records['duplicates']:,} copies of others), {records['dead_lettered']:,} dead letters",
    )
    if plan["ways"]:
        console.print(_ways(plan))
        told = "Expected, and between what it lies in 19 of 20 cases."
        if not plan.get("offline"):
            told += " The pilot's cost is in it, its time is not: the run asks nothing again that it asked."
        _say(console, told)
        console.print(_routes(plan))
        _say_gate(plan, console)
    if "judge" in plan:
        _say(console, f"{judge_line(plan['judge'])}.")
    if plan["dead_letters"]:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in plan["dead_letters"].items())
        _say(console, f"Dead letters: {reasons}.")
    for note in plan["notes"]:
        _say(console, f"Note: {note}.")


def _say(console: Console, line: str) -> None:
    for part in textwrap.wrap(line, _WIDTH, break_long_words=False, break_on_hyphens=False):
        say(console, part)


def _ways(plan: Mapping[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, width=_WIDTH)
    table.add_column("way", overflow="fold")
    for column in ("cost, USD", "time", "asked of large"):
        table.add_column(column, justify="right")
    known = plan["agreement"]["all_small"] is not None or plan["agreement"]["this_job"] is not None
    if known:
        table.add_column("agree", justify="right")
    for name, way in plan["ways"].items():
        cells = [_money(way["usd"]), _time(way["seconds"]), _count(way["large_records"])]
        if known:
            cells.append(_agreement(name, plan))
        table.add_row(Text(_NAMES[name]), *cells, style="bold" if name == "this_job" else None)
    return table


def _agreement(name: str, plan: Mapping[str, Any]) -> str:
    value = 1.0 if name == "all_large" else plan["agreement"].get(name)
    return "" if value is None else f"{value:.1%}"


def _routes(plan: Mapping[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, width=_WIDTH)
    table.add_column("records", overflow="fold")
    table.add_column("go to", overflow="fold")
    table.add_column("how many", justify="right")
    for row in plan["routes"]:
        rule = row["when"] if row["rule"] is None else f"rule {row['rule']}: {row['when']}"
        table.add_row(Text(rule), Text(row["model"]), _count(row["records"]))
    return table


def _say_gate(plan: Mapping[str, Any], console: Console) -> None:
    share, large = plan.get("escalated"), plan["large"]
    if share is not None and large is not None:
        told = f"{share['expected']:.1%} ({share['low']:.1%} to {share['high']:.1%})"
        _say(console, f"Asked of {large}: {told} of the records.")
    over = plan["over_budget"]
    if over is not None and over["high"] >= 1.0:
        said = _count(over).replace("\n", " (") + ")"
        _say(console, f"Over budget.max_usd: {said} records keep the small model's answer.")


def _money(usd: Mapping[str, str]) -> str:
    expected, low, high = (Decimal(usd[key]) for key in ("expected", "low", "high"))
    return _range(amount(expected), amount(low), amount(high))


def amount(value: Decimal) -> str:
    """Three digits that say something."""
    if not value:
        return "0"
    places = max(0, 2 - value.adjusted())
    return f"{value.quantize(Decimal(1).scaleb(-min(places, 6))):f}"


def _time(seconds: Mapping[str, float]) -> str:
    if not seconds["expected"]:
        return "not known"
    return _range(*(_clock(seconds[key]) for key in ("expected", "low", "high")))


def _clock(seconds: float) -> str:
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _count(interval: Mapping[str, float]) -> str:
    expected, low, high = (round(interval[key]) for key in ("expected", "low", "high"))
    return _range(f"{expected:,}", f"{low:,}", f"{high:,}")


def _range(expected: str, low: str, high: str) -> str:
    """What is expected, and under it between what it lies."""
    return expected if low == high else f"{expected}\n{low} to {high}"
