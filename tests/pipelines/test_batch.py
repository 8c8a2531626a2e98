"""Whole jobs whose large model is asked by the provider's batches, against a server that keeps a bill."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.errors import JobFailedError
from tests.fake_batch_server import FakeBatchServer, Line
from tests.pipelines.batch_jobs import (
    HALF,
    HARD,
    ROWS,
    batch_sizes,
    batched_models,
    number_of,
    paid,
    write_rows,
)
from tests.pipelines.jobs import read_written
from tests.pipelines.test_commands import lines, tekizai

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.pipelines.jobs import World


def test_escalated_records_go_into_one_batch_at_half_price(world: World) -> None:
    """One file, one batch; the records' costs add up to the server's own bill; later runs ask nobody."""
    write_rows(world)
    with FakeBatchServer() as server:
        written = world.run(models=batched_models(world, server))
        again = world.run(models=batched_models(world, server))

    assert batch_sizes(server) == [HARD]
    assert Counter(written.statuses().values()) == {"escalated": HARD, "kept": ROWS - HARD}
    assert paid(written) == server.bill(*HALF) > 0
    assert Decimal(written.summary["cost_usd"]["by_model"]["large"]) == server.bill(*HALF)
    assert written.summary["tokens"]["cached"] >= 40 * HARD
    assert paid(again) == paid(written)


def test_files_keep_to_their_limits_and_are_in_flight_together(world: World) -> None:
    """Sixteen requests in files of at most six: three batches, all submitted before any is looked at."""
    write_rows(world)
    with FakeBatchServer() as server:
        written = world.run(models=batched_models(world, server, batch={"max_requests": 6}))

    assert batch_sizes(server) == [6, 6, 4]
    calls = [call for call in server.requests if call[1].startswith("/v1/batches")]
    assert calls[:3] == [("POST", "/v1/batches")] * 3
    assert paid(written) == server.bill(*HALF)


def test_what_the_user_hears(world: World) -> None:
    """That the batch was submitted, with its id, and how it ended; nothing is left of that in the output."""
    write_rows(world)
    with FakeBatchServer() as server:
        done = tekizai("run", world.job_file(models=batched_models(world, server, batch={"poll_seconds": 1})))
        [name] = server.batches

    assert done.exit_code == 0, done.stderr
    said = [line for line in lines(done) if line.startswith("batch ")]
    assert said[0].startswith(f"batch {name} submitted: 16 requests to large; ")
    assert said[-1] == f"batch {name}: completed, 16 of 16 answered"
    assert not (world.output / "state" / "batches").exists()


def test_what_failed_is_asked_again_alone(world: World) -> None:
    """A busy line, one that is lost, one without a response: each in a following batch, and paid once."""

    def behave(request: Mapping[str, Any], asked: int) -> Line:
        number = number_of(request)
        if asked == 0 and number in (1, 2):
            return Line(status=429 if number == 1 else 500)
        if asked == 0 and number == 4:
            return Line(missing=True)
        if number == 5:
            return Line(status=503, message="never")
        if number == 7:
            return Line(status=400, message="this text is not for me")
        return Line()

    write_rows(world)
    with FakeBatchServer(behave) as server:
        written = world.run(models=batched_models(world, server, max_retries=2))

    assert batch_sizes(server) == [16, 4, 1]
    assert Counter(written.statuses().values()) == {
        "escalated": 14,
        "kept": 8,
        "llm_unavailable": 1,
        "llm_unusable": 1,
    }
    rows = written.by_id()
    assert "never (batches: 3)" in rows["r5"]["annotation"]["reason"]
    assert "this text is not for me" in rows["r7"]["annotation"]["reason"]
    assert paid(written) == server.bill(*HALF)


def test_an_unusable_answer_is_asked_once_more_with_the_reminder(world: World) -> None:
    """Both answers are paid; twice unusable, the small model's label stands."""

    def behave(request: Mapping[str, Any], asked: int) -> Line:
        number = number_of(request)
        if number == 1 and asked == 0:
            return Line(answer="I would say positive.")
        return Line(answer="No idea.") if number == 2 else Line()

    write_rows(world)
    with FakeBatchServer(behave) as server:
        written = world.run(models=batched_models(world, server))
        [_, second] = server.batches
        reminded = server.requests_in(second)

    assert [len(line["body"]["messages"]) for line in reminded] == [4, 4]
    assert reminded[0]["body"]["messages"][2] == {"role": "assistant", "content": "I would say positive."}
    rows = written.by_id()
    assert rows["r1"]["annotation"]["status"] == "escalated"
    assert rows["r2"]["annotation"]["status"] == "llm_unusable"
    assert rows["r2"]["annotation"]["raw_answer"] == "No idea."
    assert len(server.lines) == HARD + 2
    assert paid(written) == server.bill(*HALF)


