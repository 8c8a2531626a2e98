"""What `tekizai models compare` prints for people, in 80 columns; `--json` has all of it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from pipelines.console import WIDTH, printable, say, say_wrapped
from pipelines.show_plan import amount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

_CERTAIN = 1.96
_HUNDRED = 100


def print_comparison(found: Mapping[str, Any], console: Console) -> None:
    """The models over all records and by segment, the ways to do the job, and the proposal as YAML."""
    records, oracle = found["records"], found["oracle"]
    say_wrapped(
        console,
        f"{printable(found['job'])}: {records['asked']:,} of {records['to_answer']:,} records, "
        f"{found['judged']:,} of them judged by "
        + ("the gold column." if oracle == "gold" else f"{printable(oracle)}, whose word counts as right."),
    )
    for name, why in found["failed"].items():
        say_wrapped(console, f"{printable(name)} failed on some: {printable(why)}.")
    console.print(_models(found))
    say_wrapped(
        console,
        "as asked: share of answers as the oracle's, with its exact 95 % interval. taught: the same with "
        "what a pilot learns, each record by a fit without it. kept: records whose answer a gate for "
        f"{found['target']:g} could keep. Cost is USD for 1,000 records.",
    )
    for kind, parts in found["figures"]["by"].items():
        console.print(_parts(kind, parts, list(found["models"])))
    if found["figures"]["by"]:
        say_wrapped(
            console, "In each segment: taught or as asked, and under it the share that could be kept."
        )
    console.print(_ways(found["ways"]))
    say_wrapped(
        console,
        "Each is measured on records that had no part in choosing it (five folds). `input` is all records "
        "that models answer, the run's own pilot included.",
    )
    _print_proposal(found, console)
    for note in found["notes"]:
        say_wrapped(console, f"Note: {printable(note)}.")


def _models(found: Mapping[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, width=WIDTH, padding=(0, 1, 0, 0))
    table.add_column("model", overflow="fold")
    for title in ("as asked,\n95 % interval", "taught", "kept", "speed", "cost,\nUSD", "failed"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, one in found["figures"]["all"].items():
        table.add_row(
            Text(printable(name)),
            _interval(one["quality"]),
            "" if one["learned"] is None else _share(one["learned"]),
            "" if one["kept"] is None else _percent(one["kept"]),
            _speed(one, found["models"][name]["runs"]),
            _usd(one["usd_per_thousand"]),
            f"{one['failed']:,}",
        )
    return table


def _speed(one: Mapping[str, Any], runs: str) -> str:
    if runs == "local":
        rate = one["records_per_second"]
        return "" if rate is None else f"{rate:.1f}/s"
    if one["median_seconds"] is None:
        return ""
    return f"{one['median_seconds']:.2f} s\n95 %: {one['slowest_seconds']:.2f} s"


def _parts(kind: str, parts: Mapping[str, Mapping[str, Any]], models: list[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, width=WIDTH, padding=(0, 1, 0, 0))
    table.add_column(kind, overflow="fold")
    table.add_column("records", justify="right")
    for name in models:
        table.add_column(Text(printable(name)), justify="right", overflow="fold")
    for part, by_model in parts.items():
        cells = [_part(by_model[name]) for name in models]
        count = max((one["records"] for one in by_model.values()), default=0)
        table.add_row(Text(printable(part)), f"{count:,}", *cells)
    return table


def _part(one: Mapping[str, Any]) -> str:
    if one["learned"] is None:
        return _share(one["quality"])
    return f"{_share(one['learned'])}\n{_percent(one['kept'])}"


def _ways(ways: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, width=WIDTH, padding=(0, 1, 0, 0))
    table.add_column("way", overflow="fold")
    for title in ("as the oracle,\n95 % interval", "asked of\nlarge", "cost of\n1,000", "cost of\ninput"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, way in ways.items():
        table.add_row(
            Text(printable(name)),
            _interval(way["quality"]),
            _percent(way["escalated"]),
            _usd(way["usd_per_thousand"]),
            _usd(way["input_usd"]),
            style="bold" if name == "proposal" else None,
        )
    return table


def _print_proposal(found: Mapping[str, Any], console: Console) -> None:
    proposal = found["proposal"]
    if proposal is None:
        say_wrapped(console, "There is no proposal.")
        return
    say(console, "")
    named = "`routing` and `calibration`" if "calibration" in proposal else "`routing`"
    say_wrapped(console, f"Proposal for {found['target']:g}, to paste in place of the job file's {named}:")
    say(console, "")
    say(console, proposal["yaml"])
    for rule in proposal["rules"]:
        kind, name = rule["segment"]
        saves = rule["saves_usd_per_thousand"]
        why = "it is right more often there" if saves is None else f"saves {_usd(saves)} USD on 1,000 records"
        say_wrapped(
            console,
            f"{printable(kind)} {printable(name)} goes to {printable(rule['use'])}: {why}, beyond noise.",
        )
    say_wrapped(console, _saving(proposal["saved_per_thousand"]))
    told = f"Chosen alike on {proposal['chosen_alike']} of {proposal['folds']} parts of the records. "
    if "calibration" in proposal:
        pilot = proposal["calibration"]["pilot"]
        told += (
            "It is an estimate: `tekizai run` certifies the gate on other records, and says if it cannot. "
            f"`compared: {pilot['compared']}` keeps those that have chosen out of that: they train."
        )
    else:
        told += "One model answers everything, so a run has nothing to certify: this is an estimate."
    say_wrapped(console, told)


def _saving(saving: Mapping[str, float]) -> str:
    usd, error = saving["usd"], _CERTAIN * saving["error"]
    said = f"{_usd(abs(usd))} USD on 1,000 records (± {_usd(error)})"
    if usd > error:
        return f"Against the job as it stands it saves {said}."
    if usd < -error:
        return f"Against the job as it stands it costs {said} more."
    return (
        f"Against the job as it stands it differs by {said}, which may be noise: nothing is gained for sure."
    )


def _interval(one: Mapping[str, Any]) -> str:
    return "" if one["rate"] is None else f"{one['rate']:.3f}\n{one['low']:.3f} to {one['high']:.3f}"


def _share(one: Mapping[str, Any]) -> str:
    return "" if one["rate"] is None else f"{one['rate']:.3f}"


def _percent(one: Mapping[str, Any]) -> str:
    return "" if one["rate"] is None else f"{_HUNDRED * one['rate']:.0f} %"


def _usd(value: str | float) -> str:
    return amount(Decimal(str(value)))
