"""The output folder before a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from pipelines.errors import OutputError
from pipelines.output_folder import claim_output, clear_failed, clear_output
from tests.pipelines.jobs import files_in

if TYPE_CHECKING:
    import pathlib

WRITTEN = (
    "annotations-00000-of-00002.parquet",
    "annotations-00001-of-00002.parquet",
    "dead_letters-00000-of-00001.jsonl",
    "review-00000-of-00001.jsonl",
    "review-label-studio.xml",
    "review.json",
    "evaluation.html",
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


def manifest_of(digest: str = "abc", name: str = "job", **more: Any) -> dict[str, Any]:
    """A manifest with what is looked at."""
    return {"job_digest": digest, "job": {"name": name, **more}, "answers": {"small": {"t": "f00d"}}}


def finish(folder: pathlib.Path, digest: str = "abc", name: str = "job", waiting: int = 0) -> None:
    """Make it look like a finished output."""
    fill(folder, *WRITTEN, "state/manifest.json")
    (folder / "summary.json").write_text(json.dumps({"status": {"llm_unavailable": waiting}}))
    (folder / "state/manifest.json").write_text(json.dumps(manifest_of(digest, name)), encoding="utf-8")


def claim(output: str | pathlib.Path, *, fresh: bool = False, **fields: Any) -> bool:
    """Claim a folder; whether there was nothing to do."""
    return claim_output(str(output), manifest_of(**fields), fresh=fresh).done


def test_a_folder_that_does_not_exist_is_made(tmp_path: pathlib.Path) -> None:
    """With the folders above it."""
    assert claim(tmp_path / "a/b") is False
    assert (tmp_path / "a/b/state").is_dir()


def test_the_finished_output_of_the_same_job_is_left_alone(tmp_path: pathlib.Path) -> None:
    """There is nothing to do."""
    finish(tmp_path)
    before = files_in(tmp_path)

    assert claim(tmp_path) is True
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("manifest", ['{"job": {"name": "other"}}', "{}", "not json", None])
def test_the_finished_output_of_another_job_is_refused(tmp_path: pathlib.Path, manifest: str | None) -> None:
    """Also where nothing tells whose it is; the message says how to go on, and nothing is touched."""
    finish(tmp_path)
    (tmp_path / "state/manifest.json").unlink()
    if manifest is not None:
        (tmp_path / "state/manifest.json").write_text(manifest, encoding="utf-8")
    before = files_in(tmp_path)

    said = (
        r"output of (another job|job 'other'), and this is job 'job'; give another output\.path, or replace "
        r"it with `tekizai run --fresh`$"
    )
    with pytest.raises(OutputError, match=said):
        claim(tmp_path)

    assert files_in(tmp_path) == before


@pytest.mark.parametrize("digest", ["abc", "other"])
def test_fresh_replaces_a_finished_output(tmp_path: pathlib.Path, digest: str) -> None:
    """Whosever it was; other files stay."""
    finish(tmp_path, digest)
    fill(tmp_path, *FOREIGN)

    assert claim(tmp_path, fresh=True) is False
    assert files_in(tmp_path) == sorted((*FOREIGN, "state/manifest.json"))


@pytest.mark.parametrize("left", ["state/parts/annotations-1.jsonl", "state/progress/1.json"])
def test_what_an_interrupted_run_left_is_removed(tmp_path: pathlib.Path, left: str) -> None:
    """It has no summary, which is written last."""
    fill(tmp_path, left, "annotations-00000-of-00002.parquet", "report.html", "evaluation.html", *FOREIGN)

    assert claim(tmp_path) is False
    assert files_in(tmp_path) == sorted((*FOREIGN, "state/manifest.json"))


def test_the_answers_of_an_interrupted_run_are_kept(tmp_path: pathlib.Path) -> None:
    """What it was publishing is not; another job's answers are not touched, and the message says whose."""
    fill(tmp_path, "annotations-00000-of-00002.parquet")
    finish(tmp_path)
    (tmp_path / "summary.json").unlink()
    line = b'{"key":"' + b"0" * 32 + b'","final":true,"usage":{}}\n'
    fill(tmp_path, "state/journal/slm-f00d-1.jsonl", "state/parts/x")
    (tmp_path / "state/journal/slm-f00d-1.jsonl").write_bytes(line)

    with pytest.raises(OutputError, match="answers of an interrupted run of job 'job', and this is job 'b'"):
        claim(tmp_path, name="b")
    found = claim_output(str(tmp_path), manifest_of("new"), fresh=False)

    assert found.lines == ("continuing: 1 answers are in the journal and are not asked for again",)
    assert files_in(tmp_path) == ["state/journal/slm-f00d-1.jsonl", "state/manifest.json"]
    assert claim(tmp_path, fresh=True) is False
    assert files_in(tmp_path) == ["state/manifest.json"]


