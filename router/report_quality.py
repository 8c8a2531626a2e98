"""What is known of the quality of a job's answers, and in which parts of them, as the report shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router.charts import confidence_histogram, reliability_diagram, risk_coverage_curve
from router.evaluation import risk_coverage, share
from router.page import cut

if TYPE_CHECKING:
    from collections.abc import Mapping

SHOWN_VALUES = 30
"""Of how many languages, domains or labels the page has a line."""
SHOWN_CHARTS = 4
"""Of how many tasks or models there are charts."""

_PARTS = ("task", "language", "domain", "model")


def known_quality(
    summary: Mapping[str, Any], tables: Mapping[str, Any] | None, certifying: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Charts and words about how good the answers are, from true labels or from the certifying rows.

    Args:
        summary: The contents of `summary.json`.
        tables: Of `transforms.output_tables`; None where the rows are not there.
        certifying: The rows that certified the gate (`state/calibration/calibration.json`), where they are.
    """
    gold = tables["gold"] if tables else None
    gate = summary["gate"]
    threshold = None if gate.get("slices") else gate["threshold"]
    # What nothing was fitted to may be far off, and a set of figures alone does not say that.
    nothing_known = gold is None and not gate.get("models") and not summary.get("audit")
    return {
        "gold": gold,
        "gold_charts": [] if gold is None else _gold_charts(gold, threshold),
        "held_back": [_held_back(one) for one in gate.get("models", ())[:SHOWN_CHARTS]],
        "agreement_parts": _agreement_parts(gate.get("parts") or {}),
        "certified_coverage": _certified_coverage(certifying, threshold),
        "nothing_known": nothing_known,
        "histograms": [] if tables is None else _histograms(tables["confidence"], threshold),
        "parts": [] if tables is None else _parts(tables),
    }


def _gold_charts(gold: Mapping[str, Any], threshold: float | None) -> list[dict[str, Any]]:
    if not gold["sure"]:
        return []
    shown = [{"kind": "reliability", "svg": reliability_diagram(gold["bins"], "right"), "rows": gold["bins"]}]
    if gold["risk_coverage"]:
        curve = risk_coverage_curve(gold["risk_coverage"], threshold)
        shown.append({"kind": "coverage", "svg": curve, "rows": gold["risk_coverage"]})
    return shown


def _held_back(entry: Mapping[str, Any]) -> dict[str, Any]:
    bins = [{**one, "accuracy": one["agreement"]} for one in entry["held_back"].get("bins", ())]
    return {
        "model": cut(entry["model"]),
        "task": cut(entry["task"]),
        "svg": reliability_diagram(bins, "agreement") if bins else None,
        "rows": bins,
    }


def _agreement_parts(parts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Kept answers that agree with the oracle, in each language, domain and of each label."""
    return [
        {
            "title": name,
            "lines": [
                {"name": cut(value), "agreed": share(one["agreed"], one["kept"])}
                for value, one in sorted(values.items(), key=lambda item: (-item[1]["kept"], item[0]))
            ][:SHOWN_VALUES],
        }
        for name, values in parts.items()
    ]


def _certified_coverage(
    certifying: Mapping[str, Any] | None, threshold: float | None
) -> dict[str, Any] | None:
    """What each threshold would keep of the certifying rows, and how much of that the oracle calls wrong."""
    if certifying is None:
        return None
    # -1 is no answer.
    rows = [
        pair for pair in zip(certifying["confidence"], certifying["agrees"], strict=True) if pair[0] >= 0.0
    ]
    points = [
        {"threshold": one.threshold, "kept": one.kept, "accuracy": one.accuracy}
        for one in risk_coverage([sure for sure, _ in rows], [agrees for _, agrees in rows])
    ]
    if not points:
        return None
    return {"svg": risk_coverage_curve(points, threshold), "rows": points, "records": len(rows)}


def _histograms(confidence: Mapping[str, Any], threshold: float | None) -> list[dict[str, Any]]:
    return [
        {
            "task": cut(task),
            "records": one["records"],
            "svg": confidence_histogram(one["histogram"], threshold),
            "rows": [
                (f"{number / len(one['histogram']):.2f}", count)
                for number, count in enumerate(one["histogram"])
                if count
            ],
        }
        for task, one in list(confidence.items())[:SHOWN_CHARTS]
    ]


def _parts(tables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A table for each way of parting the records that parts them at all."""
    found = [
        _part(name, tables["by"][name])
        for name in _PARTS
        if len(tables["by"][name]) > 1 or name == "language"
    ]
    for task, labels in tables["labels"].items():
        found.append(_part("label", labels, cut(task) if len(tables["labels"]) > 1 else ""))
    return [part for part in found if part["lines"]]


def _part(title: str, values: Mapping[str, Mapping[str, Any]], of: str = "") -> dict[str, Any]:
    whole = sum(one["records"] for one in values.values())
    return {
        "title": title,
        "of": of,
        "lines": [_line(name, one, whole) for name, one in list(values.items())[:SHOWN_VALUES]],
        "more": max(0, len(values) - SHOWN_VALUES),
        "costs": any("usd" in one for one in values.values()),
        "judged": any("with_gold" in one for one in values.values()),
    }


def _line(name: str, one: Mapping[str, Any], whole: int) -> dict[str, Any]:
    return {
        "name": cut(name),
        "records": one["records"],
        "share": one["records"] / whole if whole else 0.0,
        "escalated": one["escalated"] / one["records"] if one.get("records") and "escalated" in one else None,
        "usd": one.get("usd"),
        "right": None if "with_gold" not in one else share(one["right"], one["with_gold"]),
    }
