"""The same job on portable runners, submitted as to a cluster: the same labels and costs of every record."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.errors import JobFailedError
from tests.fake_llm_server import Behaviour, FakeLlmServer, failing
from tests.pipelines.gate_rows import rows, target_job
from tests.pipelines.jobs import read_written
from tests.pipelines.portable import (
    LOOPBACK,
    ON_PRISM,
    in_processes,
    job_service,
    on,
    prism,
    worker_pool,
)
from tests.pipelines.test_resume import hosted

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterator

    from tests.pipelines.jobs import World, Written

    Submitting = Callable[[pathlib.Path], contextlib.AbstractContextManager[list[str]]]

ROWS = 90
HARD = 30
"""Every third record is sent on to the large model."""


@contextlib.contextmanager
def service_loopback(folder: pathlib.Path) -> Iterator[list[str]]:
    """Beam's job service in Python, the workers in the process that submits."""
    with job_service(folder) as service:
        yield on(service, LOOPBACK)


@contextlib.contextmanager
def service_pool(folder: pathlib.Path) -> Iterator[list[str]]:
    """The same with two workers, which a pool starts as processes."""
    with job_service(folder, workers=2) as service, worker_pool(folder) as pool:
        yield on(service, "--environment_type=EXTERNAL", f"--environment_config={pool.endpoint}")


@contextlib.contextmanager
def prism_loopback(folder: pathlib.Path) -> Iterator[list[str]]:
    """Prism, the workers in the process that submits."""
    with prism(folder) as service:
        yield on(service, LOOPBACK)


@contextlib.contextmanager
def prism_process(folder: pathlib.Path) -> Iterator[list[str]]:
    """Prism, which starts a worker process in another folder."""
    with prism(folder) as service:
        yield on(service, *in_processes(folder))


RUNNERS = [
    service_loopback,
    service_pool,
    pytest.param(prism_loopback, marks=ON_PRISM),
    pytest.param(prism_process, marks=ON_PRISM),
]
IN_THE_DRIVER = [service_loopback, pytest.param(prism_loopback, marks=ON_PRISM)]
IN_OTHER_FOLDERS = [service_pool, pytest.param(prism_process, marks=ON_PRISM)]


def write_rows(world: World) -> None:
    """Two files: hard records, copies of a text, and three rows that nobody can annotate."""
    for part in range(2):
        found: list[Any] = [
            {"id": f"r{n}", "text": f"text {n} =positive:{0.6 if n % 3 == 0 else 0.9}", "n": n}
            for n in range(part, ROWS, 2)
        ]
        found += ["{torn", {"id": f"empty{part}", "text": ""}]
        found.append({"id": f"copy{part}", "text": "text 6 =positive:0.6", "n": -1})
        world.write_lines(found, f"in-{part}.jsonl")


def job_of(world: World, server: FakeLlmServer) -> dict[str, Any]:
    """Sections of the job file."""
    path = str(world.folder / "in-*.jsonl")
    return {"models": hosted(world, server), "input": {"path": path, "text": "text", "id": "id"}}


def comparable(written: Written) -> tuple[dict[str, Any], list[Any], dict[str, Any]]:
    """All that must not depend on the runner: everything but the order of files and the seconds."""
    for row in written.annotations:
        for account in (row["usage"], *row["usage"]["calls"]):
            del account["seconds"]
    summary = {
        name: written.summary[name] for name in ("records", "answered_by", "status", "cost_usd", "tokens")
    }
    dead = sorted((str(row["id"]), row["reason"], row["detail"]) for row in written.dead)
    return written.by_id(), dead, summary


@pytest.mark.parametrize("submitting", RUNNERS)
def test_labels_and_costs_are_those_of_the_local_runner(
    world: World, submitting: Submitting, tmp_path: pathlib.Path
) -> None:
    """Record by record, with the calls that the local runner makes: 30 hard ones and no copy."""
    write_rows(world)
    with FakeLlmServer() as server:
        expected = comparable(world.run(**job_of(world, server)))
        assert server.billed == HARD
        elsewhere = {"path": str(tmp_path / "elsewhere"), "format": "parquet"}
        with submitting(tmp_path) as options:
            written = world.run_to(
                tmp_path / "elsewhere", options=options, output=elsewhere, **job_of(world, server)
            )
        assert server.billed == 2 * HARD

    found = comparable(written)
    assert found == expected
    assert len(found[0]) == ROWS + 2
    assert [reason for _, reason, _ in found[1]] == [
        "invalid_json",
        "invalid_json",
        "empty_text",
        "empty_text",
    ]


def test_several_processes_write_to_one_journal(world: World, tmp_path: pathlib.Path) -> None:
    """Each its own files, and a later run, elsewhere, finds the answers of both."""
    write_rows(world)
    with FakeLlmServer() as server:
        job = job_of(world, server)
        with service_pool(tmp_path) as options:
            world.run(options=options, **job)
        writers = {path.stem.rpartition("-")[2] for path in (world.output / "state/journal").glob("llm-*")}
        (world.output / "summary.json").unlink()
        written = world.run(**job)
        bill = server.billed

    assert len(writers) == 2
    assert bill == HARD
    assert len(written.by_id()) == ROWS + 2


@pytest.mark.parametrize("submitting", IN_OTHER_FOLDERS)
def test_relative_paths_are_found_by_workers_in_other_folders(
    world: World, submitting: Submitting, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Input, output and model files are meant as the user sees them."""
    monkeypatch.chdir(world.folder)
    write_rows(world)
    with FakeLlmServer() as server, submitting(tmp_path) as options:
        job = job_of(world, server)
        job["models"]["small"]["source"] = os.path.relpath(job["models"]["small"]["source"])
        job["input"]["path"] = "in-*.jsonl"
        written = world.run_to(
            world.folder / "here", options=options, output={"path": "here", "format": "jsonl"}, **job
        )

    assert written.summary["records"]["annotated"] == ROWS + 2


@pytest.mark.parametrize("submitting", IN_OTHER_FOLDERS)
def test_a_failed_job_says_why_in_a_line_and_is_continued(
    world: World, submitting: Submitting, tmp_path: pathlib.Path
) -> None:
    """The runner tells a page of tracebacks; what was answered is not asked again."""
    write_rows(world)
    expired = True
    with FakeLlmServer(
        behave=lambda _: failing(401, "expired") if expired and server.billed >= 9 else Behaviour()
    ) as server:
        job = job_of(world, server)
        with submitting(tmp_path) as options:
            with pytest.raises(JobFailedError, match="HTTP 401") as failure:
                world.run(options=options, **job)
            assert "\n" not in str(failure.value)
            first = server.billed
            expired = False
            written = world.run(options=options, **job)
        bill = server.billed

    assert 9 <= first < HARD
    assert bill == HARD
    assert len(written.by_id()) == ROWS + 2


@pytest.mark.parametrize("submitting", IN_THE_DRIVER)
def test_a_gate_with_a_target_is_certified_there_too(
    world: World, submitting: Submitting, tmp_path: pathlib.Path
) -> None:
    """Its pilot and the job itself are pipelines of the same runner, one after the other."""
    world.write_lines(rows(1200))
    with submitting(tmp_path) as options:
        written = world.run(options=options, **target_job())

    gate = written.summary["gate"]
    assert (gate["certified"], gate["target"]) == (True, 0.9)
    assert written.summary["records"]["annotated"] == 1200
    assert read_written(world.output).summary == written.summary
