"""The output folder before a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import fsspec
import pytest

from pipelines.errors import OutputError
from pipelines.output_folder import claim_output, clear_output
from tests.pipelines.jobs import files_in

if TYPE_CHECKING:
    import pathlib

WRITTEN = (
    "annotations-00000-of-00002.parquet",
    "annotations-00001-of-00002.parquet",
    "dead_letters-00000-of-00001.jsonl",
    "review-00000-of-00001.jsonl",
    "report.html",
    "summary.json",
)
FOREIGN = (
    "annotations-old.jsonl",
    "annotations.parquet",
    "notes.md",
    "review-00000-of-00001.csv",
    "state/mine.txt",
    "sub/annotations-00000-of-00001.parquet",
)


def fill(folder: pathlib.Path, *names: str) -> None:
    """Make files with something in them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x", encoding="utf-8")


def finish(folder: pathlib.Path, digest: str = "abc") -> None:
    """Make it look like a finished output."""
    fill(folder, *WRITTEN, "state/manifest.json")
    (folder / "state/manifest.json").write_text(json.dumps({"job_digest": digest}), encoding="utf-8")


def test_a_folder_that_does_not_exist_is_made(tmp_path: pathlib.Path) -> None:
    """With the folders above it."""
    assert claim_output(str(tmp_path / "a/b"), "abc", fresh=False) is False
    assert (tmp_path / "a/b/state").is_dir()


def test_the_finished_output_of_the_same_job_is_left_alone(tmp_path: pathlib.Path) -> None:
    """There is nothing to do."""
    finish(tmp_path)
    before = files_in(tmp_path)

    assert claim_output(str(tmp_path), "abc", fresh=False) is True
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("manifest", ['{"job_digest": "other"}', "{}", "not json", None])
def test_the_finished_output_of_another_job_is_refused(tmp_path: pathlib.Path, manifest: str | None) -> None:
    """Also where nothing tells whose it is; the message says how to go on, and nothing is touched."""
    finish(tmp_path)
    (tmp_path / "state/manifest.json").unlink()
    if manifest is not None:
        (tmp_path / "state/manifest.json").write_text(manifest, encoding="utf-8")
    before = files_in(tmp_path)

    with pytest.raises(OutputError, match=r"output of another job.*give another output\.path, or --fresh"):
        claim_output(str(tmp_path), "abc", fresh=False)

    assert files_in(tmp_path) == before


@pytest.mark.parametrize("digest", ["abc", "other"])
def test_fresh_replaces_a_finished_output(tmp_path: pathlib.Path, digest: str) -> None:
    """Whosever it was; other files stay."""
    finish(tmp_path, digest)
    fill(tmp_path, *FOREIGN)

    assert claim_output(str(tmp_path), "abc", fresh=True) is False
    assert files_in(tmp_path) == sorted(FOREIGN)


@pytest.mark.parametrize("left", ["state/parts/annotations-1.jsonl", "state/progress/1.json"])
def test_what_an_interrupted_run_left_is_removed(tmp_path: pathlib.Path, left: str) -> None:
    """It has no summary, which is written last."""
    fill(tmp_path, left, "annotations-00000-of-00002.parquet", "report.html", *FOREIGN)

    assert claim_output(str(tmp_path), "abc", fresh=False) is False
    assert files_in(tmp_path) == sorted(FOREIGN)


@pytest.mark.parametrize("name", ["annotations-00000-of-00001.parquet", "report.html"])
def test_files_that_no_run_left_are_not_replaced(tmp_path: pathlib.Path, name: str) -> None:
    """Someone put them there; the message names one."""
    fill(tmp_path, name)

    with pytest.raises(OutputError, match=f"holds {name}, which a run would replace"):
        claim_output(str(tmp_path), "abc", fresh=False)

    assert files_in(tmp_path) == [name]


def test_a_folder_with_other_files_is_used(tmp_path: pathlib.Path) -> None:
    """They are none of the run's business."""
    fill(tmp_path, *FOREIGN)

    assert claim_output(str(tmp_path), "abc", fresh=False) is False
    assert files_in(tmp_path) == sorted(FOREIGN)


def test_clearing_removes_an_empty_state_folder(tmp_path: pathlib.Path) -> None:
    """A failed run leaves nothing; clearing twice, or what is not there, is no error."""
    finish(tmp_path)

    clear_output(str(tmp_path))
    clear_output(str(tmp_path))
    clear_output(str(tmp_path / "nowhere"))

    assert list(tmp_path.iterdir()) == []


def test_a_path_that_is_no_folder_is_refused(tmp_path: pathlib.Path) -> None:
    """The message names it and says what to do."""
    fill(tmp_path, "file")

    with pytest.raises(OutputError, match=r"file/out cannot be written .*choose another folder"):
        claim_output(str(tmp_path / "file/out"), "abc", fresh=False)


def test_an_unknown_filesystem_is_refused() -> None:
    """A misspelt protocol is an error of the job file."""
    with pytest.raises(OutputError, match=r"s4://bucket/out cannot be written"):
        claim_output("s4://bucket/out", "abc", fresh=False)


def test_object_stores_have_no_folders() -> None:
    """The same on a filesystem that knows files only."""
    store = fsspec.filesystem("memory")
    for name in ("summary.json", "annotations-00000-of-00001.jsonl", "state/manifest.json", "notes.md"):
        store.pipe_file(f"/bucket/out/{name}", b'{"job_digest": "abc"}')
    try:
        assert claim_output("memory://bucket/out", "abc", fresh=False) is True
        assert claim_output("memory://bucket/out", "abc", fresh=True) is False
        assert store.find("/bucket/out") == ["/bucket/out/notes.md"]
    finally:
        store.rm("/bucket", recursive=True)
