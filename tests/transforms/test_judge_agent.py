"""One record's judge against a scripted server: whatever it sends costs that record alone."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from router.job import Judge, OpenAIModel
from router.judgement import Dispute, Judgement, View
from router.prices import TokenPrice
from router.records import Failure
from router.spending import Spending
from tests.fake_llm_server import Behaviour, FakeLlmServer
from tests.pipelines.judged_jobs import calling
from tests.router.work_examples import SENTIMENT, TOPICS, record
from transforms.journal import Journal, JournalPlace
from transforms.judge_agent import judge_record
from transforms.judge_calls import Desk, JudgeCalls
from transforms.judge_handler import JudgeJob
from transforms.judge_sources import Sources
from transforms.judge_tools import Bench
from transforms.llm_client import LlmClient

if TYPE_CHECKING:
    import pathlib

    from router.job import Task

pytest.importorskip("pydantic_ai", reason="the agent library has no version for this Python")

PRICE = TokenPrice(Decimal("0.000001"), Decimal("0.000001"), Decimal("0.000002"), "test")
DISPUTE = Dispute("small said good, big bad", (View("small", ("good",), 0.8), View("big", ("bad",), None)))


def judged(server: FakeLlmServer, folder: pathlib.Path, task: Task = SENTIMENT, **settings: Any) -> Judgement:
    """What comes of one dispute."""
    model = OpenAIModel(engine="openai", model="m", base_url=server.base_url, max_retries=0)
    judge = Judge(model="big", **{"max_usd": Decimal(1), "max_steps": 2, **settings})
    job = JudgeJob(judge, model, PRICE, {task.name: task}, JournalPlace(str(folder)), {})
    client = LlmClient(model, PRICE)
    desk = Desk(judge, PRICE, client, Spending(None), Journal(job.steps), job.steps.fingerprints)
    calls = JudgeCalls(desk, task.name, bytes(16))
    bench = Bench(task, record("fine", task.name), DISPUTE, Sources({}))
    return judge_record(bench, judge, calls)


def test_a_verdict(tmp_path: pathlib.Path) -> None:
    """With its reason and its step."""
    with FakeLlmServer(behave=lambda _: calling("verdict", {"why": "so", "label": "good"})) as server:
        found = judged(server, tmp_path)

    assert (found.labels, found.reason, found.failure) == (("good",), "so", None)
    [step] = found.steps
    assert step.usage.usd == Decimal("0.00011")


def test_a_verdict_of_several_labels(tmp_path: pathlib.Path) -> None:
    """In the order of the task, each once; none is a verdict too."""
    answers = iter([["c", "a", "c"], []])

    def behave(_: object) -> Behaviour:
        return calling("verdict", {"why": "so", "labels": next(answers)})

    with FakeLlmServer(behave=behave) as server:
        assert judged(server, tmp_path / "one", TOPICS).labels == ("a", "c")
        assert judged(server, tmp_path / "two", TOPICS).labels == ()


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(body=b"nonsense"),
        Behaviour(body=b"{}"),
        Behaviour(body=b"[" * 100_000),
        Behaviour(choices=False),
        Behaviour(body=json.dumps({"choices": [{"message": {"content": None}}]}).encode()),
        Behaviour(body=json.dumps({"choices": [{"message": {"tool_calls": 3}}]}).encode()),
        Behaviour(message={"content": None, "tool_calls": [{"id": 3, "function": "x"}]}),
        Behaviour(message={"content": None, "refusal": "I will not"}),
        Behaviour(answer="", finish_reason="length"),
        Behaviour(answer="", finish_reason="content_filter"),
        calling("no_such_tool", {}),
        calling("verdict", "[]"),
        calling("verdict", '{"why": "cut off'),
    ],
    ids=lambda behaviour: repr(behaviour.body or behaviour.message or behaviour.finish_reason)[:40],
)
def test_whatever_is_sent_is_no_verdict(behaviour: Behaviour, tmp_path: pathlib.Path) -> None:
    """The record has none, what was billed is on its account, and nothing is raised."""
    with FakeLlmServer(behave=lambda _: behaviour) as server:
        found = judged(server, tmp_path)

    assert (found.labels, found.failure) == (None, Failure.UNUSABLE)
    assert found.reason
    assert 1 <= len(found.steps) == len(server.requests) <= 2


def test_several_calls_at_once_are_one_step(tmp_path: pathlib.Path) -> None:
    """Each is answered, and the verdict among them ends it."""
    calls = [
        {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for number, (name, arguments) in enumerate(
            [("calculator", '{"expression": "2+2"}'), ("opinions", "{}")]
        )
    ]
    both = Behaviour(message={"content": None, "tool_calls": calls}, finish_reason="tool_calls")
    with FakeLlmServer(behave=lambda _: calling("needs_human", {"why": "hm"})) as server:
        server.script.append(both)
        found = judged(server, tmp_path)

    assert found.needs_human
    assert [[one.tool for one in step.tools] for step in found.steps] == [
        ["calculator", "opinions"],
        ["needs_human"],
    ]
    assert found.steps[0].tools[0].result == "4"
    assert found.steps[0].tools[1].result == "small said good with confidence 0.80\nbig said bad"


def test_a_second_run_asks_nothing(tmp_path: pathlib.Path) -> None:
    """Not even where the endpoint gives calls no names."""
    body = {
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"type": "function", "function": {"name": "opinions", "arguments": "{}"}}],
                },
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 5},
    }
    with FakeLlmServer(behave=lambda _: calling("verdict", {"why": "so", "label": "bad"})) as server:
        server.script.append(Behaviour(body=json.dumps(body).encode()))
        first = judged(server, tmp_path)
        second = judged(server, tmp_path)
        assert len(server.requests) == 2

    assert first == second
    assert first.labels == ("bad",)
