"""What a job cost, what it saved and what was planned, as the report shows it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from router.page import duration, money, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Show = Callable[[Any], str]


def saved(fraction: float | None) -> str:
    """The saving, or the loss."""
    if fraction is None:
        return "not known"
    return f"{fraction:.0%} saved" if fraction >= 0 else f"{-fraction:.0%} more"


def basis(cost: Mapping[str, Any]) -> str:
    """How the estimate of the large model alone was made."""
    if cost["baseline_all_llm"] is None:
        return f"There is no estimate: {cost['baseline_basis']}."
    return (
        f"{cost['baseline_all_llm']} USD: {cost['baseline_basis']}, times all annotated records. It is an "
        "estimate: the records that the large model was asked about need not be like the others in length."
    )


def planned(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A line for each figure of the job's plan, beside what it came to; none where the job had no plan."""
    plan = summary.get("plan") or {}
    figures: tuple[tuple[str, str, Show], ...] = (
        ("Cost", "usd", lambda value: money(str(value))),
        ("Time", "seconds", duration),
        ("Asked of the large model", "escalated", percent),
    )
    return [_line(name, plan[key], show, plan["actual"][key]) for name, key, show in figures if plan.get(key)]


def _line(name: str, figure: Mapping[str, Any], show: Show, actual: Any) -> dict[str, Any]:  # noqa: ANN401 - a number or money
    low, expected, high = (Decimal(str(figure[end])) for end in ("low", "expected", "high"))
    came = Decimal(str(actual))
    end = max(high, came) or Decimal(1)
    return {
        "name": name,
        "expected": show(figure["expected"]),
        "low": show(figure["low"]),
        "high": show(figure["high"]),
        "actual": show(actual),
        "within": low <= came <= high,
        "where": "inside" if low <= came <= high else "above" if came > high else "below",
        # In percent of the longest line.
        **{
            f"{key}_at": f"{100 * value / end:.2f}"
            for key, value in (("low", low), ("high", high), ("expected", expected), ("actual", came))
        },
    }
