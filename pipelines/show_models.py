"""What `tekizai models bench` prints for people, in 80 columns; `--json` has all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from pipelines.console import WIDTH, printable, say_wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

_MB = 1e6
_COLUMNS = (
    *("size,\nMB", "memory,\nMB", "records/s", "tokens/s", "accuracy,\n95 % interval", "calib.\nerror"),
    "agrees\nwith 1",
)


def print_bench(found: Mapping[str, Any], console: Console) -> None:
    """A row for each file, then which files they are and how the figures are meant."""
    console.print(_table(found["models"]))
    for number, one in enumerate(found["models"], 1):
        say_wrapped(console, _legend(number, one), indent="   ")
    data, sample = found["data"], found["label_free"]
    say_wrapped(
        console,
        f"{data['records']:,} records of {printable(data['path'])}, task {printable(found['task']['name'])}, "
        f"{found['threads']} thread(s) each. "
        + (f"Scores divided by their mean over {sample:,} of them. " if sample else "Scores as they are. ")
        + "Memory is the most that was resident, the mapped file included; speed is the median over the "
        "turns, and under it how many times that of 1.",
    )


def _table(models: list[Mapping[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, width=WIDTH, padding=(0, 1, 0, 0))
    table.add_column("file", overflow="fold")
    for title in _COLUMNS:
        table.add_column(title, justify="right", no_wrap=True)
    for number, one in enumerate(models, 1):
        rates, accuracy = one["speed"], one["accuracy"]
        table.add_row(
            Text(f"{number} {printable(one['file']['lineage'])}"),
            f"{one['file']['bytes'] / _MB:,.0f}",
            f"{one['memory']['peak'] / _MB:,.0f}",
            _rate(rates["records_per_second"]) + _times(rates["times_first"]),
            _rate(rates["tokens_per_second"]),
            f"{_share(accuracy['rate'])}\n{accuracy['low']:.3f} to {accuracy['high']:.3f}",
            _share(one["calibration_error"]),
            _share(one["agreement"]["rate"]),
        )
    return table


def _legend(number: int, one: Mapping[str, Any]) -> str:
    name = printable(one["given"])
    failed = f"; the engine failed on {one['failed']:,} records" if one["failed"] else ""
    if number == 1:
        return f"1: {name}{failed}"
    return f"{number}: {name}; right where 1 is wrong {one['gained']:,}, the reverse {one['lost']:,}{failed}"


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004


def _times(value: float | None) -> str:
    return "" if value is None else f"\n{value:.2f} x"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