def test_a_finished_output_of_a_changed_job_stays_until_it_is_replaced(tmp_path: pathlib.Path) -> None:
    """The run that is to replace it may fail; its manifest stays with it."""
    finish(tmp_path)
    before = files_in(tmp_path)

    assert claim(tmp_path, digest="changed") is False
    assert files_in(tmp_path) == before
    assert json.loads((tmp_path / "state/manifest.json").read_text())["job_digest"] == "abc"
    assert clear_failed(str(tmp_path)) is False
    assert files_in(tmp_path) == before


def test_records_that_wait_for_a_model_are_a_reason_to_run_again(tmp_path: pathlib.Path) -> None:
    """The endpoint was dead; the same command asks again."""
    finish(tmp_path, waiting=3)

    found = claim_output(str(tmp_path), manifest_of(), fresh=False)

    assert not found.done
    assert found.lines == ("3 records had no answer from a model that was not available: it is asked again",)


@pytest.mark.parametrize("name", ["annotations-00000-of-00001.parquet", "report.html"])
def test_files_that_no_run_left_are_not_replaced(tmp_path: pathlib.Path, name: str) -> None:
    """Someone put them there; the message names one."""
    fill(tmp_path, name)

    with pytest.raises(OutputError, match=f"holds {name}, which a run would replace"):
        claim(tmp_path)

    assert files_in(tmp_path) == [name]


def test_a_folder_with_other_files_is_used(tmp_path: pathlib.Path) -> None:
    """They are none of the run's business."""
    fill(tmp_path, *FOREIGN)

    assert claim(tmp_path) is False
    assert files_in(tmp_path) == sorted((*FOREIGN, "state/manifest.json"))


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
        claim(tmp_path / "file/out")


def test_an_unknown_filesystem_is_refused() -> None:
    """A misspelt protocol is an error of the job file."""
    with pytest.raises(OutputError, match=r"s4://bucket/out cannot be written"):
        claim("s4://bucket/out")


def test_object_stores_have_no_folders() -> None:
    """The same on a filesystem that knows files only."""
    store = fsspec.filesystem("memory")
    for name in ("summary.json", "annotations-00000-of-00001.jsonl", "state/manifest.json", "notes.md"):
        store.pipe_file(f"/claims/out/{name}", json.dumps(manifest_of()).encode())
    try:
        assert claim("memory://claims/out") is True
        assert claim("memory://claims/out", fresh=True) is False
        assert store.find("/claims/out") == ["/claims/out/notes.md", "/claims/out/state/manifest.json"]
    finally:
        store.rm("/claims", recursive=True)


def test_a_worker_that_still_writes_does_not_silence_the_end(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be removed just then is left to the next run; the user hears that the answers are kept."""
    fill(tmp_path, "state/parts/a.jsonl", "state/journal/llm-1-a.jsonl")

    def busy(*_: Any, **__: Any) -> None:
        raise OSError(39, "Directory not empty")

    monkeypatch.setattr(type(fsspec.filesystem("file")), "rm", busy)

    assert clear_failed(str(tmp_path)) is True
