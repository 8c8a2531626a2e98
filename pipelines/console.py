"""What the user sees on stderr: a progress line while the job runs, a table when it is done."""

from __future__ import annotations

import logging
import textwrap
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.live import Live
from rich.table import Table
from rich.text import Text

from router.failed_checks import failed_checks_line
from router.judge import judge_line
from transforms.background import BackgroundWatch
from transforms.progress import read_progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

_LOGGER = logging.getLogger(__name__)
WIDTH = 80
"""Columns that the table at the end takes at most: terminals have them, and so have mails and tickets."""


@dataclass(frozen=True)
class Pauses:
    """Seconds between two looks at how far the job is, on a terminal and in a log."""

    terminal: float = 0.5
    log: float = 30.0


class ProgressLine(BackgroundWatch):
    """Shows how far the job is: a live line on a terminal, a log line every half minute elsewhere."""

    def __init__(self, state: str, console: Console, pauses: Pauses | None = None) -> None:
        """`state` is the URL of the output's state folder, where workers leave their notes."""
        super().__init__()
        self._pauses = Pauses() if pauses is None else pauses
        self._state = state
        self._console = console
        self._started = time.monotonic()

    def _watch(self) -> None:
        if not self._console.is_terminal:
            while not self._stop.wait(self._pauses.log):
                _LOGGER.info("%s", self._line())
            return
        with Live(console=self._console, transient=True, auto_refresh=False) as live:
            while not self._stop.wait(self._pauses.terminal):
                live.update(Text(self._line()), refresh=True)

    def _line(self) -> str:
        try:
            counts = read_progress(self._state)
        except OSError:
            return "waiting for the workers"
        return progress_text(counts, time.monotonic() - self._started)


def progress_text(counts: Mapping[str, int], seconds: float) -> str:
    """One line: records, rate, escalated share, money so far, time left."""
    done = counts.get("annotated", 0) + counts.get("dead_lettered", 0)
    total = counts.get("read", 0)
    if not counts.get("annotated", 0):
        if counts.get("to_ask", 0):
            asked = f"{counts.get('asked', 0):,} of {counts['to_ask']:,} answers"
            return f"{total:,} records read; asking the models about a sample: {asked}"
        return f"{total:,} records read" if total else "reading"
    rate = done / seconds if seconds > 0 else 0.0
    left = (total - done) / rate if rate > 0 else 0.0
    escalated = counts.get("escalated", 0) / counts["annotated"]
    usd = counts.get("nano_usd", 0) / 1e9
    return (
        f"{done:,} of {total:,} records  {rate:.1f}/s  {escalated:.0%} escalated  ${usd:.4f}  "
        f"{_clock(max(0.0, left))} left"
    )


def _clock(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def say(console: Console, line: str) -> None:
    """Print one line as it is: not wrapped, and brackets in it are no markup."""
    console.print(line, soft_wrap=True, markup=False, highlight=False)


def say_wrapped(console: Console, line: str, indent: str = "") -> None:
    """Print one line in as many of `WIDTH` columns as it takes, those after the first indented."""
    for part in textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_on_hyphens=False):
        say(console, part)


def printable(name: str) -> str:
    """A name without what a terminal would obey: escapes and other control characters show as U+FFFD."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in name)


def print_summary(summary: Mapping[str, Any], output: str, console: Console) -> None:
    """The table at the end: who answered how many, what it cost, what the LLM for everything would have."""
    records, cost = summary["records"], summary["cost_usd"]
    table = Table(title=f"{records['annotated']:,} of {records['read']:,} records annotated")
    table.add_column("model", overflow="fold")
    for column in ("answered", "cost, USD"):
        table.add_column(column, justify="right", no_wrap=True)
    models = sorted({*summary["answered_by"], *cost["by_model"]})
    for model in models:
        table.add_row(
            Text(printable(model)),
            f"{summary['answered_by'].get(model, 0):,}",
            cost["by_model"].get(model, "0"),
        )
    table.add_row("all", f"{records['annotated']:,}", cost["total"], style="bold")
    baseline = cost["baseline_all_llm"]
    if baseline is not None:
        estimate = "the large model for every record (estimate)"
        table.add_row(estimate, f"{records['annotated']:,}", baseline, style="dim")
    console.print(table, width=min(WIDTH, console.width))
    statuses = ", ".join(f"{count:,} {name}" for name, count in summary["status"].items() if count)
    say(console, f"How: {statuses or 'nothing annotated'}.")
    failed = failed_checks_line(summary.get("checks"))
    if failed is not None:
        say(console, failed)
    if summary.get("dead_letters"):
        reasons = ", ".join(f"{count:,} {name}" for name, count in summary["dead_letters"].items())
        say(console, f"Dead letters: {reasons}.")
    if summary.get("judge"):
        say(console, judge_line(summary["judge"]))
    if cost["saved_fraction"] is not None:
        saved = cost["saved_fraction"]
        told = (
            f"Saved: {saved:.0%} of the estimate."
            if saved >= 0
            else f"Cost: {-saved:.0%} more than the estimate."
        )
        say(console, told)
    say(
        console,
        f"{summary['seconds']:.1f} s, {summary['records_per_second']:.1f} records/s. Output: {output}",
    )
