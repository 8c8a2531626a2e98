"""What `tekizai evaluate` prints for people; `--json` has all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

_SHOWN_LABELS = 30
_MIXED_UP = 5


def print_quality(found: Mapping[str, Any], console: Console) -> None:
    """One table a task and kind of part, and the labels that are mixed up most."""
    records = found["records"]
    _line(
        console, f"{records['with_gold']:,} of {records['annotated']:,} annotated records have a true label."
    )
    for name, task in found["tasks"].items():
        _line(console, "")
        _line(console, f"Task {name}: {_headline(task)}")
        console.print(_labels(task["labels"]))
        for part in ("language", "model", "status"):
            console.print(_parts(part, task["by"][part]))
        mixed = _mixed_up(task["confusion"])
        if mixed:
            _line(console, f"Most often mixed up: {mixed}.")


def _headline(task: Mapping[str, Any]) -> str:
    accuracy, error = task["accuracy"], task["calibration"]["expected_error"]
    said = (
        f"accuracy {accuracy['rate']:.3f} (95 % interval {accuracy['low']:.3f} to {accuracy['high']:.3f}), "
        f"macro F1 {task['macro_f1']:.3f}"
    )
    return said if error is None else f"{said}, calibration error {error:.3f}"


def _labels(labels: list[Mapping[str, Any]]) -> Table:
    table = Table()
    for title in ("label", "true", "said", "precision", "recall", "F1"):
        table.add_column(title, justify="left" if title == "label" else "right")
    for one in labels[:_SHOWN_LABELS]:
        precision, recall = one["precision"], one["recall"]
        table.add_row(
            Text(one["label"]),
            f"{recall['of']:,}",
            f"{precision['of']:,}",
            _rate(precision["rate"]),
            _rate(recall["rate"]),
            f"{one['f1']:.3f}",
        )
    if len(labels) > _SHOWN_LABELS:
        table.add_row(f"and {len(labels) - _SHOWN_LABELS} more: --json", *[""] * 5)
    return table


def _parts(title: str, parts: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table()
    for column in (title, "records", "accuracy", "95 % interval"):
        table.add_column(column, justify="left" if column == title else "right")
    for name, one in parts.items():
        interval = f"{one['low']:.3f} to {one['high']:.3f}"
        table.add_row(Text(name), f"{one['records']:,}", _rate(one["accuracy"]), interval)
    return table


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _mixed_up(confusion: Mapping[str, Mapping[str, int]]) -> str:
    pairs = [
        (count, true, said) for true, row in confusion.items() for said, count in row.items() if said != true
    ]
    worst = sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:_MIXED_UP]
    return ", ".join(f"{true} called {said} ({count:,})" for count, true, said in worst)


def _line(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, markup=False, highlight=False)
