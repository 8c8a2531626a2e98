"""Plans of jobs whose gate is certified: before the calibration, after it, and with an artefact."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.fake_llm_server import FakeLlmServer
from tests.pipelines.gate_rows import hosted, read, rows, steered_label, target_job
from tests.pipelines.test_commands import tekizai
from tests.pipelines.test_plan import holds, planned

if TYPE_CHECKING:
    from tests.pipelines.jobs import World


def test_a_plan_before_the_calibration_asks_a_first_part_of_its_pilot(world: World) -> None:
    """The gate is not certified yet: the plan says so, and calibration and run pay nothing twice."""
    world.write_lines(rows(1200))
    with FakeLlmServer(answer=steered_label) as server:
        job = world.job_file(models=hosted(world, server), **target_job())
        plan = planned(job)
        first = server.answered
        assert tekizai("run", job).exit_code == 0
        bill = server.answered

    summary, found = read(world)
    assert 0 < first < bill == summary["by_model"]["large"]["asked"]
    assert summary["gate"]["pilot"]["train"] >= first
    assert holds(plan["escalated"], summary["by_model"]["large"]["asked"] / len(found))
    assert 0.5 < plan["agreement"]["all_small"] <= 1.0


def test_a_plan_after_the_calibration_rests_on_what_certified_the_gate(world: World) -> None:
    """Nothing more is asked for it, and the cost comes true."""
    world.write_lines(rows(1200))
    with FakeLlmServer(answer=steered_label) as server:
        job = world.job_file(models=hosted(world, server), **target_job())
        assert tekizai("calibrate", job).exit_code == 0
        before = server.answered
        plan = planned(job)
        after = server.answered
        assert tekizai("run", job).exit_code == 0

    summary, found = read(world)
    cost = Decimal(summary["cost_usd"]["total"])
    assert before == after
    assert holds(plan["escalated"], summary["by_model"]["large"]["asked"] / len(found))
    assert float(plan["ways"]["this_job"]["usd"]["expected"]) == pytest.approx(float(cost), rel=0.15)
    assert plan["agreement"]["this_job"] >= 0.9
    assert summary["plan"]["made"] == plan["made"]


def test_a_plan_with_an_artefact_looks_at_this_input(world: World) -> None:
    """The gate is carried over: the pilot's records go through it."""
    world.write_lines(rows(1200))
    with FakeLlmServer(answer=steered_label) as server:
        models = hosted(world, server)
        assert tekizai("calibrate", world.job_file(models=models, **target_job())).exit_code == 0
        world.write_lines(rows(800, seed=4))
        settings = {"artefact": str(world.output / "state" / "calibration")}
        other = world.folder / "other"
        job = world.job_file(models=models, **target_job(calibration=settings))
        plan = planned(job, "--output", other, "--pilot", 200)

    assert plan["pilot"]["records"] == 200
    assert 0.3 < plan["escalated"]["expected"] < 0.7
