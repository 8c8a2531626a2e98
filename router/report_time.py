"""What a job cost and how fast it was over its run, as the report shows it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from router.charts import Course, course
from router.page import cut
from router.records import write_money

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHOWN_MODELS = 3
"""Models with a line of their own; the others share one."""
PAUSE = 60.0
"""From so many seconds without an answer on, a run stood still: a crash, a night between plan and run."""
SHOWN_STRETCHES = 96
"""At most so many stretches are shown side by side; where there would be more, they are joined."""
_UNITS = ((3.0, 3600.0, "hours"), (3.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
"""A unit is used from so many of it on."""
_FIGURES = 12
_OTHERS = "other models"


@dataclass(frozen=True, slots=True)
class _Stretch:
    at: float
    """Seconds since the first stretch began, pauses left out."""
    number: int
    """Which of those with answers it is; -1 where nothing came."""


def over_time(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """Charts and figures of the run; None where the summary does not say when answers came."""
    found = summary.get("over_time")
    if found is None:
        return None
    width, columns = _joined(found)
    stretches, pauses = _laid_out(sorted(columns), width)
    models = _models(found["by_model"], list(columns.values()))
    lasted = stretches[-1].at + width
    unit, name = next((size, name) for least, size, name in _UNITS if lasted >= least * size)
    spent, speeds = [], []
    for model, column in models:
        usd, answers = column
        spent.append(Course(model, _grown(stretches, usd, width, unit)))
        speeds.append(Course(model, _speeds(stretches, answers, width, unit)))
    breaks = [at / unit for at in pauses]
    return {
        "spent": course(spent, name, "USD together", breaks),
        "speed": course(speeds, name, "answers a second", breaks),
        "pauses": len(pauses),
        "start": found["start"],
        "undated": sum(one["answers"] for one in found["undated"].values()),
        "head": [name, *(f"{model}: {what}" for model, _ in models for what in ("answers", "USD"))],
        "rows": _figures(stretches, models, width, unit),
    }


def _joined(found: Mapping[str, Any]) -> tuple[float, dict[int, list[int]]]:
    """Seconds of a stretch as it is shown, and by its number the columns of the summary that are in it."""
    width = found["stretch_seconds"]
    while True:
        columns: dict[int, list[int]] = {}
        for column, number in enumerate(found["stretches"]):
            columns.setdefault(int(number * found["stretch_seconds"] // width), []).append(column)
        if len(_laid_out(sorted(columns), width)[0]) <= SHOWN_STRETCHES:
            return width, columns
        width *= 2


def _laid_out(numbers: Sequence[int], width: float) -> tuple[list[_Stretch], list[float]]:
    """The stretches side by side, and where pauses were left out."""
    laid, pauses, at = [_Stretch(0.0, 0)], [], 0.0
    for column, (before, number) in enumerate(itertools.pairwise(numbers), start=1):
        empty = number - before - 1
        if empty * width >= PAUSE:
            pauses.append(at + 1.5 * width)
            empty = 1
        laid += [_Stretch(at + width * (step + 1), -1) for step in range(empty)]
        at += width * (empty + 1)
        laid.append(_Stretch(at, column))
    return laid, pauses


_Columns = tuple[list[Decimal], list[int]]


def _models(
    by_model: Mapping[str, Mapping[str, Any]], parts: Sequence[Sequence[int]]
) -> list[tuple[str, _Columns]]:
    """Money and answers by stretch, for the models with the most answers and for all others together."""
    columns = {
        name: (
            [sum((Decimal(one["usd"][column]) for column in part), Decimal(0)) for part in parts],
            [sum(one["answers"][column] for column in part) for part in parts],
        )
        for name, one in by_model.items()
    }
    names = sorted(columns, key=lambda name: (-sum(columns[name][1]), name))
    shown = [(cut(name), columns[name]) for name in names[:SHOWN_MODELS]]
    rest = [columns[name] for name in names[SHOWN_MODELS:]]
    if rest:
        usd = [sum(values, Decimal(0)) for values in zip(*(one[0] for one in rest), strict=True)]
        answers = [sum(values) for values in zip(*(one[1] for one in rest), strict=True)]
        shown.append((_OTHERS, (usd, answers)))
    return shown


def _grown(
    stretches: Sequence[_Stretch], usd: Sequence[Decimal], width: float, unit: float
) -> list[tuple[float, float]]:
    total, points = Decimal(0), [(0.0, 0.0)]
    for one in stretches:
        total += usd[one.number] if one.number >= 0 else 0
        points.append(((one.at + width) / unit, float(total)))
    return points


def _speeds(
    stretches: Sequence[_Stretch], answers: Sequence[int], width: float, unit: float
) -> list[tuple[float, float]]:
    return [
        ((one.at + width / 2) / unit, answers[one.number] / width if one.number >= 0 else 0.0)
        for one in stretches
    ]


def _figures(
    stretches: Sequence[_Stretch], models: Sequence[tuple[str, _Columns]], width: float, unit: float
) -> list[list[str]]:
    """Some twelve lines, each up to a moment: the answers and the money of every model until then."""
    ends = sorted({round(len(stretches) * step / _FIGURES) for step in range(1, _FIGURES + 1)} - {0})
    rows = []
    for end in ends:
        columns = [one.number for one in stretches[:end] if one.number >= 0]
        row = [f"{(stretches[end - 1].at + width) / unit:.1f}"]
        for _, (usd, answers) in models:
            spent = sum((usd[number] for number in columns), Decimal(0))
            row += [f"{sum(answers[number] for number in columns):,}", write_money(spent)]
        rows.append(row)
    return rows
