"""The page that shows a job's outcome (`report.html`): one file, no scripts, nothing fetched."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from router.page import SHOWN_CHARACTERS, cut, render_page
from router.records import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHOWN_SAMPLES = 50
"""How many of the rows to review the page shows."""

_TEMPLATE = "report.html.j2"
_MEANINGS = {
    Status.KEPT: "the default model's answer stands",
    Status.ESCALATED: "a small model was below the threshold, and the next model was asked",
    Status.ROUTED: "a rule chose the model, and its answer stands",
    Status.DUPLICATE: "the text was there before under the same task; its answer was taken over at no cost",
    Status.OVER_BUDGET: "the small model's answer stands, because the money was spent",
    Status.LLM_UNAVAILABLE: "the small model's answer stands, because the next model could not be asked",
    Status.LLM_UNUSABLE: "the small model's answer stands, because the LLM gave no label of the list",
}


def render_report(summary: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> str:
    """The page as HTML text.

    Names, labels and texts are foreign: they are escaped, and the page forbids scripts and requests.

    Args:
        summary: The contents of `summary.json`, better still what `with_names` makes of them.
        samples: The rows of `review-*.jsonl`, in their order.
    """
    name = summary.get("name")
    return render_page(
        _TEMPLATE,
        title=f"{name}: Tekizai report" if name else "Tekizai report",
        summary=summary,
        records=summary["records"],
        cost=summary["cost_usd"],
        saved=_saved(summary["cost_usd"]["saved_fraction"]),
        basis=_basis(summary["cost_usd"]),
        models=_models(summary),
        statuses=_statuses(summary["status"]),
        dead_letters=sorted(summary.get("dead_letters", {}).items(), key=lambda item: (-item[1], item[0])),
        calibration=[_calibration(entry) for entry in summary.get("calibration", ())],
        samples=[_sample(row) for row in itertools.islice(samples, SHOWN_SAMPLES)],
        offered=len(samples),
        characters=SHOWN_CHARACTERS,
    )


def with_names(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The summary with the job's name and the labels of the calibrated tasks, which the manifest knows."""
    job = manifest.get("job", {})
    labels = {task["name"]: [label["name"] for label in task["labels"]] for task in job.get("tasks", ())}
    calibration = [{**entry, "labels": labels.get(entry["task"])} for entry in summary.get("calibration", ())]
    return {**summary, "name": job.get("name"), "calibration": calibration}


def _saved(fraction: float | None) -> str:
    if fraction is None:
        return "not known"
    return f"{fraction:.0%} saved" if fraction >= 0 else f"{-fraction:.0%} more"


def _basis(cost: Mapping[str, Any]) -> str:
    if cost["baseline_all_llm"] is None:
        return f"There is no estimate: {cost['baseline_basis']}."
    return (
        f"{cost['baseline_all_llm']} USD: {cost['baseline_basis']}, times all annotated records. It is an "
        "estimate: the records that the large model was asked about need not be like the others in length."
    )


def _models(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    answered, usd = summary["answered_by"], summary["cost_usd"]["by_model"]
    return [
        {"name": name, "answered": answered.get(name, 0), "usd": usd.get(name, "0.000000")}
        for name in sorted({*answered, *usd}, key=lambda name: (-answered.get(name, 0), name))
    ]


def _statuses(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    return [
        {"name": status.value, "records": counts[status.value], "meaning": _MEANINGS[status]}
        for status in Status
        if counts.get(status.value)
    ]


def _calibration(entry: Mapping[str, Any]) -> dict[str, Any]:
    mean = entry.get("mean", ())
    labels = entry.get("labels") or [f"label {number}" for number, _ in enumerate(mean, start=1)]
    return {**entry, "means": list(zip(labels, mean, strict=False))}


def _sample(row: Mapping[str, Any]) -> dict[str, Any]:
    data = row["data"]
    return {
        "id": cut(data["id"]),
        "text": cut(data["text"]),
        "task": cut(data["task"]),
        "status": data["status"],
        "labels": [cut(label) for label in data["labels"]],
        "confidence": data["confidence"],
        "model": cut(data["model"]),
        "disputed": data["why"] == "disputed",
        "small_labels": [cut(label) for label in data["small_labels"]],
        "small_confidence": data["small_confidence"],
    }
