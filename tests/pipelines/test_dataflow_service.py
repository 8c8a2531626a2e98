"""Jobs on a Dataflow service that is on the loopback address: submitted, run, failed, left to go on."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from rich.console import Console

from pipelines.commands import run_job
from pipelines.errors import DONE, JobFailedError, OutputHeldError
from tests.fake_dataflow import FakeDataflow
from tests.pipelines.gate_rows import rows, target_job

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

    from router.job import Job
    from tests.pipelines.jobs import World

pytest.importorskip(
    "apache_beam.runners.dataflow.internal.apiclient",
    reason="apache-beam[gcp] is not installed (`make install` brings it)",
)

OUTPUT = "memory://bucket/reviews"


@pytest.fixture
def service() -> Iterator[FakeDataflow]:
    """The service."""
    service = FakeDataflow()
    yield service
    service.close()


@pytest.fixture
def ready(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Two records, and a job on places that driver and workers share here."""
    world.write_lines(
        {"id": f"r{number}", "text": f"text {number} small=positive:{sure} large=negative:0.9"}
        for number, sure in enumerate((0.9, 0.6))
    )
    world.changes["output"] = {"path": OUTPUT, "format": "jsonl"}
    # Input and staging are folders of this machine, in the place of buckets.
    monkeypatch.setattr("pipelines.commands.check_dataflow", lambda *_: None)
    monkeypatch.setattr(
        "apache_beam.options.pipeline_options.GoogleCloudOptions._handle_temp_and_staging_locations",
        lambda *_: [],
    )
    yield world
    memory = fsspec.filesystem("memory")
    if memory.exists("/bucket"):
        memory.rm("/bucket", recursive=True)


def submit(job: Job, service: FakeDataflow, folder: pathlib.Path) -> tuple[int, str]:
    """The exit code and what was said."""
    folder.mkdir(exist_ok=True)
    options = (
        "--runner=DataflowRunner",
        "--project=mine",
        "--region=us-central1",
        f"--temp_location={folder}",
        f"--staging_location={folder}",
        "--sdk_container_image=image",
        "--max_num_workers=2",
        f"--dataflow_endpoint={service.endpoint}",
        "--no_auth",
    )
    said = io.StringIO()
    code = run_job(job, options, limit=None, fresh=False, console=Console(file=said, width=200))
    return code, said.getvalue()


def left() -> set[str]:
    """What the output's state folder has, apart from the journal."""
    memory = fsspec.filesystem("memory")
    names = [name.removeprefix("/bucket/reviews/state/") for name in memory.find("/bucket/reviews/state")]
    return {name for name in names if not name.startswith("journal/")}


def test_a_job_is_submitted_and_done(
    ready: World, service: FakeDataflow, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The driver tells its page, waits for it and shows its summary; the same command does nothing more."""
    with caplog.at_level("INFO", "pipelines"):
        code, said = submit(ready.job(), service, tmp_path / "staging")
    again, told = submit(ready.job(), service, tmp_path / "staging")

    (job,) = service.jobs
    assert job["name"].startswith("tekizai-test-")
    assert (code, again) == (DONE, DONE)
    assert "2 of 2 records annotated" in said
    assert any(message.startswith("Created job with id: [id-1]") for message in caplog.messages)
    assert "is finished already; nothing to do" in told
    assert left() == {"manifest.json"}
    summary = json.loads(fsspec.filesystem("memory").cat_file("/bucket/reviews/summary.json"))
    assert {name: count for name, count in summary["status"].items() if count} == {"kept": 1, "escalated": 1}


def test_a_gate_is_certified_by_jobs_of_the_service(
    ready: World, service: FakeDataflow, tmp_path: pathlib.Path
) -> None:
    """Each step of the pilot is one, and the driver reads from the output what they found."""
    ready.write_lines(rows(400))

    code, said = submit(ready.job(**target_job()), service, tmp_path / "staging")

    assert code == DONE
    assert "gate: certified for 90 % agreement with llm" in said
    assert len(service.jobs) > 2
    assert set(service.ends.values()) == {"JOB_STATE_DONE"}
    summary = json.loads(fsspec.filesystem("memory").cat_file("/bucket/reviews/summary.json"))
    assert summary["gate"]["certified"] is True
    assert summary["records"]["annotated"] == 400


def test_a_job_that_fails(ready: World, service: FakeDataflow, tmp_path: pathlib.Path) -> None:
    """The command fails; no note holds up the next one, which continues."""
    service.state = "JOB_STATE_FAILED"

    with pytest.raises(JobFailedError, match=r"Dataflow pipeline failed\. State: FAILED"):
        submit(ready.job(), service, tmp_path / "staging")
    assert "remote.json" not in left()

    service.state = None
    assert submit(ready.job(), service, tmp_path / "staging")[0] == DONE


def test_a_job_that_goes_on_without_its_driver(
    ready: World, service: FakeDataflow, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run asks the service, and lets the job be until it is over."""
    service.state = "JOB_STATE_RUNNING"
    broken = "apache_beam.runners.dataflow.dataflow_runner.DataflowPipelineResult.wait_until_finish"
    with monkeypatch.context() as patch:
        patch.setattr(broken, lambda _: raise_error(ConnectionError("the network is gone")))
        with pytest.raises(JobFailedError, match=r"the network is gone.*goes on without this process"):
            submit(ready.job(), service, tmp_path / "staging")
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/reviews/state/parts/half", b"what the job is writing")

    with pytest.raises(
        OutputHeldError, match=r"is being written by the Dataflow job tekizai-test-.* \(id-1, "
    ):
        submit(ready.job(), service, tmp_path / "staging")
    assert memory.exists("/bucket/reviews/state/parts/half")

    service.state = "JOB_STATE_CANCELLED"
    with pytest.raises(JobFailedError, match="the runner says that the job is CANCELLED"):
        submit(ready.job(), service, tmp_path / "staging")
    assert len(service.jobs) == 2
    assert not memory.exists("/bucket/reviews/state/parts/half")


def raise_error(error: Exception) -> Any:
    """Raise it, where only an expression may stand."""
    raise error
