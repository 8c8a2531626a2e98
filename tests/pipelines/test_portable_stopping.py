"""Ending a job on a portable runner in the middle: its driver, a worker, the runner itself."""

from __future__ import annotations

import os
import pathlib
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.pipelines.portable import LOOPBACK, ON_PRISM, in_processes, job_service, on, prism
from tests.pipelines.test_stopping import CONCURRENCY, begin, check, finish, job, server, wait_until
from tools.kill_campaign import children

if TYPE_CHECKING:
    from tests.fake_llm_server import FakeLlmServer

__all__ = ["job", "server"]

AGAIN = "What was answered is kept: the same command continues; with --fresh it starts over\n"


def alive(pids: list[int]) -> bool:
    """Whether any of these processes is."""
    return any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids)


@ON_PRISM
@pytest.mark.parametrize("in_driver", [True, False], ids=["loopback", "process"])
def test_stopping_the_driver_cancels_the_job(
    job: pathlib.Path, server: FakeLlmServer, tmp_path: pathlib.Path, in_driver: bool
) -> None:
    """Its workers ask nothing more, and the same command pays nothing twice but what was in flight."""
    with prism(tmp_path) as runner:
        options = ["--", *on(runner, *([LOOPBACK] if in_driver else in_processes(tmp_path)))]
        running = begin(job, *options)
        wait_until(lambda: server.billed >= 5)
        workers = children(runner.pid)
        assert bool(workers) is not in_driver
        in_flight = server.at_once
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=30)

        assert (running.returncode, said) == (
            1,
            f"tekizai: stopped by SIGTERM, and the runner's job was cancelled. {AGAIN}",
        )
        wait_until(lambda: not alive(workers), 10)
        asked = server.billed
        time.sleep(0.5)
        assert server.billed == asked
        check(finish(job, *options), server, in_flight + CONCURRENCY)


@ON_PRISM
@pytest.mark.parametrize("whom", ["worker", "runner"])
def test_a_killed_worker_or_runner_costs_the_calls_in_flight(
    job: pathlib.Path, server: FakeLlmServer, tmp_path: pathlib.Path, whom: str
) -> None:
    """Prism gives up then, unlike a cluster; a worker whose runner is gone ends, having kept its answers."""
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    with prism(tmp_path / "first") as runner:
        running = begin(job, "--", *on(runner, *in_processes(tmp_path)))
        wait_until(lambda: server.billed >= 5)
        workers = children(runner.pid)
        in_flight = server.at_once
        os.kill(workers[0] if whom == "worker" else runner.pid, signal.SIGKILL)
        _, said = running.communicate(timeout=60)

        assert running.returncode == 1
        assert said.endswith(AGAIN)
        wait_until(lambda: not alive(workers), 10)
    asked = server.billed
    time.sleep(0.5)
    assert server.billed == asked
    with prism(tmp_path / "second") as runner:
        check(finish(job, "--", *on(runner, LOOPBACK)), server, in_flight + CONCURRENCY)


def test_a_runner_that_is_gone_is_said(
    job: pathlib.Path, server: FakeLlmServer, tmp_path: pathlib.Path
) -> None:
    """The user has to look there, because the job may go on."""
    with job_service(tmp_path) as runner:
        running = begin(job, "--", *on(runner, LOOPBACK))
        wait_until(lambda: server.billed >= 5)
        os.kill(runner.pid, signal.SIGSTOP)
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=30)
        os.kill(runner.pid, signal.SIGCONT)

    assert running.returncode == 1
    assert said.startswith("tekizai: stopped by SIGTERM, but the runner could not be told to (no answer)")
