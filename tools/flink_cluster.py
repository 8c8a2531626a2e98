"""A Flink cluster on the loopback address: a job manager and task managers as processes, no more than a demo.

    python -m tools.flink_cluster -- COMMAND …    runs the command with {master} and {job_server} replaced

`make flink-demo` runs the demo job so. Everything is stopped by process id when the command ends.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from typing import TYPE_CHECKING, Any

from tools.flink_jars import MissingError, jars, java, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

_MANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_WORKER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
_START_SECONDS, _STOP_SECONDS = 60.0, 20.0
_OPENED = ("java.net", "java.nio", "java.lang", "java.lang.reflect", "java.text", "java.time", "java.util")
_OPENED_CONCURRENT = ("java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks")
"""What Flink looks into on Java 17, as its own configuration has it."""


class FlinkCluster:
    """The processes of a cluster, with what its own interface says of it."""

    def __init__(self, folder: pathlib.Path, slots: int = 1) -> None:
        """Start nothing yet; `folder` takes configuration, logs and what Flink keeps."""
        self._folder = folder
        self._slots = slots
        self._rest, self._rpc = _free_port(), _free_port()
        self._manager: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        """The task managers, dead ones too."""

    @property
    def master(self) -> str:
        """What goes to Beam as --flink_master."""
        return f"127.0.0.1:{self._rest}"

    def start(self, workers: int) -> None:
        """Start all and wait until the task managers are known. Raises `MissingError`."""
        self._manager = self._spawn("jobmanager", _MANAGER)
        for _ in range(workers):
            self.add_worker()
        self.wait_for_workers(workers)

    def add_worker(self) -> None:
        """Start one more task manager."""
        self.workers.append(self._spawn(f"taskmanager-{len(self.workers)}", _WORKER))

    def wait_for_workers(self, count: int) -> None:
        """Wait until so many task managers are known. Raises `MissingError`."""
        end = time.monotonic() + _START_SECONDS
        while self.known_workers() != count:
            if time.monotonic() > end:
                raise MissingError(
                    f"{self.known_workers()} of {count} task managers came; see the logs in {self._folder}"
                )
            time.sleep(0.2)

    def known_workers(self) -> int:
        """How many task managers the job manager knows; 0 while it does not answer."""
        with contextlib.suppress(OSError):
            return len(self.ask("taskmanagers")["taskmanagers"])
        return 0

    def ask(self, path: str) -> dict[str, Any]:
        """What the cluster's own interface says. Raises `OSError`."""
        with urllib.request.urlopen(f"http://{self.master}/{path}", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def stop(self) -> None:
        """Stop every process that was started here."""
        started = [one for one in (*self.workers, self._manager) if one is not None]
        for one in started:
            one.terminate()
        for one in started:
            _end(one)

    def _spawn(self, name: str, main: str) -> subprocess.Popen[bytes]:
        conf = self._folder / f"conf-{name}"
        conf.mkdir(parents=True)
        (conf / "config.yaml").write_text(self._settings(name), encoding="utf-8")
        opened = [f"--add-opens=java.base/{one}=ALL-UNNAMED" for one in (*_OPENED, *_OPENED_CONCURRENT)]
        command = [
            str(java()),
            "-Xmx512m",
            *opened,
            "-cp",
            f"{jars().flink}/*",
            main,
            "--configDir",
            str(conf),
        ]
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)

    def _settings(self, name: str) -> str:
        settings = {
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": self._rpc,
            "jobmanager.bind-host": "127.0.0.1",
            "jobmanager.memory.process.size": "1g",
            "jobmanager.execution.failover-strategy": "region",
            "rest.address": "127.0.0.1",
            "rest.port": self._rest,
            "rest.bind-address": "127.0.0.1",
            "taskmanager.host": "127.0.0.1",
            "taskmanager.bind-host": "127.0.0.1",
            "taskmanager.resource-id": name,
            "taskmanager.numberOfTaskSlots": self._slots,
            # Flink's own scripts compute these from one figure.
            "taskmanager.cpu.cores": float(self._slots),
            "taskmanager.memory.framework.heap.size": "128m",
            "taskmanager.memory.framework.off-heap.size": "128m",
            "taskmanager.memory.task.heap.size": "256m",
            "taskmanager.memory.task.off-heap.size": "64m",
            "taskmanager.memory.network.min": "64m",
            "taskmanager.memory.network.max": "64m",
            "taskmanager.memory.managed.size": "128m",
            "taskmanager.memory.jvm-metaspace.size": "192m",
            "taskmanager.memory.jvm-overhead.min": "128m",
            "taskmanager.memory.jvm-overhead.max": "128m",
            # A dead task manager is noticed, and what it did begins anew, within seconds.
            "heartbeat.interval": 2000,
            "heartbeat.timeout": 10000,
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 10,
            "restart-strategy.fixed-delay.delay": "3 s",
            "io.tmp.dirs": str(self._folder),
        }
        return "".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items())


@contextlib.contextmanager
def flink_cluster(workers: int = 2, slots: int = 1) -> Iterator[FlinkCluster]:
    """A cluster while this holds. Raises `MissingError`."""
    with tempfile.TemporaryDirectory(prefix="flink-") as folder:
        cluster = FlinkCluster(pathlib.Path(folder), slots)
        try:
            cluster.start(workers)
            yield cluster
        finally:
            cluster.stop()


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def main() -> int:
    """Run a command beside a cluster; its exit code, or 1 where there can be no cluster."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=2, help="task managers")
    parser.add_argument("--slots", type=int, default=1, help="slots of each")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    why = missing(job_server=any("{job_server}" in one for one in given.command))
    if why is not None:
        sys.stderr.write(f"error: {why}\n")
        return 1
    try:
        with flink_cluster(given.workers, given.slots) as cluster:
            replaced = {"{master}": cluster.master, "{job_server}": str(jars().job_server)}
            command = [_replaced(one, replaced) for one in given.command]
            return subprocess.run(command, check=False).returncode
    except MissingError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _replaced(text: str, replaced: dict[str, str]) -> str:
    for name, value in replaced.items():
        text = text.replace(name, value)
    return text


if __name__ == "__main__":
    sys.exit(main())
