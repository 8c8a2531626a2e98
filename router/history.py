"""Several runs of a job side by side: cost, escalation, agreement and drift, and which runs stand out."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from router.drift import LEVEL, compare_confidences
from router.evaluation import share

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

FEWEST = 5
"""Runs from which on one can stand out from the others."""
SPREADS = 3.5
"""A figure stands out when it is so many spreads away from the middle one (Iglewicz and Hoaglin 1993)."""
LEAST_CHANGE = 0.1
"""And by at least this share of the middle one: what hardly varies varies somehow."""
LEAST_SHIFT = 0.05
"""Confidences and label shares that moved less are taken for the same, however many records there are."""
SURE = 0.99
"""Level of the interval outside of which an agreement stands out."""
LEAST_GAP = 0.02
"""By which it differs at least from the middle one: runs are never quite alike."""

_SPREAD = 1.4826
"""Times the median absolute deviation: the standard deviation, if values are normal."""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished output."""

    output: str
    finished: datetime
    summary: Mapping[str, Any]
    manifest: Mapping[str, Any] = field(default_factory=dict)
    confidence: Mapping[str, Any] = field(default_factory=dict)
    """By task: how the confidences are distributed, as in the summary or as the rows tell."""
    labels: Mapping[str, Any] = field(default_factory=dict)
    """By task and label: how often it was given, likewise."""

    @property
    def name(self) -> str | None:
        """The job's name; None where the manifest is gone."""
        name: str | None = self.manifest.get("job", {}).get("name")
        return name


def history(runs: Sequence[Run]) -> dict[str, Any]:
    """All runs as JSON values, by job, each job's in the order in which they finished."""
    ordered = sorted(runs, key=lambda run: ((run.name or ""), run.finished, run.output))
    return {
        "jobs": [
            {"name": name, "runs": _of_job(list(group))}
            for name, group in itertools.groupby(ordered, key=lambda run: run.name)
        ]
    }


def _of_job(runs: Sequence[Run]) -> list[dict[str, Any]]:
    found = [
        _figures(run) | {"drift": _drifts(run, runs[0], runs[max(0, number - 1)], number)}
        for number, run in enumerate(runs)
    ]
    changed = [
        number > 0 and _settings(run) != _settings(runs[number - 1]) for number, run in enumerate(runs)
    ]
    outlying = [
        [
            *(words for key, words in _OUTLYING.items() if _is_outlier(number, [one[key] for one in found])),
            *_unlike_the_others(number, found),
            *_drifted(one["drift"]["previous"]),
            *_gate_words(run),
        ]
        for number, (run, one) in enumerate(zip(runs, found, strict=True))
    ]
    return [
        {**one, "job_changed": new, "stands_out": words}
        for one, new, words in zip(found, changed, outlying, strict=True)
    ]


def _figures(run: Run) -> dict[str, Any]:
    records, total = run.summary["records"], Decimal(run.summary["cost_usd"]["total"])
    annotated = records["annotated"]
    return {
        "output": run.output,
        "finished": run.finished.isoformat(timespec="seconds"),
        "read": records["read"],
        "annotated": annotated,
        "cost_usd": run.summary["cost_usd"]["total"],
        "usd_per_1000": f"{1000 * total / annotated:.6f}" if annotated else None,
        "escalated": _part(run.summary["status"].get("escalated", 0), annotated),
        "dead_lettered": _part(records["dead_lettered"], records["read"]),
        "seconds": run.summary["seconds"],
        "agreement": _agreements(run),
        "labels": {
            task: {label: one["records"] for label, one in labels.items()}
            for task, labels in run.labels.items()
        },
    }


def _part(count: int, whole: int) -> float | None:
    return count / whole if whole else None


def _agreements(run: Run) -> dict[str, Any]:
    """What is known of how good the answers are, by where it is known from.

    `audit`: kept answers that the oracle confirmed. `certified`: kept answers to the certifying rows, where
    these are the run's own. `gold`: annotations that are what the column of true labels says.
    """
    found = {}
    audit, gold, gate = run.summary.get("audit"), run.summary.get("gold"), run.summary["gate"]
    if audit and audit["records"]:
        found["audit"] = _agreement(audit["agreed"], audit["records"])
    parts = list((gate.get("slices") or {"": gate}).values())
    reused = (run.manifest.get("job", {}).get("calibration") or {}).get("artefact")
    kept = sum(one.get("kept") or 0 for one in parts)
    if kept and not reused:
        found["certified"] = _agreement(kept - sum(one["disagreed"] for one in parts), kept)
    if gold:
        found["gold"] = _agreement(gold["right"], gold["records"])
    return found


