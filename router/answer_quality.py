"""How good written answers are: what passes the checker against gold, and what can be said without any."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from router.answer_checks import passes
from router.answer_schema import misfit
from router.evaluation import calibration_error, reliability, risk_coverage, share
from router.language import identify_language

if TYPE_CHECKING:
    from collections.abc import Sequence

    from router.job import Task

_QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """An annotated record of a generate task."""

    answer: str
    text: str
    gold: str | None
    confidence: float | None
    checks: tuple[str, ...]


def answer_quality(task: Task, rows: Sequence[AnswerRow]) -> dict[str, Any]:
    """Everything about the answers to a generate task, as JSON values.

    `accuracy` is the share of answers with a gold one that pass the task's checker against it; without a
    checker it is a share of none. `written` needs no gold: shares of answers that pass all checks and that
    are valid JSON of the schema, how long they are, and their languages.

    Raises `CheckerError` where the checker fails.
    """
    judged = [row for row in rows if row.gold is not None] if task.check is not None else []
    right = [passes(task, row.answer, row.gold or "", row.text) for row in judged]
    sure = [
        (row.confidence, good) for row, good in zip(judged, right, strict=True) if row.confidence is not None
    ]
    scores, hits = [c for c, _ in sure], [r for _, r in sure]
    bins = reliability(scores, hits)
    schema = task.answer_schema
    valid = [misfit(schema, row.answer) is None for row in rows] if schema is not None else None
    return {
        "accuracy": asdict(share(sum(right), len(right))),
        "macro_f1": None,
        "labels": [],
        "confusion": {},
        "calibration": {
            "records": len(sure),
            "expected_error": calibration_error(bins) if sure else None,
            "bins": [asdict(one) for one in bins],
        },
        "risk_coverage": [asdict(one) for one in risk_coverage(scores, hits)],
        "written": {
            "check": task.check,
            "with_gold": sum(row.gold is not None for row in rows),
            "passed_checks": asdict(share(sum(not row.checks for row in rows), len(rows))),
            "failed": dict(Counter(one.partition(":")[0] for row in rows for one in row.checks)),
            "valid": None if valid is None else asdict(share(sum(valid), len(valid))),
            "characters": _quantiles([len(row.answer) for row in rows]),
            "languages": dict(Counter(identify_language(row.answer) for row in rows).most_common()),
        },
    }


def _quantiles(sizes: Sequence[int]) -> dict[str, float]:
    if not sizes:
        return {}
    return {f"{q:g}": float(np.quantile(sizes, q)) for q in _QUANTILES}
