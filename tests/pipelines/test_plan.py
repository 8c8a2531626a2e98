"""`tekizai plan`: what it tells before a run comes true in the run, and nothing is asked or paid twice."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.fake_batch_server import FakeBatchServer
from tests.fake_llm_server import FakeLlmServer
from tests.pipelines.batch_jobs import batched_models
from tests.pipelines.gate_rows import target_job
from tests.pipelines.jobs import read_written
from tests.pipelines.test_commands import lines, tekizai
from tests.pipelines.test_resume import A_CALL, hosted

if TYPE_CHECKING:
    from tests.pipelines.jobs import World

ROWS = 120
SMALL = Decimal("0.0005")
"""What the fake small model costs: half a second at 3.6 dollars an hour."""


def write_rows(world: World, count: int = ROWS) -> None:
    """Every third record is sure, the others are escalated."""
    world.write_lines(
        [{"id": f"r{n}", "text": f"text {n} =positive:{0.9 if n % 3 == 0 else 0.6}"} for n in range(count)]
    )


def planned(*arguments: Any) -> dict[str, Any]:
    """What `plan --json` prints."""
    result = tekizai("plan", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def holds(interval: dict[str, Any], value: float) -> bool:
    """Whether a value lies in an interval."""
    return float(interval["low"]) <= value <= float(interval["high"])


def test_a_plan_comes_true_and_its_pilot_is_not_asked_again(world: World, asked: list[str]) -> None:
    """120 records, 80 of them hard; a pilot of 40 tells the cost, and the run asks the other 80 only."""
    write_rows(world)
    with FakeLlmServer() as server:
        job = world.job_file(models=hosted(world, server))
        plan = planned(job, "--pilot", 40)
        in_pilot = server.billed
        assert len(asked) == 40
        assert tekizai("run", job).exit_code == 0
        bill = server.billed

    cost = ROWS * SMALL + 80 * A_CALL
    written = read_written(world.output)
    assert (bill, len(asked)) == (80, ROWS)
    assert plan["pilot"] == {"records": 40, "answered": {"large": in_pilot, "small": 40}}
    assert holds(plan["ways"]["this_job"]["usd"], float(cost))
    assert holds(plan["escalated"], 80 / 120)
    assert Decimal(written.summary["cost_usd"]["total"]) == cost
    assert written.summary["plan"]["usd"] == plan["ways"]["this_job"]["usd"]
    assert written.summary["plan"]["actual"] == {
        "usd": written.summary["cost_usd"]["total"],
        "seconds": written.summary["seconds"],
        "escalated": pytest.approx(80 / 120),
    }


def test_the_other_ways_are_those_of_all_records(world: World) -> None:
    """All small: 120 answers; all large: 120 calls; at random, as many calls as the job's money pays."""
    write_rows(world)
    with FakeLlmServer() as server:
        ways = planned(world.job_file(models=hosted(world, server)), "--pilot", 60)["ways"]

    assert Decimal(ways["all_small"]["usd"]["expected"]) == ROWS * SMALL
    assert Decimal(ways["all_large"]["usd"]["expected"]) == ROWS * A_CALL
    assert ways["all_small"]["large_records"]["expected"] == 0
    assert ways["all_large"]["large_records"]["expected"] == ROWS
    assert ways["random_split"]["usd"] == ways["this_job"]["usd"]


def test_copies_dead_letters_and_rules_are_told(world: World) -> None:
    """Of eight rows two are refused and one is a copy; a rule takes the long one."""
    rows: list[Any] = [{"id": f"r{n}", "text": f"text {n} =positive:0.9"} for n in range(4)]
    rows += [{"id": "r0", "text": "an id that was there"}, {"id": "r5", "text": ""}]
    rows += [{"id": "r6", "text": "text 1 =positive:0.9"}, {"id": "r7", "text": "long " * 30}]
    world.write_lines(rows)
    with FakeLlmServer() as server:
        rules = [{"when": {"characters_above": 100}, "use": "large"}]
        routing = {**world.job().routing.model_dump(mode="json"), "rules": rules}
        plan = planned(world.job_file(models=hosted(world, server), routing=routing))
        bill = server.billed

    assert plan["records"] == {"read": 8, "annotated": 6, "duplicates": 1, "dead_lettered": 2}
    assert plan["dead_letters"] == {"duplicate_id": 1, "empty_text": 1}
    assert [(row["rule"], row["when"], row["model"]) for row in plan["routes"]] == [
        (0, "more than 100 characters", "large"),
        (None, "every other record", "small"),
    ]
    assert bill == 1
    assert plan["ways"]["this_job"]["large_records"]["expected"] == 1


def test_a_budget_that_does_not_suffice_is_told(world: World) -> None:
    """80 calls at .00011 dollars, of which a budget of .0055 pays about 50."""
    write_rows(world)
    with FakeLlmServer() as server:
        job = world.job_file(models=hosted(world, server), budget={"max_usd": "0.0055"})
        plan = planned(job)
        result = tekizai("plan", job)

    assert plan["over_budget"]["expected"] == pytest.approx(80 - 50, abs=3)
    assert "Over budget.max_usd: " in result.stdout


