"""What a job says before it begins where its money does not let the judge judge."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.judge_money import told_of_judge_money
from pipelines.prepare import prepare
from tests.fake_llm_server import FakeLlmServer
from tests.pipelines.jobs import SENTIMENT, TOPICS
from tests.pipelines.judged_jobs import DISPUTED, judged_job, verdict
from tests.pipelines.test_commands import tekizai
from transforms.judge_bound import least_steps

if TYPE_CHECKING:
    from tests.pipelines.jobs import World

pytest.importorskip("pydantic_ai", reason="the agent library has no version for this Python")


def steps_of(world: World, **changes: Any) -> dict[str, Decimal]:
    """What is set aside for the shortest request about each task."""
    judge = prepare(world.job(**changes), workers=1).judge
    assert judge is not None
    return least_steps(judge.job)


def told(world: World, **changes: Any) -> list[str]:
    """What is told of the judge's money."""
    return told_of_judge_money(prepare(world.job(**changes), workers=1).judge)


@pytest.fixture
def dispute(world: World) -> World:
    """One disputed record."""
    world.write_lines([{"id": "r0", "text": DISPUTED}])
    return world


@pytest.mark.parametrize("command", ["check", "plan", "run"])
def test_too_little_for_any_request_is_refused(dispute: World, command: str) -> None:
    """In one line, before anything is asked; what the line says to give is enough."""
    with FakeLlmServer(behave=lambda _: verdict("positive")) as server:
        done = tekizai(command, dispute.job_file(**judged_job(dispute, server, max_usd="0.001")))

        [line] = [one for one in done.stderr.splitlines() if "routing.judge.max_usd" in one]
        assert done.exit_code == 2
        assert "and $0.001 for a record allows none, so that nothing would ever be judged" in line
        assert server.billed == 0
        [enough] = re.findall(r"Give \$([\d.]+) or more", line)
        assert tekizai("run", dispute.job_file(**judged_job(dispute, server, max_usd=enough))).exit_code == 0
        assert server.billed == 1


def test_what_is_set_aside_grows_with_the_longest_answer(dispute: World) -> None:
    """At two dollars for a million tokens: a thousand tokens more are 0.002 dollars more."""
    with FakeLlmServer() as server:
        [short] = steps_of(dispute, **judged_job(dispute, server, max_output_tokens=500)).values()
        [long] = steps_of(dispute, **judged_job(dispute, server, max_output_tokens=1500)).values()

    assert long - short == Decimal("0.002")


def test_room_for_short_texts_only_is_told(dispute: World) -> None:
    """A dollar for a million bytes: 0.0005 dollars more than the least pay for 500 of them."""
    with FakeLlmServer() as server:
        [least] = steps_of(dispute, **judged_job(dispute, server)).values()
        [line] = told(dispute, **judged_job(dispute, server, max_usd=f"{least + Decimal('0.0005'):f}"))
        assert told(dispute, **judged_job(dispute, server, max_usd=f"{least + Decimal('0.002'):f}")) == []

    assert "leaves room for 500 bytes of text and of what tools tell (task sentiment)" in line


def test_one_of_two_tasks_is_told(dispute: World) -> None:
    """The job goes on: disputes about the other task can be judged."""
    dispute.write_lines([{"id": "r0", "text": DISPUTED, "about": "sentiment"}])
    many = {**TOPICS, "labels": [{"name": f"topic {n}", "description": "d" * 50} for n in range(50)]}
    two = {
        "tasks": [SENTIMENT, many],
        "input": {**dispute.job().input.model_dump(), "task": "about"},
    }
    with FakeLlmServer() as server:
        steps = steps_of(dispute, **two, **judged_job(dispute, server))
        enough = steps["sentiment"] + Decimal("0.002")
        assert enough < steps["topics"]
        [line] = told(dispute, **two, **judged_job(dispute, server, max_usd=f"{enough:f}"))

    assert "so that no record of topics is judged" in line


def test_a_budget_that_allows_no_request_is_told(dispute: World) -> None:
    """All else of the job works, and a later run with more of it asks the judge."""
    with FakeLlmServer() as server:
        done = tekizai("check", dispute.job_file(budget={"max_usd": "0.001"}, **judged_job(dispute, server)))

    assert done.exit_code == 0, done.stderr
    assert "and $0.001 allows none, so that nothing is judged" in done.stderr


def test_free_models_judge_with_any_bound(dispute: World) -> None:
    """Nothing is set aside for what costs nothing."""
    free = {"input_usd_per_million_tokens": "0", "output_usd_per_million_tokens": "0"}
    with FakeLlmServer() as server:
        changes = judged_job(dispute, server, max_usd="0.000001", fields={"price": free})
        assert told(dispute, **changes) == []