def _agreement(count: int, of: int) -> dict[str, Any]:
    one = share(count, of)
    return {"agreed": count, "records": of, "rate": one.rate, "low": one.low, "high": one.high}


def _drifts(run: Run, first: Run, previous: Run, number: int) -> dict[str, Any]:
    """How far the run is from the first one and from the one before; nothing of the first run."""
    if not number:
        return {"first": {}, "previous": {}}
    return {"first": _drift(first, run), "previous": _drift(previous, run)}


def _drift(before: Run, now: Run) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for task in now.confidence:
        old, new = before.confidence.get(task), now.confidence[task]
        if old is not None:
            one = compare_confidences(old["quantiles"], new["quantiles"], (old["records"], new["records"]))
            found.setdefault(task, {})["confidence"] = {
                "distance": one.distance,
                "p_value": one.p_value,
                "drifted": one.drifted and one.distance >= LEAST_SHIFT,
            }
    for task, labels in now.labels.items():
        shift = _label_shift(before.labels.get(task, {}), labels)
        if shift is not None:
            found.setdefault(task, {})["labels"] = shift
    return found


def _label_shift(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any] | None:
    """How far the shares of labels moved: half the sum of the differences, with a chi-square test.

    None where either run has no label.
    """
    names = sorted({*before, *now})
    counts = np.array(
        [[side.get(name, {"records": 0})["records"] for name in names] for side in (before, now)]
    )
    sums = counts.sum(axis=1)
    if not sums.all():
        return None
    distance = float(np.abs(np.diff(counts / sums[:, None], axis=0)).sum() / 2.0)
    expected = np.outer(sums, counts.sum(axis=0)) / counts.sum()
    p_value = (
        float(special.chdtrc(len(names) - 1, ((counts - expected) ** 2 / expected).sum()))
        if len(names) > 1
        else 1.0
    )
    return {"distance": distance, "p_value": p_value, "drifted": p_value < LEVEL and distance >= LEAST_SHIFT}


_OUTLYING = {
    "usd_per_1000": "cost per 1,000 records",
    "escalated": "escalated share",
    "dead_lettered": "share of dead letters",
}


def _is_outlier(number: int, values: Sequence[str | float | None]) -> bool:
    """Whether a value is far from the middle one, by the spread of all."""
    known = [float(value) for value in values if value is not None]
    own = values[number]
    if own is None or len(known) < FEWEST:
        return False
    middle = statistics.median(known)
    away = abs(float(own) - middle)
    spread = _SPREAD * statistics.median(abs(value - middle) for value in known)
    return away > SPREADS * spread and away > LEAST_CHANGE * abs(middle)


def _unlike_the_others(number: int, runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Kinds of agreement that are surely not what the middle run has."""
    found = []
    for basis, one in runs[number]["agreement"].items():
        rates = [run["agreement"][basis]["rate"] for run in runs if basis in run["agreement"]]
        middle = statistics.median(rates)
        sure = share(one["agreed"], one["records"], SURE)
        outside = not sure.low <= middle <= sure.high
        if len(rates) >= FEWEST and outside and abs(one["rate"] - middle) >= LEAST_GAP:
            found.append(f"agreement ({basis})")
    return found


def _drifted(drift: Mapping[str, Mapping[str, Any]]) -> list[str]:
    said: dict[str, Callable[[str], str]] = {
        "confidence": lambda task: f"confidences of {task}",
        "labels": lambda task: f"label shares of {task}",
    }
    return [
        said[what](task) for task, kinds in drift.items() for what, one in kinds.items() if one["drifted"]
    ]


def _gate_words(run: Run) -> list[str]:
    gate = run.summary["gate"]
    return ["gate not certified"] if gate.get("target") and not gate.get("certified") else []


def _settings(run: Run) -> dict[str, Any]:
    """The job without what changes every night: where it reads and writes."""
    job = dict(run.manifest.get("job", {}))
    job["input"] = {key: value for key, value in job.get("input", {}).items() if key != "path"}
    job["output"] = {key: value for key, value in job.get("output", {}).items() if key != "path"}
    return job
