"""An annotated record as the plain values that are written: the three columns that a job adds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router.judged_row import judged_row
from router.records import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from router.records import Annotated, Annotation

ADDED_COLUMNS = ("annotation", "route", "usage")


def annotation_row(
    row: Annotated, *, multi_label: bool, retrieval: bool = False, judge: bool = False
) -> dict[str, Any]:
    """The `annotation` column: `label`, `labels` (multi_label) or `answer` (generate).

    Jobs with `retrieval` have the ids of what was shown too, null where the model is shown nothing of that;
    those with a `judge` say how the record was judged.
    """
    said = row.annotation
    shown: dict[str, Any] = {}
    if retrieval:
        ids = said.shown
        shown["examples"] = None if ids is None else list(ids.examples)
        shown["passages"] = None if ids is None else list(ids.passages)
    if said.checks is not None:
        return {**_written_row(said), **shown}
    labels: dict[str, Any] = {"labels": list(said.labels)} if multi_label else {"label": said.labels[0]}
    return {
        "task": said.task,
        **labels,
        "confidence": said.confidence,
        "scores": [{"label": label, "probability": probability} for label, probability in said.scores],
        "model": said.model,
        "status": said.status.value,
        "reason": said.reason,
        "parts": said.parts,
        "raw_answer": said.raw_answer,
        **shown,
        **({"judge": judged_row(row.judged)} if judge else {}),
    }


def _written_row(said: Annotation) -> dict[str, Any]:
    """The `annotation` column of a generate task; what an answer has not is left out."""
    return {
        "task": said.task,
        "answer": said.labels[0],
        "confidence": said.confidence,
        "checks": list(said.checks or ()),
        "model": said.model,
        "status": said.status.value,
        "reason": said.reason,
        "raw_answer": said.raw_answer,
    }


def route_row(row: Annotated) -> dict[str, Any]:
    """The `route` column."""
    route = row.route
    return {
        "language": route.language,
        "domain": route.domain,
        "task": route.task,
        "complexity": route.complexity,
        "model": route.model,
        "rule": route.rule,
    }


def usage_row(row: Annotated) -> dict[str, Any]:
    """The `usage` column; money is Decimal.

    `calls` says which model took which part of it, `calibration_usd` how much of `usd` went into answers that
    only the calibration used.
    """
    return {**_figures(row.usage), "calibration_usd": row.calibration_usd, "calls": _by_model(row.calls)}


def calls_row(calls: Mapping[str, Usage]) -> dict[str, Any]:
    """What calls took, all together and by model; money is Decimal."""
    return {**_figures(sum(calls.values(), Usage())), "calls": _by_model(calls)}


def _by_model(calls: Mapping[str, Usage]) -> list[dict[str, Any]]:
    return [{"model": model, **_figures(usage)} for model, usage in sorted(calls.items())]


def _figures(usage: Usage) -> dict[str, int | float | Decimal]:
    return {
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "seconds": usage.seconds,
        "usd": usage.usd,
    }
