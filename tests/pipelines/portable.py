"""Runners other than Beam's local one, as processes on this machine, and workers as they start them."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import apache_beam
import pytest

from tools.prism import prism_path

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[2]


class Server(NamedTuple):
    """A server on the loopback address."""

    endpoint: str
    pid: int


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[Any], seconds: float = 60) -> None:
    """Wait until a process listens."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert process.poll() is None, f"ended with {process.returncode}"
        assert time.monotonic() < end, f"nobody listens on {port}"
        time.sleep(0.05)


@contextlib.contextmanager
def serving(command: list[str], port: int, folder: pathlib.Path) -> Iterator[Server]:
    """A server on a port of the loopback address; its log is in the folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (folder / f"server-{port}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)
    try:
        wait_for(port, process)
        yield Server(f"localhost:{port}", process.pid)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def job_service(folder: pathlib.Path, workers: int = 1) -> contextlib.AbstractContextManager[Server]:
    """Beam's own job service in Python: the portable protocol around the local runner."""
    port = free_port()
    module = "tests.pipelines.job_service_main"
    command = [sys.executable, "-m", module, str(port), str(folder / "staged"), str(workers)]
    return serving(command, port, folder)


def prism(folder: pathlib.Path) -> contextlib.AbstractContextManager[Server]:
    """Beam's runner in Go, which shares no code with the Python ones."""
    port = free_port()
    command = [str(prism_path()), f"-job_port={port}", "-serve_http=false", "-log_level=warn"]
    return serving(command, port, folder)


def worker_command(folder: pathlib.Path) -> pathlib.Path:
    """A program that starts a worker in another folder, as `tekizai-worker` does where it is installed."""
    path = folder / "worker"
    path.write_text(
        f"#!/bin/sh\ncd /\nexport PYTHONPATH={ROOT}\n"
        f'exec {sys.executable} -m pipelines.portable_worker "$@"\n'
    )
    path.chmod(0o755)
    return path


def in_processes(folder: pathlib.Path) -> list[str]:
    """Options by which a runner starts workers by their command."""
    config = json.dumps({"command": str(worker_command(folder))})
    return ["--environment_type=PROCESS", f"--environment_config={config}"]


def worker_pool(folder: pathlib.Path) -> contextlib.AbstractContextManager[Server]:
    """Beam's pool, which starts workers by their command when a runner asks it to."""
    port = free_port()
    module = "apache_beam.runners.worker.worker_pool_main"
    program = f"--container_executable={worker_command(folder)}"
    return serving([sys.executable, "-m", module, f"--service_port={port}", program], port, folder)


def on(server: Server, *options: str) -> list[str]:
    """Options that submit a job to a runner's job service."""
    return ["--runner=PortableRunner", f"--job_endpoint={server.endpoint}", *options]


LOOPBACK = "--environment_type=LOOPBACK"
ON_PRISM = pytest.mark.skipif(
    prism_path() is None,
    reason=f"the Prism runner of Beam {apache_beam.__version__} is not there: `make prism` builds it with Go",
)
