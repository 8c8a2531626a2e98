"""What `tekizai evaluate` prints for people; `--json` has all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from router.evaluation_wording import agreement, answer, failed, gate, headline, interval, missing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

_SHOWN_LABELS = 30
_MIXED_UP = 5
_KEPT = (0.25, 0.5, 0.75, 1.0)


def print_quality(found: Mapping[str, Any], console: Console) -> None:
    """Tables of each task and of its parts, the labels mixed up most, and what a threshold would keep."""
    records = found["records"]
    _line(
        console, f"{records['with_gold']:,} of {records['annotated']:,} annotated records have a true label."
    )
    _print_tasks(found, console)
    _line(console, "")
    _line(console, f"Agreement with the oracle: {agreement(found['audit'])}")
    _line(console, f"Gate: {gate(found['gate'])}")


_RANKED_BY = {
    "complexity": "By complexity, before any model has answered",
    "confidence": "By the small model's confidence",
    "after": "By what is known after its answer",
}


def print_router_quality(found: Mapping[str, Any], console: Console) -> None:
    """The same of a head of the router, with its baselines; of complexity, how well it ranks."""
    if "tasks" not in found:
        _line(
            console,
            f"{found['records']:,} records; the small model is right on {found['small_correct']:.3f}.",
        )
        for name, by in _RANKED_BY.items():
            if name in found:
                shown = (
                    f"{key.upper().replace('_', ' ')} {_rate(value)}" for key, value in found[name].items()
                )
                _line(console, f"{by}: {', '.join(shown)}.")
        return
    _print_tasks(found, console)
    for name, one in found.get("baselines", {}).items():
        _line(
            console,
            f"Baseline, {name}: accuracy {_rate(one['accuracy']['rate'])} ({interval(one['accuracy'])}), "
            f"macro F1 {_rate(one['macro_f1'])}",
        )


def _print_tasks(found: Mapping[str, Any], console: Console) -> None:
    for name, task in found["tasks"].items():
        _line(console, "")
        _line(console, f"Task {name}: {headline(task)}")
        if (which := failed(task)) is not None:
            _line(console, f"Failed checks: {which}.")
        if (unknown := missing(task)) is not None:
            _line(console, unknown)
            for part, parts in task["by"].items():
                console.print(_checked(part, parts))
            continue
        if task["labels"]:
            console.print(_labels(task["labels"]))
        for part, parts in task["by"].items():
            console.print(_parts(part, parts))
        mixed = _mixed_up(task["confusion"], task["kind"])
        if mixed:
            _line(console, f"Most often mixed up: {mixed}.")
        kept = _kept(task["risk_coverage"])
        if kept:
            _line(console, f"Accuracy of the surest {kept}.")


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
    for column in (title, "records", "accuracy", "95 % interval", "macro F1", "calibration error"):
        table.add_column(column, justify="left" if column == title else "right")
    for name, one in parts.items():
        accuracy = one["accuracy"]
        table.add_row(
            Text(name),
            f"{accuracy['of']:,}",
            _rate(accuracy["rate"]),
            interval(accuracy),
            _rate(one["macro_f1"]),
            _rate(one["calibration"]["expected_error"]),
        )
    return table


def _checked(title: str, parts: Mapping[str, Mapping[str, Any]]) -> Table:
    """Of written answers of which nobody knows whether they are right: how many pass their checks."""
    table = Table()
    for column in (title, "answers", "pass the checks", "95 % interval"):
        table.add_column(column, justify="left" if column == title else "right")
    for name, one in parts.items():
        passed = one["written"]["passed_checks"]
        table.add_row(Text(name), f"{passed['of']:,}", _rate(passed["rate"]), interval(passed))
    return table


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _mixed_up(confusion: Mapping[str, Mapping[str, int]], kind: str) -> str:
    pairs = [
        (count, true, said) for true, row in confusion.items() for said, count in row.items() if said != true
    ]
    worst = sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:_MIXED_UP]
    return ", ".join(
        f"{answer(true, kind)} called {answer(said, kind)} ({count:,})" for count, true, said in worst
    )


def _kept(curve: Sequence[Mapping[str, Any]]) -> str:
    """The curve of risk and coverage where at least a quarter, a half, three quarters and all are kept."""
    points = [next(one for one in curve if one["kept"] >= part) for part in _KEPT] if curve else []
    shown = {one["threshold"]: f"{100 * one['kept']:.0f} %: {one['accuracy']:.3f}" for one in points}
    return ", ".join(shown.values())


def _line(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, markup=False, highlight=False)
