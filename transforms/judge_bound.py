"""The least that must be allowed for a judge to ask anything at all, known before a record is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.job_generation import GENERATE
from router.judgement import Dispute
from router.records import Position, Record
from transforms.judge_agent import first_request
from transforms.judge_calls import worst_step
from transforms.judge_sources import Sources
from transforms.judge_tools import Bench

if TYPE_CHECKING:
    from decimal import Decimal

    from router.job import Task
    from transforms.judge_handler import JudgeJob


def least_steps(job: JudgeJob) -> dict[str, Decimal]:
    """By task that can be disputed: what is set aside for the first request about the shortest text.

    In US dollars. Every other request sets more aside, so with less than that nothing is ever judged.
    """
    return {name: _least(job, task) for name, task in job.tasks.items() if task.kind != GENERATE}


def _least(job: JudgeJob, task: Task) -> Decimal:
    record = Record(Position(0, 0), "", "", task.name, None, b"")
    other = None if job.other is None else _nobody
    request = first_request(Bench(task, record, Dispute("", ()), Sources(job.retrievals), other), job.judge)
    return worst_step(job.judge, job.price, request, request["tools"])


def _nobody() -> str:
    return "Nobody is asked."
