"""The page that shows a job's outcome (`report.html`): one file, nothing fetched, no script needed."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from router.charts import spending_curve
from router.flow import flow_diagram, sent_to
from router.job_generation import GENERATE
from router.page import SHOWN_CHARACTERS, cut, render_page
from router.records import Status
from router.report_money import basis, planned, saved
from router.report_quality import known_quality
from router.report_repeat import repeating, without_secrets
from router.report_time import over_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MICRO = Decimal("0.000001")
SHOWN_SAMPLES = 20
"""How many of the rows to review the page shows."""

_TEMPLATE = "report.html.j2"
_MEANINGS = {
    Status.KEPT: "the default model's answer stands",
    Status.ESCALATED: "a small model was below the threshold, or the pilot or an audit asked about it: "
    "the next model's answer stands",
    Status.ROUTED: "a rule chose the model, and its answer stands",
    Status.DUPLICATE: "the text was there before under the same task; its answer was taken over at no cost",
    Status.OVER_BUDGET: "the small model's answer stands, because the money was spent",
    Status.LLM_UNAVAILABLE: "the small model's answer stands, because the next model could not be asked",
    Status.LLM_UNUSABLE: "the small model's answer stands, because the LLM gave no label of the list "
    "(or wrote no answer that passes the checks)",
    Status.JUDGED: "the models disputed or the large one was unsure: the judge's verdict stands",
    Status.NEEDS_HUMAN: "the judge could not settle it: the large model's answer stands until a person looks",
}


def render_report(
    summary: Mapping[str, Any],
    samples: Sequence[Mapping[str, Any]],
    *,
    tables: Mapping[str, Any] | None = None,
    manifest: Mapping[str, Any] | None = None,
    certifying: Mapping[str, Any] | None = None,
) -> str:
    """The page as HTML text.

    Names, labels and texts are foreign: they are escaped, and the page forbids requests.

    Args:
        summary: The contents of `summary.json`, better still what `with_names` makes of them.
        samples: The rows of `review-*.jsonl`, in their order.
        tables: What `transforms.output_tables` finds in the rows; None where they are not there.
        manifest: The contents of `state/manifest.json`.
        certifying: The rows that certified the gate, as the calibration's file has them.
    """
    name = summary.get("name")
    manifest = manifest or {}
    return render_page(
        _TEMPLATE,
        title=f"{name}: Tekizai report" if name else "Tekizai report",
        summary=summary,
        records=summary["records"],
        cost=summary["cost_usd"],
        asked=_asked(manifest),
        saved=saved(summary["cost_usd"]["saved_fraction"]),
        basis=basis(summary["cost_usd"]),
        plan=planned(summary),
        over_time=over_time(summary),
        models=_models(summary, tables),
        **_of_tables(tables, summary["records"]["dead_lettered"], manifest),
        statuses=_statuses(summary["status"]),
        checks=summary.get("checks"),
        judge=_judge(summary.get("judge")),
        quality={**known_quality(summary, tables, certifying), "written": _writes(manifest)},
        dead_letters=sorted(summary.get("dead_letters", {}).items(), key=lambda item: (-item[1], item[0])),
        calibration=[_calibration(entry) for entry in summary.get("calibration", ())],
        samples=[_sample(row) for row in itertools.islice(samples, SHOWN_SAMPLES)],
        offered=len(samples),
        characters=SHOWN_CHARACTERS,
        repeating=repeating(manifest),
    )


def with_names(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The summary with the job's name and the labels of the calibrated tasks, which the manifest knows."""
    job = manifest.get("job", {})
    labels = {task["name"]: [label["name"] for label in task["labels"]] for task in job.get("tasks", ())}
    calibration = [{**entry, "labels": labels.get(entry["task"])} for entry in summary.get("calibration", ())]
    return {**summary, "name": job.get("name"), "calibration": calibration}


def _writes(manifest: Mapping[str, Any]) -> bool:
    """Whether the job has a task whose answers are written."""
    return any(task.get("kind") == GENERATE for task in manifest.get("job", {}).get("tasks", ()))


def _asked(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the job was to find out, and of which texts."""
    job = manifest.get("job", {})
    tasks = [cut(task["name"]) for task in job.get("tasks", ())]
    if not tasks:
        return None
    return {"tasks": tasks, "path": cut(without_secrets(str(job.get("input", {}).get("path", ""))))}


def _models(summary: Mapping[str, Any], tables: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    answered, usd = summary["answered_by"], summary["cost_usd"]["by_model"]
    took = {} if tables is None else tables["seconds_per_record"]["by_model"]
    return [
        {
            "name": cut(name),
            "answered": answered.get(name, 0),
            "usd": usd.get(name, "0.000000"),
            "took": took.get(name),
        }
        for name in sorted({*answered, *usd}, key=lambda name: (-answered.get(name, 0), name))
    ]


def _ways(flow: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    rules = manifest.get("job", {}).get("routing", {}).get("rules", ())
    return [
        {
            "sent": cut(sent_to(row["rule"], row["chosen"])),
            "because": _because(row["rule"], rules),
            "model": cut(row["model"]),
            "status": row["status"],
            "records": row["records"],
        }
        for row in flow
    ]


def _because(number: int | None, rules: Sequence[Mapping[str, Any]]) -> str:
    """What a rule asks for, as the job file says it; nothing for the default."""
    if number is None or number >= len(rules):
        return ""
    conditions = rules[number].get("when", {}).items()
    asked = ((key.replace("_", " "), value) for key, value in conditions if value is not None)
    return cut(
        "; ".join(
            f"{key} {', '.join(map(str, value)) if isinstance(value, list) else value}"
            for key, value in asked
        )
    )


def _of_tables(tables: Mapping[str, Any] | None, refused: int, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What only the rows can tell; nothing where they are not there."""
    if tables is None:
        return {"tables": None, "flow": None, "ways": [], "spending": None, "spending_rows": []}
    spending = tables["spending"]
    return {
        "tables": tables,
        "flow": flow_diagram(tables["flow"], refused),
        "ways": _ways(tables["flow"], manifest),
        "spending": spending_curve(spending) if spending else None,
        "spending_rows": _tenths(spending),
    }


def _tenths(points: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Ten points of a curve that has a hundred, for those who read figures."""
    step = max(1, len(points) // 10)
    return [(f"{one['records']:,}", one["usd"]) for one in points[step - 1 :: step]]


def _judge(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What came of disputes, with what one of them cost; None where there is no judge or nothing to judge."""
    if found is None:
        return None
    each = (Decimal(found["usd"]) / found["disputes"]).quantize(_MICRO)
    return {**found, "each": f"{each:f}"}


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
        "checks": [cut(one) for one in data.get("checks", ())],
    }
