"""A real Flink cluster on the loopback address, and the job on it, where Java and the jars can be had."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from pipelines.runner import cause_of
from tests.fake_llm_server import Behaviour, FakeLlmServer
from tests.pipelines.jobs import read_written
from tests.pipelines.portable import LOOPBACK, in_processes
from tests.pipelines.test_portable import HARD, comparable, job_of, write_rows
from tests.pipelines.test_stopping import CONCURRENCY, begin, check, job, server, wait_until
from tools.flink_cluster import flink_cluster
from tools.flink_jars import MINOR, jars, missing

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

    from tests.pipelines.jobs import World
    from tools.flink_cluster import FlinkCluster

__all__ = ["job", "server"]

NO_CLUSTER, NO_JOB = missing(job_server=False), missing(job_server=True)


@pytest.fixture
def cluster() -> Iterator[FlinkCluster]:
    """A job manager and two task managers with a slot each."""
    if NO_CLUSTER is not None:
        pytest.skip(NO_CLUSTER)
    with flink_cluster(workers=2) as running:
        yield running


@pytest.fixture
def submitting(cluster: FlinkCluster) -> list[str]:
    """Options that submit a job to it."""
    if NO_JOB is not None:
        pytest.skip(NO_JOB)
    return [
        "--runner=FlinkRunner",
        f"--flink_master={cluster.master}",
        f"--flink_version={MINOR}",
        f"--flink_job_server_jar={jars().job_server}",
        "--parallelism=2",
    ]


def test_a_task_manager_may_die_and_another_come(cluster: FlinkCluster) -> None:
    """The cluster of the tests is one that a killed process does not end, and that leaves none behind."""
    assert cluster.ask("overview")["slots-total"] == 2

    cluster.workers[0].send_signal(signal.SIGKILL)
    cluster.wait_for_workers(1)
    cluster.add_worker()
    cluster.wait_for_workers(2)

    cluster.stop()
    assert [one.poll() is None for one in cluster.workers] == [False, False, False]


@pytest.mark.parametrize("in_driver", [True, False], ids=["loopback", "process"])
def test_labels_and_costs_are_those_of_the_local_runner(
    world: World, submitting: list[str], tmp_path: pathlib.Path, in_driver: bool
) -> None:
    """Record by record."""
    write_rows(world)
    where = [LOOPBACK] if in_driver else in_processes(tmp_path)
    elsewhere = {"path": str(tmp_path / "elsewhere"), "format": "parquet"}
    with FakeLlmServer() as server:
        expected = comparable(world.run(**job_of(world, server)))
        options = [*submitting, *where]
        written = world.run_to(
            tmp_path / "elsewhere", options=options, output=elsewhere, **job_of(world, server)
        )
        assert server.billed == 2 * HARD

    assert comparable(written) == expected


def test_a_killed_task_manager_costs_the_calls_in_flight(
    job: pathlib.Path,
    server: FakeLlmServer,
    cluster: FlinkCluster,
    submitting: list[str],
    tmp_path: pathlib.Path,
) -> None:
    """Flink begins anew with another one: every id once, and nothing that was answered is paid again."""
    server.behave = lambda _: Behaviour(delay_seconds=0.5)
    running = begin(job, "--", *submitting, *in_processes(tmp_path))
    wait_until(lambda: server.billed >= 5, 120)
    in_flight = server.at_once
    os.kill(cluster.workers[0].pid, signal.SIGKILL)
    cluster.add_worker()
    _, said = running.communicate(timeout=240)

    assert running.returncode == 0, said
    check(read_written(job.parent / "out"), server, in_flight + 2 * CONCURRENCY)


def test_a_job_server_that_cannot_be_fetched_is_named_with_the_ways_out() -> None:
    """Beam's own words are three addresses long and say nothing of Flink's version."""
    jar = "beam-runners-flink-2.2-job-server-2.77.0.jar"
    said = f"Unable to fetch remote job server jar at https://example.org/m2/{jar}: HTTP Error 404."

    line = cause_of(RuntimeError(said))

    assert line.startswith(f"Beam's job server for Flink cannot be fetched ({jar}); bring the jar")
    assert "--flink_version" in line
