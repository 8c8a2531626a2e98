"""Ending a run in the middle, as people, schedulers and the system's memory killer do, in real processes."""

from __future__ import annotations

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.fake_llm_server import Behaviour, FakeLlmServer
from tests.pipelines.jobs import read_written
from tools.kill_campaign import children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.pipelines.jobs import Written

ROWS = 60
CONCURRENCY = 2
TWO_PROCESSES = ("--", "--direct_num_workers=2", "--direct_running_mode=multi_processing")


def slowly(_: Mapping[str, Any]) -> Behaviour:
    """Answer after a tenth of a second."""
    return Behaviour(delay_seconds=0.1)


@pytest.fixture
def server() -> Iterator[FakeLlmServer]:
    """The model that answers everything."""
    with FakeLlmServer(behave=slowly) as running:
        yield running


@pytest.fixture
def job(tmp_path: pathlib.Path, server: FakeLlmServer) -> pathlib.Path:
    """A job of hosted calls only, in two files, so that two processes have work."""
    for part in range(2):
        rows = [{"id": f"r{n}", "text": f"text {n}"} for n in range(part, ROWS, 2)]
        path = tmp_path / f"in-{part}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    job = {
        "name": "stopping",
        "input": {"path": str(tmp_path / "in-*.jsonl"), "id": "id"},
        "output": {"path": str(tmp_path / "out")},
        "tasks": [{"name": "t", "instruction": "Judge.", "labels": [{"name": "positive"}, {"name": "no"}]}],
        "models": {
            "big": {
                "engine": "openai",
                "model": "m",
                "base_url": server.base_url,
                "concurrency": CONCURRENCY,
                "price": {"input_usd_per_million_tokens": "1", "output_usd_per_million_tokens": "1"},
            }
        },
        "routing": {"default": "big"},
    }
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job), encoding="utf-8")
    return path


def begin(job: pathlib.Path, *options: str) -> subprocess.Popen[str]:
    """Start the command in a process group of its own, as a terminal does."""
    command = [sys.executable, "-m", "pipelines.cli", "run", str(job), *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_until(happened: Callable[[], bool], seconds: float = 60) -> None:
    """Look until it happened."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def finish(job: pathlib.Path, *options: str) -> Written:
    """Give the same command again, undisturbed."""
    running = begin(job, *options)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 0, said
    return read_written(job.parent / "out")


def check(written: Written, server: FakeLlmServer, in_flight: int) -> None:
    """Every id once, and no call paid twice but those in flight."""
    assert sorted(written.by_id()) == sorted(f"r{number}" for number in range(ROWS))
    assert ROWS <= server.billed <= ROWS + in_flight


@pytest.mark.parametrize(("number", "to_all"), [(signal.SIGTERM, False), (signal.SIGINT, True)])
@pytest.mark.parametrize("options", [(), TWO_PROCESSES], ids=["one process", "two processes"])
def test_a_signal_stops_the_run_and_says_how_to_go_on(
    job: pathlib.Path, server: FakeLlmServer, number: int, to_all: bool, options: tuple[str, ...]
) -> None:
    """Within five seconds, with exit code 1; Ctrl-C reaches every process of the terminal."""
    running = begin(job, *options)
    wait_until(lambda: server.billed >= 5)
    workers = children(running.pid)

    started = time.monotonic()
    in_flight = server.at_once
    (os.killpg if to_all else os.kill)(running.pid, number)
    _, said = running.communicate(timeout=20)

    assert time.monotonic() - started < 5
    assert (running.returncode, said.count("\n")) == (1, 1), said
    assert said == (
        f"tekizai: stopped by {signal.Signals(number).name}. What was answered is kept: the same command "
        "continues; with --fresh it starts over\n"
    )
    wait_until(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in workers), 5)
    check(finish(job, *options), server, in_flight + CONCURRENCY)


def test_killed_again_and_again(job: pathlib.Path, server: FakeLlmServer) -> None:
    """Driver and workers by turns, at random moments; tools/kill_campaign.py does the same at length."""
    rng = random.Random(3)
    in_flight = 0
    for whom in ("driver", "worker", "driver", "worker"):
        before = server.billed
        running = begin(job, *TWO_PROCESSES)
        wait_until(lambda before=before: server.billed >= before + 2)  # type: ignore[misc]
        time.sleep(rng.uniform(0, 0.5))
        workers = children(running.pid)
        in_flight += server.at_once + CONCURRENCY
        os.kill(running.pid if whom == "driver" else workers[0], signal.SIGKILL)
        _, said = running.communicate(timeout=30)
        if whom == "worker":
            assert running.returncode == 1
            assert "a worker process died" in said
            assert "Traceback" not in said
            assert said.endswith("the same command continues; with --fresh it starts over\n")
        wait_until(lambda workers=workers: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in workers))  # type: ignore[misc]

    assert server.billed < ROWS + in_flight
    check(finish(job, *TWO_PROCESSES), server, in_flight)


TORN_STREAM = """
import sys, threading, time
import grpc
from pipelines.stopping import ending_at_once

def torn():
    raise grpc.RpcError

def killed():
    time.sleep(0.3)
    raise RuntimeError("Worker subprocess exited with return code -9")

dying = [torn, killed] if sys.argv[1] == "killed" else [torn]
name = "wait_until_finish_read" if sys.argv[1] == "elsewhere" else None
with ending_at_once(lambda why: print(why, file=sys.stderr), lambda: None, 1):
    threads = [threading.Thread(target=target, name=name) for target in dying]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


@pytest.mark.parametrize("worker", ["killed", "alive", "elsewhere"])
def test_a_torn_stream_is_told_only_where_no_worker_died(worker: str) -> None:
    """A killed worker's streams break first, and their traceback would stand before the line that helps.

    So does the log of a runner elsewhere that is gone, which the job's other stream tells.
    """
    command = [sys.executable, "-c", TORN_STREAM, worker]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    if worker == "killed":
        assert ended.returncode == 1
        assert ended.stderr == (
            "a worker process died, killed or out of memory (Worker subprocess exited with return code -9)\n"
        )
    else:
        assert ended.returncode == 0
        assert ended.stderr.endswith("grpc.RpcError\n") is (worker == "alive")
        assert bool(ended.stderr) is (worker == "alive")


def test_a_second_run_beside_the_first_is_refused(job: pathlib.Path, server: FakeLlmServer) -> None:
    """Exit code 1, because nothing is wrong with the command, and who holds the output."""
    released = threading.Event()

    def when_released(_: Mapping[str, Any]) -> Behaviour:
        released.wait(60)
        return Behaviour()

    server.behave = when_released
    first = begin(job)
    wait_until(lambda: server.at_once > 0)

    second = begin(job)
    _, said = second.communicate(timeout=60)
    released.set()

    assert second.returncode == 1
    assert f"is being written by another run (process {first.pid} of" in said
    first.communicate(timeout=120)
    assert first.returncode == 0
    check(read_written(job.parent / "out"), server, 0)
