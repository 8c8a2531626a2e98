"""Runs that go on where an earlier one ended: nothing is asked or paid twice, nothing is lost."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipelines.annotate import build_pipeline
from pipelines.errors import JobFailedError
from pipelines.prepare import prepare
from tests.fake_llm_server import Behaviour, FakeLlmServer, failing
from tests.pipelines.jobs import read_written
from tests.pipelines.test_commands import lines, tekizai

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping

    from tests.pipelines.jobs import World, Written

PRICE = {"input_usd_per_million_tokens": "1", "output_usd_per_million_tokens": "2"}
A_CALL = Decimal("0.00011")
"""100 prompt and 5 completion tokens at these prices."""
ROWS = 24


def hosted(world: World, server: FakeLlmServer, **fields: Any) -> dict[str, Any]:
    """Models: the small one local, the large one behind the server."""
    local = world.job().models["small"].model_dump(mode="json", exclude_none=True)
    large = {"engine": "openai", "model": "m", "base_url": server.base_url, "price": PRICE, **fields}
    return {"small": local, "large": large}


def write_rows(world: World) -> None:
    """Every third record is sure, the others are escalated."""
    world.write_lines(
        [{"id": f"r{n}", "text": f"text {n} =positive:{0.9 if n % 3 == 0 else 0.6}"} for n in range(ROWS)]
    )


def total(written: Written) -> Decimal:
    """What the job cost, as the summary says."""
    return Decimal(written.summary["cost_usd"]["by_model"]["large"])


def test_a_run_that_failed_goes_on_where_it_ended(world: World, asked: list[str]) -> None:
    """The key is refused after seven answers: the next run asks the other nine, and the bill is 16 calls."""
    write_rows(world)
    refused: list[str] = []

    def behave(request: Mapping[str, Any]) -> Behaviour:
        if server.billed >= 7 and not refused:
            refused.append("now")
            return failing(401, "expired")
        return Behaviour()

    with FakeLlmServer(behave=behave) as server:
        models = hosted(world, server, concurrency=1)
        with pytest.raises(JobFailedError, match="HTTP 401"):
            world.run(models=models)
        first = server.billed
        written = world.run(models=models)
        bill = server.billed

    assert first == 7
    assert (bill, len(asked)) == (16, ROWS)
    assert len(written.by_id()) == ROWS
    assert set(written.statuses().values()) == {"kept", "escalated"}
    assert total(written) == 16 * A_CALL


def test_a_bundle_that_runs_twice_asks_once(world: World, asked: list[str]) -> None:
    """A runner may repeat a bundle at any time; the second time the answers are in the journal."""
    write_rows(world)
    with FakeLlmServer(behave=lambda _: Behaviour()) as server:
        plan = prepare(world.job(models=hosted(world, server)), workers=1)
        pipeline = beam.Pipeline(runner=FnApiRunner(bundle_repeat=1))
        build_pipeline(pipeline, plan)
        pipeline.run().wait_until_finish()
        bill = server.billed

    written = read_written(world.output)
    assert (bill, len(asked), len(written.by_id())) == (16, ROWS, ROWS)
    assert total(written) == 16 * A_CALL


def test_a_dead_endpoint_is_asked_again_by_the_same_command(world: World, asked: list[str]) -> None:
    """The small model's answers stand for now; the second run asks the large one about those records only."""
    write_rows(world)
    dead = True

    def behave(_: Mapping[str, Any]) -> Behaviour:
        return failing(503) if dead and server.billed >= 4 else Behaviour()

    with FakeLlmServer(behave=behave) as server:
        job = world.job_file(models=hosted(world, server, concurrency=1, max_retries=0, max_failures=2))
        first = tekizai("run", job)
        waiting = read_written(world.output)
        requests = len(server.requests)
        dead = False
        second = tekizai("run", job)
        bill = server.billed

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert waiting.summary["status"]["llm_unavailable"] == 12
    assert "12 records wait for a model that was not available: the same command asks again" in lines(first)
    assert requests == 6
    assert lines(second)[0].startswith("12 records had no answer from a model that was not available")
    written = read_written(world.output)
    assert (written.summary["status"]["llm_unavailable"], bill, len(asked)) == (0, 16, ROWS)
    assert total(written) == 16 * A_CALL
    assert tekizai("run", job).stderr.count("\n") == 1


