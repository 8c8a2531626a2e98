"""Whether what a model said of a text agrees with the oracle: equal labels, or an answer that passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.answer_checks import passes
from router.job_generation import GENERATE

if TYPE_CHECKING:
    from collections.abc import Collection

    from router.job import Task


def agree(task: Task, said: Collection[str], oracle: Collection[str], text: str) -> bool:
    """Whether labels are the same set, or a written answer passes the task's checker against the oracle's.

    Raises `CheckerError` where the task has no checker, or it fails.
    """
    if task.kind != GENERATE:
        return set(said) == set(oracle)
    [answer], [reference] = said, oracle
    return passes(task, answer, reference, text)
