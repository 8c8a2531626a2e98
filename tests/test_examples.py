"""The examples for scheduled runs: job file, cron, systemd, Kubernetes, and Airflow by the real library."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from router.job_loading import JobError, load_job

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[1]
SCHEDULED = REPOSITORY / "examples" / "scheduled"
AIRFLOW = (
    "apache-airflow==3.3.2",
    "apache-airflow-providers-apache-beam==6.3.1",
    "apache-airflow-providers-google==22.8.0",
)
"""1.6 GB when it is installed."""


def test_the_job_file_wants_its_day() -> None:
    """Given, it is in input and output, so that each day has a folder of its own; left out, it is missed."""
    job = load_job(SCHEDULED / "daily.yaml", sets={"DS": "2026-11-26"}, environ={})

    assert (job.input.path, job.output.path) == (
        "s3://bucket/reviews/dt=2026-11-26/*.parquet",
        "s3://bucket/labels/dt=2026-11-26",
    )
    with pytest.raises(JobError, match="DS"):
        load_job(SCHEDULED / "daily.yaml", environ={})


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (0, ""),
        (1, "daily-reviews of 2026-11-26: failed, or held by another run: the same command goes on"),
        (2, "daily-reviews of 2026-11-26: the job file, its arguments or its input are wrong"),
        (3, "daily-reviews of 2026-11-26: done, but too many dead letters"),
        (139, "daily-reviews of 2026-11-26: ended in a way of its own (exit code 139)"),
    ],
)
def test_cron_hears_of_what_a_person_must_look_at(code: int, says: str, tmp_path: Path) -> None:
    """Nothing where all is well, because cron mails what is written; the exit code and the log's end else."""
    stub = executable(tmp_path / "tekizai", f'echo "$@" > called\necho "the last line" >&2\nexit {code}')

    done = subprocess.run(
        [str(SCHEDULED / "run-daily.sh"), "2026-11-26"],
        cwd=tmp_path,
        env={**os.environ, "TEKIZAI": str(stub)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code
    assert (tmp_path / "called").read_text() == "run daily.yaml --set DS=2026-11-26\n"
    assert done.stderr.startswith(says)
    assert ("the last line" in done.stderr) is (code != 0)
    assert done.stdout == ""


def test_the_crontab() -> None:
    """Two tries a day of one command, with the percent signs escaped that cron takes for line ends."""
    lines = [
        line
        for line in (SCHEDULED / "crontab").read_text().splitlines()
        if line and not line.startswith("#") and "=" not in line.split()[0]
    ]

    assert [line.split()[:5] for line in lines] == [["10", hour, "*", "*", "*"] for hour in ("3", "5")]
    assert len({line.split(None, 5)[5] for line in lines}) == 1
    assert all("%" not in line.replace("\\%", "") for line in lines)


def unit(name: str) -> configparser.ConfigParser:
    """A systemd unit file."""
    found = configparser.ConfigParser(strict=False, interpolation=None)
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string((SCHEDULED / name).read_text())
    return found


def test_the_systemd_units() -> None:
    """Exit code 1 is tried again, 2 and 3 are not; a missed morning is made up for."""
    service = unit("tekizai-daily.service")["Service"]

    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("on-failure", "2 3")
    assert "%%F" in service["ExecStart"]
    assert "$$(" in service["ExecStart"]
    assert unit("tekizai-daily.timer")["Timer"]["Persistent"] == "true"


def test_systemd_reads_the_units() -> None:
    """Its own check, where it is installed."""
    systemd = shutil.which("systemd-analyze")
    if systemd is None:
        pytest.skip("systemd-analyze is not installed")
    units = [str(SCHEDULED / f"tekizai-daily.{kind}") for kind in ("service", "timer")]

    done = subprocess.run([systemd, "verify", *units], capture_output=True, text=True, check=False)

    assert "tekizai-daily" not in done.stderr


def test_the_cron_job() -> None:
    """One run at a time; exit codes 2 and 3 end the job, 1 and a killed pod are tried again."""
    found: dict[str, Any] = yaml.safe_load((SCHEDULED / "cronjob.yaml").read_text(encoding="utf-8"))
    spec = found["spec"]
    job = spec["jobTemplate"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]

    assert (found["apiVersion"], found["kind"]) == ("batch/v1", "CronJob")
    assert (spec["concurrencyPolicy"], len(spec["schedule"].split())) == ("Forbid", 5)
    # Kubernetes takes a policy only where pods are not restarted in place.
    assert pod["restartPolicy"] == "Never"
    codes, drained = job["podFailurePolicy"]["rules"]
    assert codes == {
        "action": "FailJob",
        "onExitCodes": {"containerName": container["name"], "operator": "In", "values": [2, 3]},
    }
    assert drained["action"] == "Ignore"
    # The lock of a killed run on an object store holds for 120 s; waits double from 10 s on.
    assert sum(10 * 2**number for number in range(job["backoffLimit"])) > 120
    assert container["args"] == [
        'exec tekizai run /job/daily.yaml --set DS="${DS:-$(date -u -d yesterday +%F)}"'
    ]
    assert {mount["name"] for mount in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}


def executable(path: Path, script: str) -> Path:
    """A program for bash."""
    path.write_text(f"#!/usr/bin/env bash\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Python with Airflow: what TEKIZAI_AIRFLOW names, or a new one where it says `install`."""
    named = os.environ.get("TEKIZAI_AIRFLOW")
    if named is None:
        pytest.skip(
            "Airflow wants an environment of its own: TEKIZAI_AIRFLOW=PYTHON names one, =install makes one"
        )
    if named != "install":
        yield named
        return
    folder = tmp_path_factory.mktemp("airflow") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    # Pip alone looks for versions that fit together for a quarter of an hour.
    steps = (["pip", "install", "-q", "uv"], ["uv", "pip", "install", "-q", "--python", python, *AIRFLOW])
    for step in steps:
        done = subprocess.run([python, "-m", *step], capture_output=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"Airflow cannot be installed here: {done.stderr.decode()[-300:]}")
    yield python
    shutil.rmtree(folder)


@pytest.mark.timeout(900)
def test_the_airflow_dag(airflow: str, tmp_path: Path) -> None:
    """Airflow itself loads it and runs its task; each exit code becomes what it means."""
    dags = tmp_path / "dags"
    dags.mkdir()
    shutil.copy(SCHEDULED / "daily_dag.py", dags)
    # The operator asks the interpreter for Beam's version before it starts the job.
    stub = executable(
        tmp_path / "python",
        f'if [ "$1" = -c ]; then echo 2.77.0; exit; fi\necho "$@" >> {tmp_path}/called\nexit $STUB_CODE',
    )
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")},
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "TEKIZAI_HOME": "/srv/tekizai",
    }

    done = subprocess.run(
        [airflow, str(REPOSITORY / "tests" / "airflow_dag.py"), str(dags), str(stub)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])

    assert found["errors"] == {}
    assert found["tasks"] == ["label"]
    assert found["bases"][:2] == ["TekizaiOperator", "BeamRunPythonPipelineOperator"]
    assert (found["max_active_runs"], found["catchup"]) == (1, False)
    assert found["retries"] == 3
    assert found["retry_seconds"] > 120
    assert found["outcomes"] == {
        "0": "success",
        "1": "AirflowException",
        "2": "AirflowFailException",
        "3": "AirflowSkipException",
    }
    called = set((tmp_path / "called").read_text().splitlines())
    (command,) = {line.partition(" --labels=")[0] for line in called}
    assert command.startswith("-m pipelines.launch --runner=DirectRunner ")
    assert set(command.split()[3:]) == {"--job=/srv/tekizai/daily.yaml", "--set=DS=2026-11-25"}
