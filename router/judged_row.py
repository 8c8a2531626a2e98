"""How a record was judged, as the plain values that are written: `annotation.judge`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from router.judgement import Judged, Step


def judged_row(judged: Judged | None) -> dict[str, Any] | None:
    """The field's value; None where the record was not judged. Money is Decimal."""
    if judged is None:
        return None
    judgement = judged.judgement
    return {
        "dispute": judged.dispute.why,
        "opinions": [
            {"model": view.model, "labels": list(view.labels), "confidence": view.confidence}
            for view in judged.dispute.views
        ],
        "verdict": _verdict(judged),
        "labels": None if judgement.labels is None else list(judgement.labels),
        "changed": judged.changed,
        "reason": judgement.reason,
        "steps": [_step(step) for step in judgement.steps],
    }


def _verdict(judged: Judged) -> str:
    judgement = judged.judgement
    if judgement.labels is not None:
        return "labels"
    return "needs_human" if judgement.failure is None else judgement.failure.value


def _step(step: Step) -> dict[str, Any]:
    usage = step.usage
    return {
        "asked": step.asked,
        "said": step.said,
        "tools": [
            {"tool": one.tool, "arguments": one.arguments, "result": one.result, "valid": one.valid}
            for one in step.tools
        ],
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "seconds": usage.seconds,
        "usd": usage.usd,
    }
