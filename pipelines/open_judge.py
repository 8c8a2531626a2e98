"""The judge of a job, with all that it may ask and look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from router.job import OpenAIModel
from router.prices import hosted_price
from transforms.judge_agent import check_library
from transforms.judge_handler import JudgeHandler, JudgeJob
from transforms.judge_other import OtherModel
from transforms.llm_access import preflight

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apache_beam.ml.inference.base import ModelHandler

    from router.job import Job, Judge
    from router.records import Work
    from router.retrieval import Retrieval
    from transforms.ask_in_batches import Asked
    from transforms.journal import JournalPlace
    from transforms.llm_handler import BudgetShare


@dataclass(frozen=True)
class Known:
    """What of the job was opened before its judge."""

    handlers: Mapping[str, Asked]
    fingerprints: Mapping[str, Mapping[str, str]]
    """By model and task: what decides its answers."""
    retrievals: Mapping[str, Retrieval]
    """What the judge may search, by task."""
    shown: Mapping[str, Mapping[str, Retrieval]]
    """What models are shown with each record, by model and task."""


def asks_confidence(job: Job, name: str) -> bool:
    """Whether a hosted model is asked how sure it is: only the judge looks at that."""
    judge = job.routing.judge
    return judge is not None and judge.when.unsure_below is not None and name == job.routing.escalate_to


def judge_sharers(job: Job) -> int:
    """How many more spenders there are in a worker process because of a judge."""
    judge = job.routing.judge
    if judge is None:
        return 0
    other = job.models.get(judge.second_opinion or "")
    return 1 + isinstance(other, OpenAIModel)


def open_judge(job: Job, place: JournalPlace, known: Known, budget: BudgetShare | None) -> JudgeHandler:
    """The judge of the job.

    Raises `JudgeLibraryError` where the agent library is missing, `ValueError` where a tool is wanted that
    the job cannot serve, and `LlmStop` where its model's key or URL is wrong.
    """
    check_library()
    judge = job.routing.judge
    model = None if judge is None else job.models[judge.model]
    if judge is None or not isinstance(model, OpenAIModel):
        raise ValueError("routing.judge: there is no openai model to judge")
    preflight(model)
    _check_tools(judge, known.retrievals)
    tasks = {task.name: task for task in job.tasks}
    other = None if judge.second_opinion is None else _other(job, judge.second_opinion, known)
    price = hosted_price(model)
    return JudgeHandler(JudgeJob(judge, model, price, tasks, place, known.retrievals, budget, other))


def _check_tools(judge: Judge, retrievals: Mapping[str, Retrieval]) -> None:
    missing = {
        "nearest_examples": (any(one.examples for one in retrievals.values()), "examples: {from: URL}"),
        "guidelines": (any(one.passages for one in retrievals.values()), "context: {from: URL}"),
    }
    for tool in judge.tools or ():
        rows, key = missing.get(tool, (True, ""))
        if not rows:
            raise ValueError(
                f"routing.judge.tools: {tool} needs a task with `{key}`; add it, or leave {tool} out"
            )


def _other(job: Job, name: str, known: Known) -> OtherModel:
    model = job.models[name]
    hosted = (model, hosted_price(model)) if isinstance(model, OpenAIModel) else None
    handler: ModelHandler[Work, Work, object] = known.handlers[name]  # type: ignore[assignment]  # no batches
    tasks = {task.name: task for task in job.tasks}
    return OtherModel(name, handler, tasks, known.fingerprints[name], hosted, known.shown.get(name, {}))
