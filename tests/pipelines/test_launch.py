"""What launchers give, as the command that a person would type."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import fsspec
import pytest

from pipelines.launch import brought, command_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.pipelines.jobs import World


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["--job=j.yaml"], ["run", "j.yaml", "--"]),
        (
            ["--runner=DataflowRunner", "--job=j.yaml", "--set=DS=2026-11-26", "--labels=a=b", "--set=N=x=y"],
            [
                "run",
                "j.yaml",
                "--set",
                "DS=2026-11-26",
                "--set",
                "N=x=y",
                "--",
                "--runner=DataflowRunner",
                "--labels=a=b",
            ],
        ),
        (
            [
                "--job",
                "j.yaml",
                "--input=gs://b/*.jsonl",
                "--output=gs://b/out",
                "--limit=5",
                "--fresh",
                "--verbose",
            ],
            [
                "run",
                "j.yaml",
                "--input",
                "gs://b/*.jsonl",
                "--output",
                "gs://b/out",
                "--limit",
                "5",
                "--fresh",
                "--verbose",
                "--",
            ],
        ),
        (
            ["--job=j.yaml", "--fresh=true", "--verbose=false", "--limit=", "--set="],
            ["run", "j.yaml", "--fresh", "--"],
        ),
        (["--job=j.yaml", "--jobs_name=x", "--out=y"], ["run", "j.yaml", "--", "--jobs_name=x", "--out=y"]),
    ],
)
def test_the_command(arguments: list[str], command: list[str]) -> None:
    """Tekizai's own options come first, and no beginning of a name is taken for one; the rest is Beam's."""
    assert command_of(arguments) == command


def test_without_a_job() -> None:
    """As for every wrong argument, exit code 2."""
    with pytest.raises(SystemExit) as ended:
        command_of(["--runner=DirectRunner"])
    assert ended.value.code == 2


def test_a_job_file_may_be_a_url(tmp_path: Path) -> None:
    """It is copied under its own name, which messages show; a path stays as it is."""
    fsspec.filesystem("memory").pipe_file("/jobs/daily.yaml", b"name: daily")

    found = brought("memory://jobs/daily.yaml", tmp_path)

    assert found == str(tmp_path / "daily.yaml")
    assert (tmp_path / "daily.yaml").read_bytes() == b"name: daily"
    assert brought("jobs/daily.yaml", tmp_path) == "jobs/daily.yaml"


def test_a_job_file_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line and exit code 2."""
    with pytest.raises(SystemExit) as ended:
        brought("memory://jobs/none.yaml", tmp_path)

    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(
        "tekizai: memory://jobs/none.yaml: the job file cannot be read ("
    )


def test_exit_codes_are_the_commands(world: World) -> None:
    """A job file that is not there is 2, with the command's own line."""
    command = [
        sys.executable,
        "-m",
        "pipelines.launch",
        f"--job={world.folder}/none.yaml",
        "--runner=DirectRunner",
    ]

    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})

    assert done.returncode == 2
    assert "none.yaml" in done.stderr
