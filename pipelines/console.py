"""What the user sees on stderr: a progress line while the job runs, a table when it is done."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from transforms.progress import read_progress

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_LOGGER = logging.getLogger(__name__)
_SECONDS_TERMINAL = 0.5
_SECONDS_LOG = 30.0


class ProgressLine:
    """Shows how far the job is: a live line on a terminal, a log line every half minute elsewhere."""

    def __init__(self, state: str, console: Console) -> None:
        """`state` is the URL of the output's state folder, where workers leave their notes."""
        self._state = state
        self._console = console
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._started = time.monotonic()

    def __enter__(self) -> ProgressLine:
        """Begin to show."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop showing."""
        self._stop.set()
        self._thread.join()

    def _show(self) -> None:
        if not self._console.is_terminal:
            while not self._stop.wait(_SECONDS_LOG):
                _LOGGER.info("%s", self._line())
            return
        with Live(console=self._console, transient=True, auto_refresh=False) as live:
            while not self._stop.wait(_SECONDS_TERMINAL):
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
        return f"{total:,} records read; asking the calibration sample" if total else "reading"
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


def print_summary(summary: Mapping[str, Any], output: str, console: Console) -> None:
    """The table at the end: who answered how many, what it cost, what the LLM for everything would have."""
    records, cost = summary["records"], summary["cost_usd"]
    table = Table(title=f"{records['annotated']:,} of {records['read']:,} records annotated")
    for column in ("model", "answered", "cost, USD"):
        table.add_column(column, justify="left" if column == "model" else "right")
    models = sorted({*summary["answered_by"], *cost["by_model"]})
    for model in models:
        table.add_row(model, f"{summary['answered_by'].get(model, 0):,}", cost["by_model"].get(model, "0"))
    table.add_row("all", f"{records['annotated']:,}", cost["total"], style="bold")
    baseline = cost["baseline_all_llm"]
    if baseline is not None:
        table.add_row("the large model for every record (estimate)", f"{records['annotated']:,}", baseline, style="dim")
    console.print(table)
    statuses = ", ".join(f"{count:,} {name}" for name, count in summary["status"].items() if count)
    console.print(f"How: {statuses or 'nothing annotated'}.")
    if summary.get("dead_letters"):
        reasons = ", ".join(f"{count:,} {name}" for name, count in summary["dead_letters"].items())
        console.print(f"Dead letters: {reasons}.")
    if cost["saved_fraction"] is not None:
        console.print(f"Saved: {cost['saved_fraction']:.0%} of the estimate.")
    console.print(f"{summary['seconds']:.1f} s, {summary['records_per_second']:.1f} records/s. Output: {output}")
