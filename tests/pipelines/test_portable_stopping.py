"""Ending a job on a portable runner in the middle: its driver, a worker, the runner itself."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.fake_llm_server import failing
from tests.pipelines.jobs import read_written
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


def assert_quiet(server: FakeLlmServer) -> None:
    """Nobody asks any more; what the server had begun has ended."""
    wait_until(lambda: server.at_once == 0, 10)
    asked = len(server.requests)
    time.sleep(0.5)
    assert len(server.requests) == asked


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
        _, said = running.communicate(timeout=60)

        assert (running.returncode, said) == (
            1,
            f"tekizai: stopped by SIGTERM, and the runner's job was cancelled. {AGAIN}",
        )
        wait_until(lambda: not alive(workers), 10)
        assert_quiet(server)
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
        try:
            _, said = running.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            # On a busy machine Prism was once seen to wait on for a worker that is gone: then a user ends it.
            running.send_signal(signal.SIGTERM)
            _, said = running.communicate(timeout=60)

        assert running.returncode == 1
        assert "Traceback" not in said
        assert said.endswith(AGAIN)
        if whom == "runner":
            assert "the runner's job service does not answer any more (StatusCode.UNAVAILABLE: " in said
        wait_until(lambda: not alive(workers), 10)
    assert_quiet(server)
    with prism(tmp_path / "second") as runner:
        check(finish(job, "--", *on(runner, LOOPBACK)), server, in_flight + CONCURRENCY)


@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGINT], ids=["end", "SIGTERM", "SIGINT"])
def test_a_job_server_ends_with_the_run_that_started_it(
    job: pathlib.Path, server: FakeLlmServer, tmp_path: pathlib.Path, number: int | None
) -> None:
    """`FlinkRunner` starts one in Java; here Beam's in Python takes its place, with the same arguments."""
    launcher = tmp_path / "java"
    launcher.write_text(
        "#!/bin/sh\nwhile [ $# -gt 0 ]; do [ $1 = --job-port ] && port=$2; shift; done\n"
        f"exec {sys.executable} -m apache_beam.runners.portability.local_job_service_main -p $port\n"
    )
    launcher.chmod(0o755)
    (tmp_path / "server.jar").touch()
    running = begin(
        job,
        "--",
        "--runner=FlinkRunner",
        "--flink_master=127.0.0.1:8081",
        f"--flink_job_server_jar={tmp_path / 'server.jar'}",
        f"--job_server_java_launcher={launcher}",
        LOOPBACK,
        "--parallelism=2",
    )
    wait_until(lambda: server.billed >= 5)
    started = children(running.pid)
    assert started
    if number is not None:
        running.send_signal(number)
    _, said = running.communicate(timeout=60)

    wait_until(lambda: not alive(started), 10)
    if number is None:
        assert running.returncode == 0, said
        check(read_written(job.parent / "out"), server, 0)
    else:
        name = signal.Signals(number).name
        assert said == f"tekizai: stopped by {name}, and the runner's job was cancelled. {AGAIN}"


def test_a_job_that_fails_in_a_worker_of_this_process_is_one_line(
    job: pathlib.Path, server: FakeLlmServer, tmp_path: pathlib.Path
) -> None:
    """Beam prints the traceback where the worker is, and has the runner tell it."""
    server.behave = lambda _: failing(401, "expired")
    with job_service(tmp_path) as runner:
        running = begin(job, "--", *on(runner, LOOPBACK))
        _, said = running.communicate(timeout=60)

    assert running.returncode == 1
    assert said.count("\n") == 1, said
    assert "HTTP 401" in said


def test_a_runner_that_is_gone_is_said(
    job: pathlib.Path, server: FakeLlmServer, tmp_path: pathlib.Path
) -> None:
    """The user has to look there, because the job may go on."""
    with job_service(tmp_path) as runner:
        running = begin(job, "--", *on(runner, LOOPBACK))
        wait_until(lambda: server.billed >= 5)
        os.kill(runner.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, runner.pid, os.WSTOPPED)
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=60)
        os.kill(runner.pid, signal.SIGCONT)

    assert running.returncode == 1
    assert said.startswith("tekizai: stopped by SIGTERM, but the runner could not be told to (no answer)")
