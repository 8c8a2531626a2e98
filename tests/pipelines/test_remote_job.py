"""A job that outlives the process that began it is not disturbed by the next one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pipelines import remote_job, runner
from pipelines.errors import JobFailedError, OutputError, OutputHeldError
from pipelines.output_folder import claim_output, clear_failed
from pipelines.remote_job import check_over, noted, noted_job
from pipelines.runner import options_of, run_pipeline

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping

OPTIONS = ("--runner=FlinkRunner", "--project=mine", "--region=us-central1", "--job_name=tekizai-test-1")
"""No runner is asked. Dataflow's cannot be named without Google's clients, so its place is taken."""


class Submitted:
    """Stands in for what Beam returns for a Dataflow job."""

    def __init__(self, state: str, failure: Exception | None = None) -> None:
        self.state = state
        self.failure = failure

    def job_id(self) -> str:
        return "2026-11-26_1"

    def wait_until_finish(self) -> None:
        if self.failure is not None:
            raise self.failure


def run(folder: pathlib.Path, submitted: Submitted, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any] | None:
    """Wait for a submitted job; the note while that lasts."""
    state, options, seen = f"{folder}/state", options_of(OPTIONS), list[Any]()

    class Pipeline:
        def __init__(self, **_: Any) -> None:
            pass

        def run(self) -> Submitted:
            return submitted

    wait = submitted.wait_until_finish
    submitted.wait_until_finish = lambda: seen.append(noted_job(str(folder))) or wait()  # type: ignore[method-assign]
    monkeypatch.setattr(runner.beam, "Pipeline", Pipeline)
    monkeypatch.setattr(runner, "is_dataflow", lambda _: True)
    run_pipeline(lambda _: None, options, lambda result: noted(state, options, result))
    return seen[0] if seen else None


def test_a_job_is_noted_until_it_is_over(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With all that it takes to ask about it, and to stop it; its page is told as Airflow looks for it."""
    with caplog.at_level("INFO", "pipelines"):
        note = run(tmp_path, Submitted("DONE"), monkeypatch)

    page = "https://console.cloud.google.com/dataflow/jobs/us-central1/2026-11-26_1?project=mine"
    assert caplog.messages == [f"Created job with id: [2026-11-26_1] ({page})"]

    assert note is not None
    assert note.pop("since")[:2] == "20"
    assert note == {
        "job": "2026-11-26_1",
        "name": "tekizai-test-1",
        "project": "mine",
        "region": "us-central1",
        "endpoint": "https://dataflow.googleapis.com",
        "no_auth": False,
    }
    assert noted_job(str(tmp_path)) is None


@pytest.mark.parametrize(("state", "stays"), [("FAILED", False), ("RUNNING", True)])
def test_a_job_that_is_not_over_stays_noted(
    state: str, stays: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the network broke while it was waited for."""
    with pytest.raises(JobFailedError, match="the connection broke"):
        run(tmp_path, Submitted(state, OSError("the connection broke")), monkeypatch)

    assert (noted_job(str(tmp_path)) is not None) is stays


@pytest.fixture
def left(tmp_path: pathlib.Path) -> pathlib.Path:
    """An output whose job goes on: its files are half written."""
    (tmp_path / "state" / "parts").mkdir(parents=True)
    (tmp_path / "state" / "parts" / "part").write_bytes(b"half")
    note = {
        "job": "id-1",
        "name": "tekizai-test-1",
        "project": "mine",
        "region": "us-central1",
        "since": "now",
    }
    (tmp_path / "state" / "remote.json").write_text(json.dumps(note))
    return tmp_path


def test_a_second_run_is_told_of_the_job(left: pathlib.Path) -> None:
    """Which one, how to stop it; and nothing of it is cleared away."""
    with pytest.raises(OutputHeldError) as caught:
        check_over(str(left), lambda _: "JOB_STATE_RUNNING")

    assert str(caught.value) == (
        f"output.path: {left} is being written by the Dataflow job tekizai-test-1 (id-1, since now) "
        "(JOB_STATE_RUNNING); wait for it, or stop it: gcloud dataflow jobs cancel id-1 "
        "--region=us-central1 --project=mine"
    )
    assert (left / "state" / "parts" / "part").exists()


def test_a_job_that_nobody_can_ask_about(left: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials, say. The way out is for a person who knows better."""

    def fail(note: Mapping[str, Any]) -> str:
        raise RuntimeError(f"no credentials for {note['project']}")

    monkeypatch.setattr(remote_job, "_ask_dataflow", fail)

    with pytest.raises(OutputError) as caught:
        check_over(str(left))
    assert str(caught.value) == (
        f"output.path: the Dataflow job tekizai-test-1 (id-1, since now) may be writing to {left}, and its "
        "state cannot be asked for (no credentials for mine); if it is over, remove "
        f"{left}/state/remote.json"
    )


def test_a_job_that_is_over_holds_up_nobody(left: pathlib.Path) -> None:
    """Its note goes, and with the next claim what it left half done."""
    check_over(str(left), lambda _: "JOB_STATE_CANCELLED")

    assert noted_job(str(left)) is None
    check_over(str(left), lambda _: "never asked")
    claim_output(str(left), {"job": {"name": "test"}, "job_digest": "1"}, fresh=False)
    assert not (left / "state" / "parts").exists()


def test_a_note_goes_with_what_a_failed_run_leaves(left: pathlib.Path) -> None:
    """`clear_failed` is for runs whose job is over."""
    clear_failed(str(left))

    assert noted_job(str(left)) is None
