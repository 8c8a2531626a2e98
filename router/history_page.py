"""The page that shows several runs side by side (`history.html`): one file, nothing fetched."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from router.charts import trend
from router.page import cut, money, percent, render_page, when

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Found = Mapping[str, Any]

SHOWN_LABELS = 8
"""Of how many labels of a task the page shows the shares."""

_TEMPLATE = "history.html.j2"
_BASES = {
    "audit": "audit agrees",
    "certified": "certifying rows agree",
    "gold": "right (true labels)",
}


def render_history(found: Mapping[str, Any], left_out: Sequence[str] = ()) -> str:
    """The page as HTML text.

    Names and addresses are foreign: they are escaped, and the page forbids requests.

    Args:
        found: What `router.history.history` returns.
        left_out: Outputs that are not finished.
    """
    jobs = found["jobs"]
    name = jobs[0]["name"] if len(jobs) == 1 else None
    return render_page(
        _TEMPLATE,
        title=f"{cut(name)}: Tekizai history" if name else "Tekizai history",
        jobs=[_job(job) for job in jobs],
        left_out=[cut(one) for one in left_out],
    )


def _job(job: Found) -> dict[str, Any]:
    runs = job["runs"]
    return {
        "name": cut(job["name"] or ""),
        "first": runs[0]["finished"],
        "last": runs[-1]["finished"],
        "annotated": sum(run["annotated"] for run in runs),
        "usd": str(sum((Decimal(run["cost_usd"]) for run in runs), Decimal(0))),
        "outlying": sum(bool(run["stands_out"]) for run in runs),
        "charts": [chart for figure in _FIGURES if (chart := _chart(runs, figure)) is not None],
        "lines": [_line(run) for run in runs],
        "bases": {
            basis: name for basis, name in _BASES.items() if any(basis in run["agreement"] for run in runs)
        },
        "labels": _labels(runs),
    }


@dataclass(frozen=True, slots=True)
class _Figure:
    """Something that is drawn run by run."""

    name: str
    value: Callable[[Found], Found | float | None]
    """The figure of a run: a number, an agreement with its interval, or None where there is none."""
    mark: str
    """How what is said of a run that stands out by this figure begins."""
    share: bool = True


def _agreement(basis: str) -> Callable[[Found], Found | None]:
    return lambda run: run["agreement"].get(basis)


def _distance(what: str, other: str) -> Callable[[Found], float | None]:
    """How far the task that is furthest away is."""
    return lambda run: max(
        (kinds[what]["distance"] for kinds in run["drift"][other].values() if what in kinds), default=None
    )


def _cost(run: Found) -> float:
    return float(run["cost_usd"])


def _cost_per_1000(run: Found) -> float | None:
    return None if run["usd_per_1000"] is None else float(run["usd_per_1000"])


_FIGURES = (
    _Figure("cost, USD", _cost, "\0", share=False),
    _Figure("USD per 1,000 records", _cost_per_1000, "cost per", share=False),
    _Figure("escalated", lambda run: run["escalated"], "escalated"),
    *(_Figure(name, _agreement(basis), f"agreement ({basis})") for basis, name in _BASES.items()),
    _Figure(
        "confidences moved, from the run before",
        _distance("confidence", "previous"),
        "confidences",
        share=False,
    ),
    _Figure("confidences moved, from the first run", _distance("confidence", "first"), "\0", share=False),
    _Figure(
        "label shares moved, from the run before",
        _distance("labels", "previous"),
        "label shares",
        share=False,
    ),
    _Figure("label shares moved, from the first run", _distance("labels", "first"), "\0", share=False),
    _Figure("dead letters", lambda run: run["dead_lettered"], "share of dead letters"),
)


def _chart(runs: Sequence[Found], figure: _Figure) -> dict[str, str] | None:
    """The figure run by run; None where fewer than two runs have it."""
    points = []
    for run in runs:
        found = figure.value(run)
        if found is None:
            continue
        ends = {} if isinstance(found, float) else {"low": found["low"], "high": found["high"]}
        value = found if isinstance(found, float) else found["rate"]
        said = percent(value) if figure.share else f"{value:g}"
        out = any(words.startswith(figure.mark) for words in run["stands_out"])
        points.append(
            {
                "time": run["finished"],
                "value": value,
                "said": f"{when(run['finished'])}: {said}",
                "out": out,
                **ends,
            }
        )
    if len(points) < 2:  # noqa: PLR2004 - a trend needs two
        return None
    return {"name": figure.name, "svg": trend(points, figure.name, share_of=figure.share)}


def _line(run: Found) -> dict[str, Any]:
    return {
        "output": cut(run["output"]),
        "finished": when(run["finished"]),
        "annotated": run["annotated"],
        "cost": money(run["cost_usd"]),
        "per_1000": "–" if run["usd_per_1000"] is None else money(run["usd_per_1000"]),
        "escalated": run["escalated"],
        "dead_lettered": run["dead_lettered"],
        "agreement": run["agreement"],
        "confidence": _distance("confidence", "previous")(run),
        "labels": _distance("labels", "previous")(run),
        "job_changed": run["job_changed"],
        "stands_out": [cut(words) for words in run["stands_out"]],
    }


def _labels(runs: Sequence[Found]) -> list[dict[str, Any]]:
    """By task, the shares of the most frequent labels, run by run."""
    totals: dict[str, dict[str, int]] = {}
    for run in runs:
        for task, labels in run["labels"].items():
            for label, records in labels.items():
                counts = totals.setdefault(task, {})
                counts[label] = counts.get(label, 0) + records
    tables = []
    for task, counts in totals.items():
        shown = sorted(counts, key=lambda label: (-counts[label], label))[:SHOWN_LABELS]
        lines = [(when(run["finished"]), _shares(run["labels"].get(task, {}), shown)) for run in runs]
        names = [cut(label) for label in shown]
        tables.append({"task": cut(task), "labels": names, "lines": lines, "more": len(counts) - len(shown)})
    return tables


def _shares(labels: Mapping[str, int], shown: Sequence[str]) -> list[float | None]:
    whole = sum(labels.values())
    return [labels.get(label, 0) / whole if whole else None for label in shown]