def test_it_fits_80_columns_and_pipes_cleanly(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No colour, no control codes, no line too long, whatever the models are called."""
    write_rows(world)
    monkeypatch.setenv("COLUMNS", "200")
    name = "a-model-with-a-very-long-name-that-somebody-gave-it-for-a-reason-of-their-own"
    models = {name: world.job().models["small"].model_dump(mode="json", exclude_none=True)}
    job = world.job_file(models=models, routing={"default": name, "gate": {"min_confidence": 0.8}})

    result = tekizai("plan", job)

    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()) <= 80
    assert "small models only" in result.stdout


def test_a_finished_output_needs_no_plan(world: World) -> None:
    """The run would do nothing, and neither does the plan."""
    write_rows(world, 6)
    job = world.job_file()
    assert tekizai("run", job).exit_code == 0

    result = tekizai("plan", job)

    assert result.exit_code == 0
    assert lines(result)[-1] == "the output is finished already: a run would do nothing (--fresh starts over)"


def test_an_empty_input_costs_nothing(world: World) -> None:
    """There is nothing to forecast, which is said."""
    world.write_lines([])

    plan = planned(world.job_file())

    assert (plan["ways"], plan["notes"]) == ({}, ["there is no record to ask a model about"])


def test_an_unknown_price_stops_the_plan_with_the_line_to_add(world: World) -> None:
    """Before anything is asked."""
    write_rows(world, 3)
    with FakeLlmServer() as server:
        models = hosted(world, server)
        del models["large"]["price"]
        result = tekizai("plan", world.job_file(models=models))
        requests = len(server.requests)

    assert (result.exit_code, requests) == (2, 0)
    assert "price: {input_usd_per_million_tokens:" in result.stderr


def test_offline_asks_nothing_and_takes_the_rates_of_an_earlier_run(
    world: World, monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    """Another input of the same kind, twice as large: twice the cost of the run before."""
    monkeypatch.setattr("pipelines.plan_offline.count_tokens", lambda _, __, records: [4] * len(records))
    write_rows(world)
    with FakeLlmServer() as server:
        job = world.job_file(models=hosted(world, server))
        assert tekizai("run", job).exit_code == 0
        before, requests = len(asked), len(server.requests)
        write_rows(world, 2 * ROWS)
        plan = planned(world.job_file(models=hosted(world, server)), "--offline")
        later = len(server.requests)

    assert (len(asked), later) == (before, requests)
    assert plan["offline"] is True
    assert Decimal(plan["ways"]["this_job"]["usd"]["expected"]) == pytest.approx(
        Decimal(2) * (ROWS * SMALL + 80 * A_CALL), rel=Decimal("0.001")
    )
    assert plan["escalated"]["expected"] == pytest.approx(80 / 120, abs=0.01)


def test_offline_without_an_earlier_run_says_what_is_not_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No rate, no share of large calls: the notes say so, and no folder is left behind."""
    monkeypatch.setattr("pipelines.plan_offline.count_tokens", lambda _, __, records: [4] * len(records))
    write_rows(world)
    with FakeLlmServer() as server:
        plan = planned(world.job_file(models=hosted(world, server)), "--offline")
        assert not server.requests

    assert any("no earlier run tells how often large is asked" in note for note in plan["notes"])
    assert not world.output.exists()


def test_rates_of_something_else_are_refused(world: World) -> None:
    """A folder without a summary, and rates for a plan that measures."""
    write_rows(world, 3)
    job = world.job_file()

    missing = tekizai("plan", job, "--offline", "--rates", world.folder / "nothing")
    needless = tekizai("plan", job, "--rates", world.folder / "nothing")

    assert (missing.exit_code, needless.exit_code) == (2, 2)
    assert "there is no summary.json" in missing.stderr
    assert "--rates belongs to --offline" in needless.stderr


def test_a_model_asked_in_batches_is_estimated_and_not_waited_for(world: World) -> None:
    """The plan submits nothing: a batch may take a day."""
    write_rows(world)
    with FakeBatchServer() as server:
        plan = planned(world.job_file(models=batched_models(world, server)))
        submitted = len(server.batches)

    assert submitted == 0
    assert float(plan["ways"]["all_large"]["usd"]["expected"]) > 0
    assert any("large was not asked in the pilot" in note for note in plan["notes"])
    assert "large answers in batches, for which its provider has a day" in plan["notes"]


@pytest.mark.parametrize("command", ["plan", "calibrate"])
def test_a_changed_job_runs_after_it_was_looked_at(world: World, command: str) -> None:
    """The finished output is that of the job before it changed, whoever has looked at it since."""
    write_rows(world, 30)
    with FakeLlmServer() as server:
        changes: dict[str, Any] = {"models": hosted(world, server)}
        if command == "calibrate":
            changes |= target_job()
        job = world.job_file(**changes)
        assert tekizai("run", job).exit_code == 0
        write_rows(world, 36)
        assert tekizai(command, job).exit_code == 0
        assert tekizai("run", job).exit_code == 0

    assert len(read_written(world.output).annotations) == 36