def test_an_expired_batch_keeps_what_was_finished(world: World) -> None:
    """The lines that were done are paid and kept, the others are submitted again."""
    write_rows(world)
    with FakeBatchServer(
        lambda request, asked: Line(expires=asked == 0 and number_of(request) > 9)
    ) as server:
        written = world.run(models=batched_models(world, server))

    assert batch_sizes(server) == [16, 10]
    assert [batch.status for batch in server.batches.values()] == ["expired", "completed"]
    assert len(server.lines) == HARD
    assert paid(written) == server.bill(*HALF)


def test_a_batch_that_always_expires_is_given_up(world: World) -> None:
    """After max_retries further batches the records keep the small model's answer, for a later run."""
    write_rows(world)
    with FakeBatchServer(lambda _request, _asked: Line(expires=True)) as server:
        written = world.run(models=batched_models(world, server, max_retries=1))
        waiting = batch_sizes(server)
        server.behave = lambda _request, _asked: Line()
        again = world.run(models=batched_models(world, server, max_retries=1))

    assert waiting == [16, 16]
    assert written.summary["status"]["llm_unavailable"] == HARD
    assert paid(written) == 0
    assert again.summary["status"]["escalated"] == HARD
    assert paid(again) == server.bill(*HALF)


def test_a_file_that_is_refused_says_which_line_and_record(world: World) -> None:
    """The job fails with the provider's own words; nothing was billed."""
    write_rows(world)
    with FakeBatchServer() as server:
        server.max_requests = 10
        with pytest.raises(JobFailedError) as caught:
            world.run(models=batched_models(world, server))
        [name] = server.batches

    assert f"batch {name} of 16 requests to large was refused by {server.base_url}" in str(caught.value)
    assert "more than 10 requests" in str(caught.value)
    assert server.lines == []


def test_a_cancelled_batch_is_not_submitted_again(world: World) -> None:
    """Somebody wanted it to end: what was done counts, the rest waits for the next run."""
    write_rows(world)
    with FakeBatchServer() as server:

        def cancel(method: str, path: str) -> None:
            if method == "GET" and path.startswith("/v1/batches/") and len(server.requests) == 4:
                next(iter(server.batches.values())).status = "cancelling"

        server.before = cancel
        written = world.run(models=batched_models(world, server))
        first = batch_sizes(server)
        again = world.run(models=batched_models(world, server))

    assert first == [16]
    assert written.summary["status"]["llm_unavailable"] == 8
    assert batch_sizes(server) == [16, 8]
    assert again.summary["status"]["escalated"] == HARD
    assert paid(again) == server.bill(*HALF)


def test_a_budget_is_spent_on_the_first_records_that_fit(world: World) -> None:
    """The worst case of each is set aside before the file is sent; those that do not fit are over budget."""
    write_rows(world)
    with FakeBatchServer() as server:
        models = batched_models(world, server)
        budget = {"max_usd": "0.005"}
        written = world.run(models=models, budget=budget)
        first = batch_sizes(server)
        again = world.run(models=models, budget=budget)
        second = batch_sizes(server)
        more = world.run(models=models, budget={"max_usd": "1"})

    [size] = first
    assert 0 < size < HARD
    hard = [f"r{n}" for n in range(ROWS) if n % 3]
    statuses = written.statuses()
    assert [name for name in hard if statuses[name] == "escalated"] == hard[:size]
    assert written.summary["status"]["over_budget"] == HARD - size
    assert sum(second) > sum(first), "what was set aside and not spent is there for the next run"
    assert again.summary["status"]["escalated"] == sum(second)
    assert sum(batch_sizes(server)) == HARD
    assert paid(more) == server.bill(*HALF)


