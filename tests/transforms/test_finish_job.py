"""The end of a job: nothing lost, files named, sums written."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from router.bias import LabelBias
from router.gate import fixed_gate
from router.records import DeadLetter, Position, Reason
from tests.transforms.rows_examples import annotated
from tests.transforms.test_write_output import LAYOUT, TYPES, bundle
from transforms.finish_job import Ending, LostRecordsError, check_balance, finish_job, job_digest
from transforms.json_types import ColumnTypes
from transforms.output_rows import RowFormat
from transforms.write_output import WriteAnnotations, WriteDeadLetters

if TYPE_CHECKING:
    import pathlib

    from transforms.write_output import Part

BIASES = {
    ("small", "mood"): LabelBias("small", "mood", (0.25, 0.75), 20),
    ("other", "mood"): LabelBias("other", "mood", (0.5, 0.5), 19),
}


def ending(output: pathlib.Path, suffix: str = "jsonl") -> Ending:
    """What the last stage knows of the job."""
    return Ending(str(output), suffix, LAYOUT, 0.0, fixed_gate(0.8), None, {"job_digest": "abc"})


def parts_of(output: pathlib.Path) -> list[Part]:
    """Two files of annotations, the later one first, and one of dead letters: five records."""
    state = str(output / "state")
    writer, dead = WriteAnnotations(state, LAYOUT, "jsonl"), WriteDeadLetters(state)
    writer.setup()
    dead.setup()
    letter = DeadLetter(Position(0, 4), None, Reason.EMPTY_TEXT, "blank", "validate", None)
    rows = [
        annotated(
            b'{"id": %d}' % offset, name=f"r{offset}", position=Position(0, offset), confidence=confidence
        )
        for offset, confidence in ((2, 0.7), (3, 0.6), (0, 0.9), (1, 0.5))
    ]
    return [
        *bundle(writer, [(row, TYPES) for row in rows[:2]]),
        *bundle(writer, [(row, TYPES) for row in rows[2:]]),
        *bundle(dead, [(letter,)]),
    ]


def test_files_get_their_names_in_input_order(tmp_path: pathlib.Path) -> None:
    """The state folder keeps the manifest only."""
    finish_job(None, parts_of(tmp_path), 5, BIASES, TYPES, ending(tmp_path))

    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        "annotations-00000-of-00002.jsonl",
        "annotations-00001-of-00002.jsonl",
        "dead_letters-00000-of-00001.jsonl",
        "report.html",
        "review-00000-of-00001.jsonl",
        "review.json",
        "state/manifest.json",
        "summary.json",
    ]
    assert not (tmp_path / "state" / "parts").exists()
    assert not (tmp_path / "state" / "progress").exists()
    lines = [
        line
        for name in ("annotations-00000-of-00002.jsonl", "annotations-00001-of-00002.jsonl")
        for line in (tmp_path / name).read_text().splitlines()
    ]
    assert [json.loads(line)["id"] for line in lines] == [0, 1, 2, 3]


def test_the_review_file_takes_the_least_certain_of_all_files(tmp_path: pathlib.Path) -> None:
    """Least certain first."""
    finish_job(None, parts_of(tmp_path), 5, {}, TYPES, ending(tmp_path))

    lines = (tmp_path / "review-00000-of-00001.jsonl").read_text().splitlines()
    assert [json.loads(line)["data"]["id"] for line in lines] == ["r1", "r3", "r2", "r0"]
    assert json.loads((tmp_path / "review.json").read_text()) == [json.loads(line) for line in lines]


def test_the_review_is_ready_for_the_jobs_tasks(tmp_path: pathlib.Path) -> None:
    """The manifest knows them: the configuration for Label Studio is made of them."""
    labels = [{"name": "good", "description": None}, {"name": "bad", "description": None}]
    task = {"name": "mood", "kind": "single_label", "instruction": "How is it?", "labels": labels}
    last = dataclasses.replace(ending(tmp_path), manifest={"job": {"name": "test", "tasks": [task]}})

    finish_job(None, parts_of(tmp_path), 5, {}, TYPES, last)

    config = (tmp_path / "review-label-studio.xml").read_text(encoding="utf-8")
    assert '<Choices name="mood" toName="text" choice="single" required="true">' in config
    [first, *_] = json.loads((tmp_path / "review.json").read_text())
    assert first["suggestions"] == {"mood": {"value": "good", "score": 0.5, "agent": "small"}}


def test_a_job_without_annotations_has_nothing_to_review(tmp_path: pathlib.Path) -> None:
    """The files are there, and valid."""
    finish_job(None, [], 0, {}, TYPES, ending(tmp_path))

    assert (tmp_path / "review-00000-of-00001.jsonl").read_bytes() == b""
    assert json.loads((tmp_path / "review.json").read_text()) == []


def test_the_summary_is_returned_and_written(tmp_path: pathlib.Path) -> None:
    """With the calibration: which means were divided by, and which were too thin to be."""
    summary = finish_job(None, parts_of(tmp_path), 5, BIASES, TYPES, ending(tmp_path))

    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert summary["records"] == {"read": 5, "annotated": 4, "dead_lettered": 1, "duplicates": 0}
    assert summary["cost_usd"]["total"] == "0.002000"
    assert summary["calibration"] == [
        {
            "model": "other",
            "task": "mood",
            "method": "none: too few records to estimate a mean",
            "records": 19,
            "mean": [0.5, 0.5],
        },
        {
            "model": "small",
            "task": "mood",
            "method": "divided by the mean prediction",
            "records": 20,
            "mean": [0.25, 0.75],
        },
    ]
    manifest = json.loads((tmp_path / "state" / "manifest.json").read_text())
    assert manifest == {"job_digest": "abc", "calibration": summary["calibration"]}


@pytest.mark.parametrize("read", [4, 6])
def test_a_lost_record_stops_the_job_before_anything_is_published(tmp_path: pathlib.Path, read: int) -> None:
    """So does one too many."""
    parts = parts_of(tmp_path)

    with pytest.raises(LostRecordsError, match=rf"{read} records were read, but 4 annotated and 1 dead-lett"):
        finish_job(None, parts, read, BIASES, TYPES, ending(tmp_path))

    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_files_that_no_finished_bundle_names_are_not_published(tmp_path: pathlib.Path) -> None:
    """A bundle that was tried twice leaves a file behind."""
    parts = parts_of(tmp_path)
    (tmp_path / "state" / "parts" / "annotations-leftover.jsonl").write_text('{"id": 99}\n')

    finish_job(None, parts, 5, BIASES, TYPES, ending(tmp_path))

    assert len(list(tmp_path.glob("annotations-*"))) == 2
    assert not (tmp_path / "state" / "parts").exists()


def test_a_part_that_is_not_here_is_told(tmp_path: pathlib.Path) -> None:
    """Workers on machines that share no filesystem each have their own files."""
    parts = parts_of(tmp_path)
    (tmp_path / parts[0].path).unlink()

    with pytest.raises(LostRecordsError, match="must be on a filesystem that all workers share"):
        finish_job(None, parts, 5, BIASES, TYPES, ending(tmp_path))
    assert not (tmp_path / "summary.json").exists()


def test_a_job_without_annotations_still_writes_a_parquet_file(tmp_path: pathlib.Path) -> None:
    """With every column and no row, so that whoever reads the folder finds a table."""
    layout = RowFormat(pa.schema([("text", pa.string())]), frozenset(), single_label=True, adds_id=False)
    last = Ending(str(tmp_path), "parquet", layout, 0.0, fixed_gate(0.8), None, {})

    summary = finish_job(None, [], 0, {}, ColumnTypes(), last)

    table = pq.read_table(tmp_path / "annotations-00000-of-00001.parquet")
    assert (table.num_rows, table.column_names) == (0, ["text", "annotation", "route", "usage"])
    assert summary["records"]["read"] == 0


def test_the_balance_of_nothing_is_even() -> None:
    """An empty input loses nothing."""
    from router.summary import Tally  # noqa: PLC0415

    check_balance(0, Tally())


def test_a_digest_tells_facts_apart() -> None:
    """Also where their texts joined would be the same."""
    assert job_digest("a", "b") == job_digest("a", "b")
    assert len({job_digest("a", "b"), job_digest("ab"), job_digest("a", "c"), job_digest("", "ab")}) == 4


def test_a_last_stage_that_runs_twice_comes_to_the_same(tmp_path: pathlib.Path) -> None:
    """A runner may repeat it after it ended; another run's output is replaced all the same."""
    own = dataclasses.replace(ending(tmp_path), manifest={"run": "one"})
    parts = parts_of(tmp_path)
    first = finish_job(None, parts, 5, BIASES, TYPES, own)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    assert finish_job(None, parts, 5, BIASES, TYPES, own) == json.loads(json.dumps(first))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files

    other = dataclasses.replace(ending(tmp_path), manifest={"run": "two"})
    finish_job(None, parts_of(tmp_path), 5, BIASES, TYPES, other)
    assert json.loads((tmp_path / "state/manifest.json").read_text())["run"] == "two"


