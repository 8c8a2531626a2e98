"""Notes on how far a job is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import apache_beam as beam
from apache_beam.testing.util import assert_that, equal_to

from tests.transforms.local_pipeline import local_pipeline
from transforms.progress import CountProgress, ProgressNote, read_progress

if TYPE_CHECKING:
    import pathlib

    import pytest


def notes(state: pathlib.Path) -> list[dict[str, int]]:
    """The contents of the notes that are there."""
    return [json.loads(path.read_text()) for path in (state / "progress").iterdir()]


def test_nothing_is_known_before_the_first_note(tmp_path: pathlib.Path) -> None:
    """The folder need not exist."""
    assert read_progress(str(tmp_path / "state")) == {}


def test_the_notes_of_all_workers_add_up(tmp_path: pathlib.Path) -> None:
    """Each has a file of its own and counts what it did."""
    one, two = ProgressNote(str(tmp_path)), ProgressNote(str(tmp_path))

    one.add(read=3, annotated=1)
    two.add(read=4)

    assert read_progress(str(tmp_path)) == {"read": 7, "annotated": 1}
    assert len(notes(tmp_path)) == 2


def test_what_passes_is_counted_and_passed_on(tmp_path: pathlib.Path) -> None:
    """All of it, whatever the half second: a bundle's end writes what is left."""
    with local_pipeline() as pipeline:
        numbers = pipeline | beam.Create(range(50)) | beam.ParDo(CountProgress(str(tmp_path), "asked"))
        assert_that(numbers, equal_to(range(50)))

    assert read_progress(str(tmp_path)) == {"asked": 50}


def test_a_note_is_written_now_and_then(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most every half second, because a fast job counts thousands a second; and when it is asked to."""
    now = 100.0
    monkeypatch.setattr("transforms.progress.time.monotonic", lambda: now)
    note = ProgressNote(str(tmp_path))

    note.add(read=1)
    note.add(read=1)
    assert notes(tmp_path) == [{"read": 1}]

    now = 100.5
    note.add(read=1)
    assert notes(tmp_path) == [{"read": 3}]

    note.add(read=1)
    note.write()
    assert notes(tmp_path) == [{"read": 4}]


def test_a_note_that_is_being_written_is_left_out(tmp_path: pathlib.Path) -> None:
    """It will be whole at the next look."""
    ProgressNote(str(tmp_path)).add(read=2)
    (tmp_path / "progress" / "half.json").write_text('{"read": 1')
    (tmp_path / "progress" / "empty.json").write_text("")

    assert read_progress(str(tmp_path)) == {"read": 2}
