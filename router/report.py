"""The page that shows a job's outcome (`report.html`): one file, no scripts, nothing fetched."""

from __future__ import annotations

import itertools
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from router.records import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHOWN_SAMPLES = 50
"""How many of the least certain rows the page shows."""
SHOWN_CHARACTERS = 200
"""How much of a row's text the page shows, and of its id and names."""

_TEMPLATE = "report.html.j2"
_SHOWN_MONEY = Decimal("0.000001")
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
        samples: The rows of `review-*.jsonl`, least certain first.
    """
    name = summary.get("name")
    return (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            title=f"{name}: Tekizai report" if name else "Tekizai report",
            summary=summary,
            records=summary["records"],
            cost=summary["cost_usd"],
            saved=_saved(summary["cost_usd"]["saved_fraction"]),
            basis=_basis(summary["cost_usd"]),
            models=_models(summary),
            statuses=_statuses(summary["status"]),
            dead_letters=sorted(
                summary.get("dead_letters", {}).items(), key=lambda item: (-item[1], item[0])
            ),
            calibration=[_calibration(entry) for entry in summary.get("calibration", ())],
            samples=[_sample(row) for row in itertools.islice(samples, SHOWN_SAMPLES)],
            offered=len(samples),
            characters=SHOWN_CHARACTERS,
        )
    )


def with_names(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The summary with the job's name and the labels of the calibrated tasks, which the manifest knows."""
    job = manifest.get("job", {})
    labels = {task["name"]: [label["name"] for label in task["labels"]] for task in job.get("tasks", ())}
    calibration = [{**entry, "labels": labels.get(entry["task"])} for entry in summary.get("calibration", ())]
    return {**summary, "name": job.get("name"), "calibration": calibration}


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"count": _count, "money": _money, "duration": _duration}
    return environment


def _count(number: int) -> str:
    return f"{number:,}"


def _money(text: str) -> str:
    amount = Decimal(text)
    if 0 < amount < _SHOWN_MONEY:
        return f"< ${_SHOWN_MONEY}"
    return f"${amount.quantize(_SHOWN_MONEY):,}"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


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
    labels = entry.get("labels") or [f"label {number}" for number, _ in enumerate(entry["mean"], start=1)]
    return {**entry, "means": list(zip(labels, entry["mean"], strict=True))}


def _sample(row: Mapping[str, Any]) -> dict[str, Any]:
    data, (prediction, *_) = row["data"], row["predictions"]
    labels = [_cut(label) for result in prediction["result"] for label in result["value"]["choices"]]
    return {
        "id": _cut(data["id"]),
        "text": _cut(data["text"]),
        "task": _cut(data["task"]),
        "status": data["status"],
        "labels": labels,
        "confidence": prediction["score"],
        "model": _cut(prediction["model_version"]),
    }


def _cut(text: str) -> str:
    """At most `SHOWN_CHARACTERS` of a text, its white space joined; an ellipsis tells that there is more."""
    # Four times as many are looked at: enough where the text is not mostly white space.
    head = " ".join(text[: 4 * SHOWN_CHARACTERS].split())
    cut = len(head) > SHOWN_CHARACTERS or len(text) > 4 * SHOWN_CHARACTERS
    return head[:SHOWN_CHARACTERS] + "…" if cut else head
