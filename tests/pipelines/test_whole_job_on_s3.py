"""Plan, pilot, calibration, run, evaluation and report where input and output are on an object store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl

from tests.fake_llm_server import FakeLlmServer
from tests.pipelines.gate_rows import hosted, rows, steered_label, target_job
from tests.pipelines.jobs import files_in
from tests.pipelines.test_commands import tekizai

if TYPE_CHECKING:
    from tests.pipelines.jobs import World

INPUT = {"path": "s3://data/in/*.parquet", "text": "text", "id": "id", "gold": "truth"}


def test_the_driver_holds_no_data(world: World, bucket: Any) -> None:
    """A target's pilot and calibration too; what a job learned is named by another one from there."""
    given = rows(600)
    for number in range(2):
        with bucket.open(f"data/in/part-{number}.parquet", "wb") as stream:
            pl.DataFrame(given[number::2]).write_parquet(stream)
    with FakeLlmServer(answer=steered_label) as server:
        job = world.job_file(
            models=hosted(world, server), input=INPUT, output={"path": "s3://data/out"}, **target_job()
        )
        before = files_in(world.folder)
        planned = tekizai("plan", job)
        asked_by_plan = server.answered
        ran = tekizai("run", job)
        asked = server.answered

        learned = {"artefact": "s3://data/out/state/calibration", "drift": "warn"}
        job = world.job_file(
            models=hosted(world, server),
            input=INPUT,
            output={"path": "s3://data/next"},
            **target_job(calibration=learned),
        )
        following = tekizai("run", job)
    evaluated = tekizai("evaluate", "s3://data/out", "--json")
    reported = tekizai("report", "s3://data/out", "s3://data/next", "--to", "s3://data/history.html")

    for done in (planned, ran, following, evaluated, reported):
        assert done.exit_code == 0, done.stderr
    assert files_in(world.folder) == before
    summary, later = (json.loads(bucket.cat_file(f"data/{name}/summary.json")) for name in ("out", "next"))
    assert summary["gate"]["certified"] is True
    assert summary["records"]["annotated"] == later["records"]["annotated"] == len(given)
    # The plan's pilot is part of what the run would have asked.
    assert 0 < asked_by_plan < asked == summary["status"]["escalated"]
    assert later["gate"]["threshold"] == summary["gate"]["threshold"]
    accuracy = json.loads(evaluated.stdout)["tasks"]["sentiment"]["accuracy"]
    assert accuracy["of"] == len(given)
    assert accuracy["count"] >= 0.9 * len(given)
    bucket.invalidate_cache()
    names = {name.removeprefix("data/") for name in bucket.find("data")}
    assert {"history.html", "out/report.html", "out/evaluation.html"} <= names