def test_the_spent_budget_is_restored(world: World) -> None:
    """A budget for about six calls is one for both runs together; raised, it is gone on with."""
    write_rows(world)
    with FakeLlmServer(behave=lambda _: Behaviour()) as server:
        models = hosted(world, server, concurrency=1)
        # A call reserves about thirty times what it costs, because its tokens are bounded by its bytes.
        world.run(models=models, budget={"max_usd": "0.004"})
        first = server.billed
        again = world.run(models=models, budget={"max_usd": "0.004"})
        second = server.billed
        more = world.run(models=models, budget={"max_usd": "1"})
        bill = server.billed

    assert 0 < first == second < 16
    assert again.summary["status"]["over_budget"] == 16 - first
    assert bill == 16
    assert more.summary["status"]["over_budget"] == 0
    assert total(more) == 16 * A_CALL


def test_a_changed_job_keeps_what_is_still_valid(world: World, asked: list[str]) -> None:
    """A new format asks nobody; a new description of a label asks all again; both are said."""
    write_rows(world)
    routing = {"default": "small"}
    tekizai("run", world.job_file(routing=routing))
    assert len(asked) == ROWS

    other = {"path": str(world.output), "format": "jsonl"}
    told = lines(tekizai("run", world.job_file(routing=routing, output=other)))
    assert told[:2] == [
        "the job changed since its last run: output.format",
        "continuing: 24 answers are in the journal and are not asked for again",
    ]
    assert len(asked) == ROWS
    assert len(list(world.output.glob("annotations-*.parquet"))) == 0
    assert len(read_written(world.output).by_id()) == ROWS

    task = {
        "name": "sentiment",
        "instruction": "Classify the sentiment.",
        "labels": [{"name": "negative", "description": "angry"}, {"name": "positive"}],
    }
    told = lines(tekizai("run", world.job_file(routing=routing, output=other, tasks=[task])))
    assert told[:3] == [
        "the job changed since its last run: tasks.sentiment.labels.negative.description",
        "24 answers of small to task sentiment are asked again, its question changed",
        "continuing: 0 answers are in the journal and are not asked for again",
    ]
    assert len(asked) == 2 * ROWS


def test_fresh_starts_over(world: World, asked: list[str]) -> None:
    """The journal is removed too."""
    write_rows(world)
    job = world.job_file(routing={"default": "small"})
    tekizai("run", job)

    assert tekizai("run", job, "--fresh").exit_code == 0
    assert len(asked) == 2 * ROWS


def test_new_rows_are_asked_about_and_old_ones_are_not(world: World, asked: list[str]) -> None:
    """Tomorrow's input holds today's: only what is new costs anything."""
    write_rows(world)
    job = world.job_file(routing={"default": "small"})
    tekizai("run", job)
    with (world.folder / "in.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"id": "new", "text": "new =positive:0.9"}) + "\n")

    assert tekizai("run", job).exit_code == 0

    assert asked[ROWS:] == ["new =positive:0.9"]
    assert len(read_written(world.output).by_id()) == ROWS + 1


def test_a_run_that_fails_leaves_the_finished_output_in_place(
    world: World, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is replaced when the new one is whole, and not before."""
    write_rows(world)
    job = world.job_file(routing={"default": "small"})
    tekizai("run", job)
    before = _contents(world.output)
    with (world.folder / "in.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"id": "new", "text": "new"}\n')

    def broken(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("transforms.write_output.output_table", broken)
    done = tekizai("run", job)

    assert done.exit_code == 1
    assert "the disk is full" in lines(done)[-1]
    after = _contents(world.output)
    assert {name: after[name] for name in before if "journal" not in name} == {
        name: data for name, data in before.items() if "journal" not in name
    }


def _contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
