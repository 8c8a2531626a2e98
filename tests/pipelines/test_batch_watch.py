"""What the user hears while a job waits for batches."""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING

from rich.console import Console

from pipelines.batch_watch import BatchWatch, batches_under_way
from router import batch_notes
from tests.transforms.batch_examples import Clock
from transforms.batch_status import BatchStatus, read_statuses, write_status

if TYPE_CHECKING:
    import pathlib

STATUS = BatchStatus("batch_1", "big", 1200, "validating")


def watch(folder: pathlib.Path) -> tuple[BatchWatch, io.StringIO, Clock]:
    """A watch, what it says, and its clock."""
    said, clock = io.StringIO(), Clock()
    return BatchWatch(str(folder), Console(file=said, width=40), clock=clock), said, clock


def test_a_batch_is_spoken_of_when_something_is_new(tmp_path: pathlib.Path) -> None:
    """At once where it moves on, each minute where it only counts, each ten minutes where nothing changes."""
    subject, said, clock = watch(tmp_path)
    heard = []
    for seconds, status in [
        (0, STATUS),
        (1, STATUS),
        (1, dataclasses.replace(STATUS, status="in_progress")),
        (1, dataclasses.replace(STATUS, status="in_progress", completed=10)),
        (60, dataclasses.replace(STATUS, status="in_progress", completed=500)),
        (599, dataclasses.replace(STATUS, status="in_progress", completed=500)),
        (1, dataclasses.replace(STATUS, status="in_progress", completed=500)),
        (1, dataclasses.replace(STATUS, status="completed", completed=1198, failed=2)),
        (9999, dataclasses.replace(STATUS, status="completed", completed=1198, failed=2)),
    ]:
        clock.now += seconds
        write_status(str(tmp_path), "k", status)
        subject.look()
        heard.append(said.getvalue())
        said.truncate(0)
        said.seek(0)

    assert heard == [
        "batch batch_1 submitted: 1,200 requests to big; validating\n",
        "",
        "batch batch_1: in_progress, 0 of 1,200 answered\n",
        "",
        "batch batch_1: in_progress, 500 of 1,200 answered\n",
        "",
        "batch batch_1: in_progress, 500 of 1,200 answered\n",
        "batch batch_1: completed, 1,198 of 1,200 answered, 2 failed\n",
        "",
    ]


def test_an_earlier_runs_batch_is_named_as_such(tmp_path: pathlib.Path) -> None:
    """Nothing was submitted by this run."""
    subject, said, _ = watch(tmp_path)
    write_status(str(tmp_path), "k", dataclasses.replace(STATUS, resumed=True))
    with subject:
        pass

    assert said.getvalue() == (
        "batch batch_1 of an earlier run is taken up: big, validating, 0 of 1,200 answered\n"
    )
    assert read_statuses(str(tmp_path)) == []


def test_notes_that_cannot_be_read_are_left_out(tmp_path: pathlib.Path) -> None:
    """One that is half written, and one of another version."""
    (tmp_path / "batches").mkdir()
    (tmp_path / "batches" / "a.json").write_text('{"id": "batch')
    (tmp_path / "batches" / "b.json").write_text('{"name": "batch"}')

    assert read_statuses(str(tmp_path)) == []


def test_what_goes_on_at_the_provider_is_named(tmp_path: pathlib.Path) -> None:
    """Batches that were submitted and have not ended; nothing where there is none."""
    assert batches_under_way(str(tmp_path)) == ""
    journal = tmp_path / "state" / "journal"
    journal.mkdir(parents=True)
    notes = [batch_notes.planned(key, 1.0, []) for key in "abc"]
    notes += [batch_notes.submitted("a", "batch_a"), batch_notes.submitted("b", "batch_b")]
    (journal / "batch-1-x.jsonl").write_bytes(b"".join(notes))

    assert batches_under_way(str(tmp_path)) == (
        "; 2 batches (batch_a, batch_b) go on at the provider, and the same command picks up the answers"
    )
    (journal / "batch-1-y.jsonl").write_bytes(batch_notes.ended("a", "completed"))
    assert batches_under_way(str(tmp_path)) == (
        "; batch batch_b goes on at the provider, and the same command picks up the answers"
    )
