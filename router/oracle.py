"""What the oracle said of a record: the large model's labels, or the gold column's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from router.job_generation import GENERATE
from router.verdict import read_answer

if TYPE_CHECKING:
    from router.job import Task
    from router.records import Answer


def oracle_labels(answer: Answer | None, task: Task) -> frozenset[str] | None:
    """The labels that a large model gave; None where it gave none (it is unusable, or was not asked)."""
    if answer is None:
        return None
    verdict = read_answer(answer, task, {})
    return None if verdict is None else frozenset(verdict.labels)


def gold_labels(gold: str | None, task: Task) -> frozenset[str] | None:
    """The labels of a gold column: a label's name, for multi_label a JSON list of names, or a right answer.

    None where the record has none. Raises `ValueError` for a label that the task does not have.
    """
    if gold is None:
        return None
    if task.kind == GENERATE:
        return frozenset({gold})
    labels = _listed(gold) if task.kind == "multi_label" else [gold]
    for label in labels:
        if label not in task.label_names:
            raise ValueError(
                f"input.gold: {label!r} is not a label of task {task.name!r} "
                f"({', '.join(task.label_names)}): correct the column, or the labels"
            )
    return frozenset(labels)


def _listed(gold: str) -> list[str]:
    try:
        found = json.loads(gold)
    except ValueError:
        return [gold]
    return [str(one) for one in found] if isinstance(found, list) else [gold]