def test_a_model_that_refuses_a_parameter_is_asked_without_it(world: World) -> None:
    """Refused lines cost nothing; the next batch leaves the parameter out, and so does the next run."""

    def behave(request: Mapping[str, Any], _asked: int) -> Line:
        if "temperature" in request:
            return Line(status=400, message="Unsupported parameter: 'temperature'", param="temperature")
        return Line()

    write_rows(world)
    with FakeBatchServer(behave) as server:
        written = world.run(models=batched_models(world, server))
        first = batch_sizes(server)
        with (world.folder / "in.jsonl").open("a", encoding="utf-8") as stream:
            stream.write('{"id": "new", "text": "text 99 =positive:0.6"}\n')
        world.run(models=batched_models(world, server))

    assert first == [16, 16]
    assert written.summary["status"]["escalated"] == HARD
    assert batch_sizes(server) == [16, 16, 1]
    assert len(server.lines) == HARD + 1


def test_a_full_queue_takes_one_smaller_file_after_the_other(world: World) -> None:
    """The provider bounds the tokens in its queue; a file that never fits is cut until it does."""
    write_rows(world)
    with FakeBatchServer() as server:
        server.queue_tokens = 2000
        written = world.run(models=batched_models(world, server, batch={"max_requests": 8}))

    assert written.summary["status"]["escalated"] == HARD
    assert len(server.lines) == HARD
    assert paid(written) == server.bill(*HALF)
    assert max(len(server.requests_in(b.id)) for b in server.batches.values() if b.status == "completed") < 8


def test_a_batch_that_takes_too_long_is_cancelled(world: World) -> None:
    """What was done by then is kept and paid; the job ends, and a later run asks about the rest."""
    write_rows(world)
    with FakeBatchServer() as server:
        server.hold.clear()
        written = world.run(models=batched_models(world, server, batch={"max_wait_hours": 0.0002}))

    [batch] = server.batches.values()
    assert batch.status == "cancelled"
    assert written.summary["status"]["escalated"] == len(server.lines) == 8
    assert written.summary["status"]["llm_unavailable"] == 8
    assert paid(written) == server.bill(*HALF)


def test_a_server_without_batches_says_so(world: World) -> None:
    """A clear line in place of a bare 404."""
    write_rows(world)
    with FakeBatchServer(endpoints=False) as server:
        done = tekizai("run", world.job_file(models=batched_models(world, server)))

    assert done.exit_code == 1
    assert f"HTTP 404 from POST {server.base_url}/files" in done.stderr
    assert "This server has no batch endpoint. Remove `batch` from the model" in done.stderr
    assert "goes on at the provider" not in done.stderr


def test_a_wrong_key_stops_the_job(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does for single calls; the key is in no message and no file."""
    monkeypatch.setenv("MY_KEY", "sk-wrong-1234567")
    write_rows(world)
    with FakeBatchServer(key="sk-right") as server:
        done = tekizai("run", world.job_file(models=batched_models(world, server, api_key_env="MY_KEY")))

    assert done.exit_code == 1
    assert "Set the environment variable MY_KEY" in done.stderr
    assert "sk-wrong" not in done.stderr
    assert not any(b"sk-wrong" in path.read_bytes() for path in world.output.rglob("*") if path.is_file())


def test_results_are_those_of_single_calls(world: World) -> None:
    """`batch` changes price and time only: an answer given singly is not asked for again in a batch."""
    write_rows(world)
    with FakeBatchServer() as server:
        models = batched_models(world, server)
        world.run(models=models)
        single = {**models, "large": {**models["large"], "batch": False}}
        written = read_written(world.output)
        again = world.run(models=single)

    assert again.labels() == written.labels()
    assert batch_sizes(server) == [HARD]
