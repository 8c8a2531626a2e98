"""A disk that fills up while the job runs: a small one of its own, which only root may mount."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.pipelines.jobs import read_written
from tests.pipelines.test_stopping import CONCURRENCY, ROWS, job, server

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

    from tests.fake_llm_server import FakeLlmServer

__all__ = ["job", "server"]

ROOM = 16 << 10
"""Bytes that are left: enough to begin, too few for the answers."""


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """The output folder as a disk of 2 MiB, nearly full."""
    folder = tmp_path / "out"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(mounting, check=False).returncode != 0:
        pytest.skip("a small disk cannot be mounted here (that needs root on Linux)")
    try:
        (folder / "filler").write_bytes(bytes((2 << 20) - ROOM))
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("budget", [False, True], ids=["no budget", "budget"])
def test_a_full_disk_ends_the_run_and_room_lets_it_go_on(
    job: pathlib.Path, small_disk: pathlib.Path, server: FakeLlmServer, budget: bool
) -> None:
    """One line that says so; after making room the same command finishes, and pays for little again."""
    if budget:
        job.write_text(job.read_text(encoding="utf-8") + "budget: {max_usd: 1}\n", encoding="utf-8")

    failed = _run(job)
    (small_disk / "filler").unlink()
    again = _run(job)

    assert failed.returncode in (1, 2), failed.stderr
    assert failed.stderr.count("\n") == 1, failed.stderr
    assert "space" in failed.stderr
    assert again.returncode == 0, again.stderr
    written = read_written(small_disk)
    assert sorted(written.by_id()) == sorted(f"r{number}" for number in range(ROWS))
    # Answers that could not be written were given; a full disk cannot be told apart before.
    assert ROWS <= server.billed <= ROWS + 2 * CONCURRENCY


def _run(job: pathlib.Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.cli", "run", str(job)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