def test_a_last_stage_that_died_while_it_published_goes_on(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had moved is not removed, what it had not is moved."""
    own = dataclasses.replace(ending(tmp_path), manifest={"run": "one"})
    parts = parts_of(tmp_path)
    moves: list[str] = []
    move = LocalFileSystem.mv

    def dying(self: LocalFileSystem, source: str, target: str) -> None:
        if len(moves) == 1:
            moves.append("died")
            raise OSError("the worker died")
        moves.append(source)
        move(self, source, target)

    monkeypatch.setattr(LocalFileSystem, "mv", dying)
    with pytest.raises(OSError, match="the worker died"):
        finish_job(None, parts, 5, BIASES, TYPES, own)
    assert not (tmp_path / "summary.json").exists()

    summary = finish_job(None, parts, 5, BIASES, TYPES, own)

    assert summary["records"]["annotated"] == 4
    lines = [
        line for path in sorted(tmp_path.glob("annotations-*")) for line in path.read_text().splitlines()
    ]
    assert [json.loads(line)["id"] for line in lines] == [0, 1, 2, 3]


def test_a_page_that_cannot_be_drawn_costs_no_job(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The rows and the summary are there, and the log says how to get the page."""

    def broken(*_: object) -> None:
        raise RuntimeError("no fonts")

    monkeypatch.setattr("transforms.finish_job.write_report", broken)

    summary = finish_job(None, parts_of(tmp_path), 5, {}, TYPES, ending(tmp_path))

    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert not (tmp_path / "report.html").exists()
    [said] = [record for record in caplog.records if record.name == "transforms.finish_job"]
    assert said.getMessage() == "report.html could not be written; `tekizai report` tries again"
    assert "no fonts" in str(said.exc_info)


def test_the_summary_says_when_the_job_finished(tmp_path: pathlib.Path) -> None:
    """In UTC, so that runs of all places can be put in order."""
    before = datetime.now(timezone.utc).replace(microsecond=0)

    summary = finish_job(None, parts_of(tmp_path), 5, {}, TYPES, ending(tmp_path))

    finished = datetime.fromisoformat(summary["finished"])
    assert before <= finished <= datetime.now(timezone.utc)
    assert summary["finished"].endswith("+00:00")


def test_the_summary_has_the_tables_of_the_rows(tmp_path: pathlib.Path) -> None:
    """Four records of a job without a gold column."""
    summary = finish_job(None, parts_of(tmp_path), 5, {}, TYPES, ending(tmp_path))

    assert summary["by"]["language"] == {
        "en": {"records": 4, "escalated": 0, "usd": "0.002000", "seconds": 2.0}
    }
    assert summary["labels"] == {"mood": {"good": {"records": 4}}}
    assert summary["confidence"]["mood"]["quantiles"] == [0.5, 0.6, 0.7, 0.9]
    assert "gold" not in summary
