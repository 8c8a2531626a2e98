"""The page that shows how good an output is (`evaluation.html`): one file, nothing fetched."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from router.charts import reliability_diagram, risk_coverage_curve
from router.evaluation_wording import agreement, answer, failed, gate, headline, interval, missing
from router.job_generation import GENERATE
from router.page import cut, render_page

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SHOWN_LABELS = 100
"""How many labels the table of a task shows."""
SHOWN_ANSWERS = 20
"""How many rows and columns a confusion matrix has; others are counted together."""
SHOWN_PARTS = 12
"""Of how many languages, models or statuses the page shows everything; of the others it shows a line."""

_TEMPLATE = "evaluation.html.j2"
_DARKEST = 0.5
"""Opacity of the shade of a whole row: text on it stays readable on light and dark pages."""


def render_evaluation(found: Mapping[str, Any]) -> str:
    """The page as HTML text.

    Names and labels are foreign: they are escaped, and the page forbids requests.

    Args:
        found: What `pipelines.evaluate.evaluate_output` returns.
    """
    name = found["name"]
    return render_page(
        _TEMPLATE,
        title=f"{name}: Tekizai evaluation" if name else "Tekizai evaluation",
        records=found["records"],
        agreement=agreement(found["audit"]),
        gate=gate(found["gate"]),
        tasks=[_task(task_name, task) for task_name, task in found["tasks"].items()],
    )


def _task(name: str, task: Mapping[str, Any]) -> dict[str, Any]:
    kind = task["kind"]
    return {
        "name": cut(name),
        "multi": kind == "multi_label",
        "written": kind == GENERATE,
        "headline": headline(task),
        "failed": failed(task),
        "missing": missing(task),
        "accuracy": task["accuracy"],
        "interval": interval(task["accuracy"]),
        "figures": _figures(task, kind),
        "by": [{"title": title, **_parts(parts, kind)} for title, parts in task["by"].items()],
    }


def _parts(parts: Mapping[str, Mapping[str, Any]], kind: str) -> dict[str, Any]:
    """A line for each part of the records, and everything of the largest ones."""
    sizes = {name: part["accuracy"]["of"] for name, part in parts.items()}
    largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:SHOWN_PARTS]
    return {
        "lines": [
            {
                "name": cut(name),
                "accuracy": part["accuracy"],
                "interval": interval(part["accuracy"]),
                "macro_f1": part["macro_f1"],
                "error": part["calibration"]["expected_error"],
                "passed": _passed(part),
            }
            for name, part in parts.items()
        ],
        "details": [
            {"name": cut(name), "headline": headline(part), "figures": _figures(part, kind)}
            for name, part in parts.items()
            if name in largest
        ],
    }


def _passed(part: Mapping[str, Any]) -> dict[str, Any] | None:
    """How many written answers pass their checks; None where labels were chosen."""
    if "written" not in part:
        return None
    passed = part["written"]["passed_checks"]
    return {**passed, "interval": interval(passed)}


def _figures(quality: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Tables and charts of the records of a task, or of a part of them."""
    labels = _labels(quality["labels"])
    sure = quality["calibration"]["records"]
    return {
        "labels": labels,
        "more_labels": len(quality["labels"]) - len(labels),
        "matrix": confusion_matrix(quality["confusion"], kind),
        "sure": sure,
        "reliability": reliability_diagram(quality["calibration"]["bins"]) if sure else None,
        "coverage": risk_coverage_curve(quality["risk_coverage"]) if sure else None,
    }


def _labels(labels: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The most frequent labels, in the order in which they come."""
    frequent = sorted(
        range(len(labels)), key=lambda n: -(labels[n]["recall"]["of"] + labels[n]["precision"]["of"])
    )
    return [
        {
            "name": cut(labels[number]["label"]),
            "f1": labels[number]["f1"],
            **{
                side: {**labels[number][side], "interval": interval(labels[number][side])}
                for side in ("precision", "recall")
            },
        }
        for number in sorted(frequent[:SHOWN_LABELS])
    ]


def confusion_matrix(confusion: Mapping[str, Mapping[str, int]], kind: str) -> dict[str, Any]:
    """The rows and columns of a table of true answers against what was said, shaded by share of the row.

    Where there are more answers than `SHOWN_ANSWERS`, those that are mixed up most have a row and a column,
    and all others one together, whose name is None.

    Args:
        confusion: How often each true answer was called what.
        kind: Of the task.
    """
    shown: list[str | None] = [*_most_mixed_up(confusion)]
    kept = set(shown)
    counts: Counter[tuple[str | None, str | None]] = Counter()
    for true, said, count in _cells(confusion):
        counts[true if true in kept else None, said if said in kept else None] += count
    if any(None in pair for pair in counts):
        shown.append(None)
    return {
        "columns": [_name(said, kind) for said in shown],
        "rows": [
            {"name": _name(true, kind), "cells": _row(true, [(said, counts[true, said]) for said in shown])}
            for true in shown
        ],
        "folded": None in shown,
    }


def _most_mixed_up(confusion: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The answers that have a row of their own, in alphabetical order."""
    mistakes: Counter[str] = Counter()
    for true, said, count in _cells(confusion):
        wrong = 0 if true == said else count
        mistakes[true] += wrong
        mistakes[said] += wrong
    return sorted(sorted(mistakes, key=lambda name: (-mistakes[name], name))[:SHOWN_ANSWERS])


def _cells(confusion: Mapping[str, Mapping[str, int]]) -> Iterable[tuple[str, str, int]]:
    return ((true, said, count) for true, row in confusion.items() for said, count in row.items())


def _row(true: str | None, counts: Sequence[tuple[str | None, int]]) -> list[dict[str, Any]]:
    whole = sum(count for _, count in counts)
    return [
        {
            "count": count,
            "shade": f"{_DARKEST * count / whole:.3f}" if whole else "0",
            # Among the answers that are counted together, right and wrong ones cannot be told apart.
            "side": "mixed" if true is None and said is None else "right" if said == true else "wrong",
        }
        for said, count in counts
    ]


def _name(written: str | None, kind: str) -> str | None:
    return None if written is None else cut(answer(written, kind))
