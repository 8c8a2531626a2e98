"""The output folder before and after a run: what is there already, what of it counts, and what is removed."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fsspec

from pipelines.changes import describe_changes
from pipelines.errors import OutputError, writing_to
from pipelines.references import FOLDER as REFERENCES
from pipelines.remote_job import REMOTE
from router.records import Reason, Status
from transforms.batch_journal import open_batches
from transforms.journal_scan import count_answers
from transforms.output_files import published_files, remove_published

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fsspec import AbstractFileSystem

LEDGER = "budget.sqlite"
# What a run keeps in the state folder; another program's folder of that name may hold other things.
_PASSING = ("parts", "progress", "publishing", "batches", REMOTE)
_LASTING = ("journal", "calibration", "manifest.json", "plan.json", REFERENCES, LEDGER)


@dataclass(frozen=True)
class Claim:
    """What a run finds in its output folder."""

    done: bool
    """Whether the finished output of this very job is there."""
    lines: tuple[str, ...] = ()
    """What the user should know of what was there."""


def claim_output(output: str, manifest: Mapping[str, Any], *, fresh: bool) -> Claim:
    """Make the folder ready for a run, unless the finished output of this very job is there.

    Answers that an earlier run of the job left are kept; `fresh` removes them too. A finished output stays
    until the new one takes its place. Nothing that no run wrote is ever removed.

    Args:
        output: URL of the folder.
        manifest: of the run that is to begin; the next run will find it there.
        fresh: whether to start over.

    Raises:
        OutputError: the folder holds what another job left, or files that a run would replace and that no
            run can have left, or it cannot be written.
    """
    with writing_to(output):
        filesystem, folder = fsspec.core.url_to_fs(output)
        claim = Claim(done=False)
        if fresh:
            claim = Claim(done=False, lines=_left_behind(f"{output.rstrip('/')}/state/journal"))
            clear_output(output)
        else:
            claim = _look(filesystem, folder, manifest, f"{output.rstrip('/')}/state/journal")
        if not claim.done:
            _clear_passing(filesystem, folder)
            _write_manifest(filesystem, folder, manifest)
    return claim


def _look(filesystem: AbstractFileSystem, folder: str, manifest: Mapping[str, Any], journal: str) -> Claim:
    filesystem.invalidate_cache()
    summary = _read_json(filesystem, f"{folder}/summary.json")
    earlier = _read_json(filesystem, f"{folder}/state/manifest.json") or {}
    if summary is None:
        _check_unused(filesystem, folder)
        if not earlier:
            return Claim(done=False)
    _check_same_name(folder, earlier, manifest, finished=summary is not None)
    waiting = 0 if summary is None else waiting_records(summary)
    if summary is not None and earlier.get("job_digest") == manifest["job_digest"] and not waiting:
        return Claim(done=True)
    lines = describe_changes(earlier, manifest, count_answers(journal))
    if waiting:
        said = f"{waiting:,} records had no answer from a model that was not available: it is asked again"
        lines.insert(0, said)
    return Claim(done=False, lines=tuple(lines))


def _left_behind(journal: str) -> tuple[str, ...]:
    """What starting over does not undo."""
    return tuple(
        f"batch {one.id} of the earlier run goes on at the provider, and its answers are paid and not used: "
        "cancel it there"
        for one in open_batches(journal)
        if one.id is not None
    )


def waiting_records(summary: Mapping[str, Any]) -> int:
    """How many records of a finished output wait for a model that was not available."""
    answers, letters = summary.get("status", {}), summary.get("dead_letters", {})
    found = answers.get(Status.LLM_UNAVAILABLE.value, 0) + letters.get(Reason.LLM_UNAVAILABLE.value, 0)
    return int(found) + int(summary.get("judge", {}).get("unavailable", 0))


def _check_same_name(
    folder: str, earlier: Mapping[str, Any], manifest: Mapping[str, Any], *, finished: bool
) -> None:
    before, now = earlier.get("job", {}).get("name"), manifest["job"]["name"]
    if before == now:
        return
    what = "finished output" if finished else "answers of an interrupted run"
    whose = f"job {before!r}" if before else "another job"
    raise OutputError(
        f"output.path: {folder} holds the {what} of {whose}, and this is job {now!r}; give another "
        "output.path, or replace it with `tekizai run --fresh`"
    )


def clear_output(output: str) -> None:
    """Remove what a run writes, its journal too, and nothing else, from an output folder."""
    filesystem, folder = fsspec.core.url_to_fs(output)
    remove_published(filesystem, folder)
    _clear_passing(filesystem, folder)
    for name in _LASTING:
        _remove(filesystem, f"{folder}/state/{name}")
    _remove_if_empty(filesystem, f"{folder}/state")


def clear_failed(output: str) -> bool:
    """Remove what a run that failed left half done; answers are kept. Returns whether there are any."""
    filesystem, folder = fsspec.core.url_to_fs(output)
    # A worker that is ending may write there still; the next run removes that.
    with contextlib.suppress(OSError):
        _clear_passing(filesystem, folder)
    filesystem.invalidate_cache()
    # What the router found is no answer: nobody asked a model yet.
    if any(not path.rpartition("/")[2].startswith("route-") for path in _journal_files(filesystem, folder)):
        return True
    if not filesystem.exists(f"{folder}/summary.json"):
        clear_output(output)
    return False


def _journal_files(filesystem: AbstractFileSystem, folder: str) -> list[str]:
    try:
        paths: list[str] = filesystem.ls(f"{folder}/state/journal", detail=False)
    except FileNotFoundError:
        return []
    return paths


def _clear_passing(filesystem: AbstractFileSystem, folder: str) -> None:
    # Without a summary, files under final names are from a run that died while it published them.
    if not filesystem.exists(f"{folder}/summary.json"):
        remove_published(filesystem, folder)
    for name in _PASSING:
        _remove(filesystem, f"{folder}/state/{name}")


def _write_manifest(filesystem: AbstractFileSystem, folder: str, manifest: Mapping[str, Any]) -> None:
    filesystem.makedirs(f"{folder}/state", exist_ok=True)
    # A finished output keeps the manifest it was made with until it is replaced.
    if not filesystem.exists(f"{folder}/summary.json"):
        data = json.dumps(manifest, ensure_ascii=False, indent=1).encode()
        filesystem.pipe_file(f"{folder}/state/manifest.json", data)


def _read_json(filesystem: AbstractFileSystem, path: str) -> dict[str, Any] | None:
    """The object in a file; None where there is no such file, nothing in it where it is no JSON object."""
    if not filesystem.exists(path):
        return None
    try:
        found = json.loads(filesystem.cat_file(path))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _check_unused(filesystem: AbstractFileSystem, folder: str) -> None:
    if any(filesystem.exists(f"{folder}/state/{name}") for name in (*_PASSING, *_LASTING)):
        return  # an interrupted run was here
    found = published_files(filesystem, folder)
    if found:
        raise OutputError(
            f"output.path: {folder} holds {found[0].rpartition('/')[2]}, which a run would replace and which "
            "no interrupted run left; give another output.path, or replace it with `tekizai run --fresh`"
        )


def _remove(filesystem: AbstractFileSystem, path: str) -> None:
    if filesystem.exists(path):
        filesystem.rm(path, recursive=True)


def _remove_if_empty(filesystem: AbstractFileSystem, folder: str) -> None:
    # Object stores have no empty folders.
    filesystem.invalidate_cache()
    if filesystem.isdir(folder) and not filesystem.ls(folder):
        filesystem.rmdir(folder)
