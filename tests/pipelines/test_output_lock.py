"""One run at a time on an output: the second is told who holds it, a dead one holds nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from pipelines import output_lock as locking
from pipelines.errors import OutputError, OutputHeldError
from pipelines.output_lock import output_lock

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

HOLD = (
    "import sys, time\n"
    "from pipelines.output_lock import output_lock\n"
    "with output_lock(sys.argv[1]):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)\n"
)


@pytest.fixture
def holder(tmp_path: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the lock of `tmp_path/out`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "out")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_the_second_run_is_told_who_holds_the_output(
    tmp_path: pathlib.Path, holder: subprocess.Popen[bytes]
) -> None:
    """Process, user, host and since when; waiting or another output are the ways out."""
    out = tmp_path / "out"
    with (
        pytest.raises(
            OutputHeldError, match=rf"is being written by another run \(process {holder.pid} of .* on "
        ),
        output_lock(str(out)),
    ):
        pass


def test_a_killed_process_holds_nothing(tmp_path: pathlib.Path, holder: subprocess.Popen[bytes]) -> None:
    """The operating system lets go of its lock, however it dies."""
    holder.kill()
    holder.wait()
    assert (tmp_path / "out/state/lock.json").exists()

    with output_lock(str(tmp_path / "out")):
        held = json.loads((tmp_path / "out/state/lock.json").read_text(encoding="utf-8"))
        assert held["pid"] == os.getpid()


def test_a_released_lock_leaves_nothing_behind(tmp_path: pathlib.Path) -> None:
    """Not even the state folder, unless something else is in it; releasing twice is harmless."""
    with output_lock(str(tmp_path / "out")) as lock:
        lock.release()

    assert list((tmp_path / "out").iterdir()) == []


def test_a_place_that_cannot_be_written_is_said(tmp_path: pathlib.Path) -> None:
    """In one line with the way out."""
    (tmp_path / "file").write_text("x", encoding="utf-8")

    with (
        pytest.raises(OutputError, match=r"file/out cannot be written .*choose another folder"),
        output_lock(str(tmp_path / "file/out")),
    ):
        pass


@pytest.fixture
def store() -> Iterator[str]:
    """An output on a filesystem without locks."""
    yield "memory://lock/out"
    filesystem = fsspec.filesystem("memory")
    if filesystem.exists("/lock"):
        filesystem.rm("/lock", recursive=True)


def test_a_store_holds_a_lock_as_an_object(store: str) -> None:
    """The second run is refused, and the object is gone with its holder."""
    with (
        output_lock(store),
        pytest.raises(OutputHeldError, match=f"another run .process {os.getpid()} of .*hold ends in 120 s"),
        output_lock(store),
    ):
        pass

    assert not fsspec.filesystem("memory").find("/lock")


def test_a_lock_that_is_not_renewed_is_a_dead_runs(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A live one is renewed in time and stays."""
    dead = json.dumps({"run": "x", "pid": 1, "renewed": time.time() - locking.DEAD_SECONDS - 1}).encode()
    fsspec.filesystem("memory").pipe_file("/lock/out/state/lock.json", dead)
    monkeypatch.setattr(locking, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(locking, "WATCH_SECONDS", 0.1)

    with output_lock(store):
        first = json.loads(fsspec.filesystem("memory").cat_file("/lock/out/state/lock.json"))
        time.sleep(0.3)
        later = json.loads(fsspec.filesystem("memory").cat_file("/lock/out/state/lock.json"))

    assert first["pid"] == os.getpid()
    assert later["renewed"] > first["renewed"]


def test_a_lock_that_lives_is_not_taken_for_a_wrong_clock(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder's clock is hours behind; while it is watched, it is renewed."""
    memory, path = fsspec.filesystem("memory"), "/lock/out/state/lock.json"
    behind = {"run": "x", "pid": 7, "user": "u", "host": "h", "since": "s", "renewed": time.time() - 7200}
    memory.pipe_file(path, json.dumps(behind).encode())

    def renewed(_: float) -> None:
        memory.pipe_file(path, json.dumps({**behind, "renewed": behind["renewed"] + 20}).encode())

    monkeypatch.setattr(locking.time, "sleep", renewed)

    with (
        pytest.raises(OutputHeldError, match=r"another run \(process 7 of u on h, since s\)"),
        output_lock(store),
    ):
        pass


def test_a_lock_that_was_taken_over_is_left_alone(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither renewed nor removed by the run that had it."""
    memory, path = fsspec.filesystem("memory"), "/lock/out/state/lock.json"
    monkeypatch.setattr(locking, "RENEW_SECONDS", 0.02)
    others = json.dumps({"run": "another", "renewed": 1.0}).encode()

    with output_lock(store):
        memory.pipe_file(path, others)
        time.sleep(0.2)

    assert memory.cat_file(path) == others


def test_a_lock_on_s3(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made in one step; a killed run's hold ends, and the next one begins."""
    output, path = "s3://data/out", "data/out/state/lock.json"
    monkeypatch.setattr(locking, "WATCH_SECONDS", 0.05)
    with subprocess.Popen([sys.executable, "-c", HOLD, output], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(OutputHeldError, match=f"process {process.pid} of"), output_lock(output):
            pass
        process.kill()
    with pytest.raises(OutputHeldError, match="if it was killed, its hold ends in "), output_lock(output):
        pass
    monkeypatch.setattr(locking, "DEAD_SECONDS", 0.0)

    with output_lock(output):
        assert json.loads(bucket.cat_file(path))["pid"] == os.getpid()
    bucket.invalidate_cache()
    assert not bucket.exists(path)
