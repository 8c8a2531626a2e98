"""Runs that are killed while a batch is submitted or under way: the same command finds it and pays once."""

from __future__ import annotations

import json
import os
import signal
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.fake_batch_server import FakeBatchServer
from tests.pipelines.batch_jobs import HALF, PRICE, batch_sizes
from tests.pipelines.jobs import read_written
from tests.pipelines.test_stopping import begin, wait_until

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

    from tests.pipelines.jobs import Written

ROWS = 12
TWO_PROCESSES = ("--", "--direct_running_mode=multi_processing", "--direct_num_workers=2")


@pytest.fixture
def server() -> Iterator[FakeBatchServer]:
    """A server whose batches stay in progress until the test lets go of them."""
    with FakeBatchServer() as running:
        running.hold.clear()
        yield running


def write_job(folder: pathlib.Path, server: FakeBatchServer, **sections: Any) -> pathlib.Path:
    """A job whose records all go to the model behind the server."""
    rows = [{"id": f"r{n}", "text": f"text {n}"} for n in range(ROWS)]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    job = {
        "name": "batched",
        "input": {"path": str(folder / "in.jsonl"), "id": "id"},
        "output": {"path": str(folder / "out")},
        "tasks": [{"name": "t", "instruction": "Judge.", "labels": [{"name": "positive"}, {"name": "no"}]}],
        "models": {
            "big": {
                "engine": "openai",
                "model": "m",
                "base_url": server.base_url,
                "price": PRICE,
                "batch": {"poll_seconds": 0.05},
            }
        },
        "routing": {"default": "big"},
        **sections,
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job), encoding="utf-8")
    return path


def finish(job: pathlib.Path, server: FakeBatchServer, *options: str) -> tuple[Written, str]:
    """Give the same command again, undisturbed; what it wrote and said."""
    server.hold.set()
    running = begin(job, *options)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 0, said
    return read_written(job.parent / "out"), said


def check(written: Written, server: FakeBatchServer) -> None:
    """Every id once, each line paid once, and the records' costs are the bill."""
    assert sorted(written.by_id()) == sorted(f"r{number}" for number in range(ROWS))
    assert set(written.statuses().values()) == {"kept"}
    assert len(server.lines) == ROWS
    assert sum(Decimal(row["usage"]["usd"]) for row in written.annotations) == server.bill(*HALF)


def in_progress(server: FakeBatchServer) -> bool:
    """Whether a batch is half done."""
    return any(batch.status == "in_progress" and batch.completed for batch in server.batches.values())


@pytest.mark.parametrize("options", [(), TWO_PROCESSES], ids=["one process", "two processes"])
def test_killed_while_the_batch_is_in_progress(
    tmp_path: pathlib.Path, server: FakeBatchServer, options: tuple[str, ...]
) -> None:
    """`kill -9`, twice, then the same command: one batch in all, and its answers are used."""
    job = write_job(tmp_path, server)
    for _ in range(2):
        running = begin(job, *options)
        looks = len(server.requests)
        wait_until(lambda looks=looks: in_progress(server) and len(server.requests) > looks + 3)  # type: ignore[misc]
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate(timeout=20)

    written, said = finish(job, server, *options)

    assert batch_sizes(server) == [ROWS]
    assert f"batch {next(iter(server.batches))} of an earlier run is taken up: big, " in said
    check(written, server)


@pytest.mark.parametrize(
    "where",
    [
        ("before", "POST", "/v1/batches"),
        ("after", "POST", "/v1/batches"),
        ("after", "GET", "/v1/files/file-000015/content"),
    ],
    ids=" ".join,
)
def test_killed_at_a_step(
    tmp_path: pathlib.Path, server: FakeBatchServer, where: tuple[str, str, str]
) -> None:
    """Whatever the server had done by then: in the end there was one batch, and each line was paid once.

    tests/transforms/test_batch_session.py kills before and after each note.
    """
    server.hold.set()
    server.page = 1
    job = write_job(tmp_path, server, budget={"max_usd": "0.03"})
    running = begin(job)
    killed: list[str] = []

    def kill(method: str, path: str) -> None:
        if (method, path) == where[1:] and not killed:
            killed.append(path)
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            raise ConnectionError

    setattr(server, where[0], kill)
    running.communicate(timeout=120)
    assert killed, "the step was never reached"

    written, _ = finish(job, server)

    assert len(server.batches) == 1
    check(written, server)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_and_the_batch_goes_on(
    tmp_path: pathlib.Path, server: FakeBatchServer, number: int
) -> None:
    """Within five seconds; the line says that the batch goes on, and the next run picks it up."""
    job = write_job(tmp_path, server)
    running = begin(job)
    wait_until(lambda: in_progress(server))
    [name] = server.batches

    started = time.monotonic()
    os.kill(running.pid, number)
    _, said = running.communicate(timeout=20)

    assert time.monotonic() - started < 5
    assert running.returncode == 1
    assert said.endswith(
        f"tekizai: stopped by {signal.Signals(number).name}. What was answered is kept: the same command "
        f"continues; with --fresh it starts over; batch {name} goes on at the provider, and the same command "
        "picks up the answers\n"
    )
    written, _ = finish(job, server)
    assert batch_sizes(server) == [ROWS]
    check(written, server)


def test_a_batch_that_was_made_though_its_answer_was_lost(
    tmp_path: pathlib.Path, server: FakeBatchServer
) -> None:
    """The connection breaks after the batch was made: it is found by our key, and not made again."""
    server.hold.set()
    lost: list[str] = []

    def cut(method: str, path: str) -> None:
        if (method, path) == ("POST", "/v1/batches") and not lost:
            lost.append(path)
            raise ConnectionError

    server.after = cut
    written, _ = finish(write_job(tmp_path, server), server)

    assert (len(lost), batch_sizes(server)) == (1, [ROWS])
    check(written, server)


def test_an_account_with_many_batches(tmp_path: pathlib.Path, server: FakeBatchServer) -> None:
    """Another program's batches, over several pages and newer than ours, do not hide it."""
    job = write_job(tmp_path, server)
    running = begin(job)

    def kill(method: str, path: str) -> None:
        if (method, path) == ("POST", "/v1/batches") and running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            raise ConnectionError

    server.after = kill
    running.communicate(timeout=120)
    other = server._stored("other.jsonl", "batch", server.files[next(iter(server.files))][2])
    for _ in range(7):
        server._create(
            {"input_file_id": other["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        )
    server.page = 3

    written, _ = finish(job, server)

    assert len(server.batches) == 8
    check(written, server)
