"""What a plan says of a judge, and what the report shows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fake_llm_server import FakeLlmServer
from tests.pipelines.judged_jobs import AGREED, DISPUTED, judged_job, verdict
from tests.pipelines.test_commands import tekizai
from tests.pipelines.test_plan import holds, planned
from transforms import judge_agent

if TYPE_CHECKING:
    from tests.pipelines.jobs import World

pytest.importorskip("pydantic_ai", reason="the agent library has no version for this Python")


def test_a_plan_reckons_with_disputes_and_the_report_shows_them(world: World) -> None:
    """Half of 40 records is disputed: the pilot of all shows it, and no judge is asked for a plan."""
    rows = [{"id": f"r{n}", "text": f"text {n} {DISPUTED if n % 2 else AGREED}"} for n in range(40)]
    world.write_lines(rows)
    with FakeLlmServer(behave=lambda _: verdict("positive")) as server:
        job = world.job_file(**judged_job(world, server))
        plan = planned(job, "--pilot", 40)
        assert server.billed == 0
        assert tekizai("run", job).exit_code == 0
        assert server.billed == 20

    judge = plan["judge"]
    assert judge["seen"]["disputes"] <= judge["seen"]["records"]
    assert holds(judge["disputes"], 20)
    assert judge["usd"]["most_per_record"] == "0.1"
    # At least twenty disputes of a tenth of a dollar each.
    assert float(judge["usd"]["most"]) >= 2.0
    assert 0.0 < float(judge["usd"]["expected"]) < float(judge["usd"]["most"])
    page = (world.output / "report.html").read_text(encoding="utf-8")
    assert "<h2>The judge</h2>" in page
    assert "20 disputes: 20 settled, 20 of them with another label" in page


def test_without_the_library_a_job_says_what_to_install(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, before anything is read or asked."""
    world.write_lines([{"id": "r0", "text": DISPUTED}])
    monkeypatch.setattr(judge_agent, "_PACKAGE", "no_such_package")
    with FakeLlmServer() as server:
        result = tekizai("run", world.job_file(**judged_job(world, server)))

    assert result.exit_code != 0
    assert "pip install pydantic-ai-slim" in result.stderr
    assert "Traceback" not in result.stderr
