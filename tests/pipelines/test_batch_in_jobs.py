"""Batches beside the other parts of a job: pilots, rules, repeated bundles, changed jobs and fresh starts."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipelines.annotate import build_pipeline
from pipelines.prepare import prepare
from router import batch_notes
from tests.fake_batch_server import FakeBatchServer, Line
from tests.pipelines.batch_jobs import HALF, HARD, ROWS, batch_sizes, batched_models, paid, write_rows
from tests.pipelines.gate_rows import read, rows, steered_label, target_job
from tests.pipelines.jobs import read_written
from tests.pipelines.test_commands import lines, tekizai

if TYPE_CHECKING:
    from tests.pipelines.jobs import World


def test_a_bundle_that_runs_twice_submits_once(world: World) -> None:
    """A runner may repeat a bundle at any time; the second time the answers are in the journal."""
    write_rows(world)
    with FakeBatchServer() as server:
        plan = prepare(world.job(models=batched_models(world, server)), workers=1)
        pipeline = beam.Pipeline(runner=FnApiRunner(bundle_repeat=1))
        build_pipeline(pipeline, plan)
        pipeline.run().wait_until_finish()

    written = read_written(world.output)
    assert batch_sizes(server) == [HARD]
    assert len(written.by_id()) == ROWS
    assert paid(written) == server.bill(*HALF)


def test_several_processes_submit_the_same_file(world: World) -> None:
    """However records are spread over workers, one of them gathers them, in the records' order."""
    write_rows(world)
    contents = []
    options = ("--direct_running_mode=multi_threading", "--direct_num_workers=3")
    for workers, given in ((1, ()), (3, options)):
        with FakeBatchServer() as server:
            models = batched_models(world, server)
            output = {"path": str(world.folder / f"out{workers}"), "format": "parquet"}
            world.run_to(
                world.folder / f"out{workers}", models=models, workers=workers, options=given, output=output
            )
            [batch] = server.batches
            contents.append([line["body"]["messages"][-1] for line in server.requests_in(batch)])

    assert contents[0] == contents[1]


def test_a_pilot_is_asked_in_batches_too(world: World) -> None:
    """A target's records cost half as well; each is asked once, and the account is the bill."""
    world.write_lines(rows(400))

    def behave(request: Any, _asked: int) -> Line:
        return Line(answer=steered_label(request["messages"][-1]["content"]))

    with FakeBatchServer(behave) as server:
        world.run(models=batched_models(world, server), **target_job())

    summary, found = read(world)
    assert summary["gate"]["pilot"]["certify"] > 0
    assert len(server.lines) == summary["status"]["escalated"] == sum(batch_sizes(server))
    assert set(server.asked.values()) == {1}
    assert Decimal(summary["cost_usd"]["by_model"]["large"]) == server.bill(*HALF)
    assert len(found) == 400
    assert len(server.batches) < 6


def test_rules_and_the_gate_fill_the_same_batch(world: World) -> None:
    """What a rule sends to the model waits with what the gate sends on."""
    write_rows(world)
    with (world.folder / "in.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"id": "long", "text": "text 99 " + "x" * 200}) + "\n")
    routing = {
        "default": "small",
        "escalate_to": "large",
        "rules": [{"when": {"characters_above": 100}, "use": "large"}],
        "gate": {"min_confidence": 0.8},
    }
    with FakeBatchServer() as server:
        written = world.run(models=batched_models(world, server), routing=routing)

    assert batch_sizes(server) == [HARD + 1]
    assert written.statuses()["long"] == "routed"


def leave_open(world: World, server: FakeBatchServer) -> str:
    """A batch that an earlier run submitted and did not wait for; returns its id."""
    job = world.job(models=batched_models(world, server))
    large = job.models["large"]
    assert large.engine == "openai"
    name = batch_notes.endpoint_print(large.base_url, large.model)
    journal = world.output / "state" / "journal"
    journal.mkdir(parents=True)
    stored = server._stored("f", "batch", b"")
    batch = server._create({"input_file_id": stored["id"], "endpoint": "/v1/chat/completions", **_WINDOW})
    notes = batch_notes.planned("k", 1.0, []) + batch_notes.submitted("k", batch["id"])
    (journal / f"batch-{name}-x.jsonl").write_bytes(notes)
    return str(batch["id"])


_WINDOW = {"completion_window": "24h"}


def test_a_job_without_batch_does_not_ask_again_what_a_batch_is_answering(world: World) -> None:
    """It would pay twice; the line says what to do."""
    write_rows(world)
    with FakeBatchServer() as server:
        name = leave_open(world, server)
        models = batched_models(world, server)
        models["large"]["batch"] = False
        done = tekizai("run", world.job_file(models=models))

    assert done.exit_code == 2
    assert (
        f"models.large.batch: an earlier run submitted batches whose answers are not fetched yet ({name})"
        in (done.stderr)
    )
    assert ("POST", "/v1/chat/completions") not in server.requests


def test_a_fresh_start_says_what_goes_on(world: World) -> None:
    """The batch is forgotten here, and paid there."""
    write_rows(world)
    with FakeBatchServer() as server:
        name = leave_open(world, server)
        done = tekizai("run", world.job_file(models=batched_models(world, server)), "--fresh")

    assert done.exit_code == 0, done.stderr
    assert lines(done)[0] == (
        f"batch {name} of the earlier run goes on at the provider, and its answers are paid and not used: "
        "cancel it there"
    )
    assert len(server.batches) == 2


def test_check_needs_no_server(world: World) -> None:
    """The job file passes before anything is submitted."""
    write_rows(world)
    with FakeBatchServer() as server:
        models = batched_models(world, server)
        models["large"]["batch"] = True
        done = tekizai("check", world.job_file(models=models))

    assert (done.exit_code, server.requests) == (0, [])


def test_notes_hold_no_texts(world: World) -> None:
    """As the journal does: keys of texts, and what a model said that could not be used."""
    write_rows(world)
    with FakeBatchServer() as server:
        world.run(models=batched_models(world, server))

    [notes] = (world.output / "state" / "journal").glob("batch-*.jsonl")
    assert b"text 1" not in notes.read_bytes()
