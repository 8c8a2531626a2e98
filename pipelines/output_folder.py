"""The output folder before a run: whether a finished output is there already, and clearing what runs left."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import fsspec

from pipelines.errors import OutputError
from transforms.splits import one_line

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_WRITTEN = re.compile(r"(annotations|dead_letters|review)-\d{5,}-of-\d{5,}\.(parquet|jsonl)")
_PAGES = ("summary.json", "report.html")
# What a run keeps in the state folder; another program's folder of that name may hold other things.
_STATE = ("parts", "progress", "manifest.json")


def claim_output(output: str, job_digest: str, *, fresh: bool) -> bool:
    """Whether the finished output of this very job is there; if not, the folder is made ready for a run.

    What an interrupted run left is removed, with `fresh` a finished output too, and never anything else.

    Raises:
        OutputError: a finished output of another job is there, or files that a run would replace and that no
            interrupted run can have left, or the folder cannot be written.
    """
    try:
        filesystem, folder = fsspec.core.url_to_fs(output)
        if not fresh and filesystem.exists(f"{folder}/summary.json"):
            _check_same_job(filesystem, folder, job_digest)
            return True
        if not fresh:
            _check_unused(filesystem, folder)
        clear_output(output)
        filesystem.makedirs(f"{folder}/state", exist_ok=True)
    except OutputError:
        raise
    # Every filesystem has exception types of its own, and here all of them mean the same to the user.
    except Exception as error:
        raise OutputError(
            f"output.path: {output} cannot be written ({one_line(error)}); choose another folder, or check "
            "the address and the credentials"
        ) from error
    return False


def clear_output(output: str) -> None:
    """Remove what a run writes, and nothing else, from an output folder."""
    filesystem, folder = fsspec.core.url_to_fs(output)
    # The summary goes first: without it the rest does not count as an output.
    for path in [*(f"{folder}/{page}" for page in _PAGES), *_written(filesystem, folder)]:
        if filesystem.exists(path):
            filesystem.rm(path)
    for name in _STATE:
        if filesystem.exists(f"{folder}/state/{name}"):
            filesystem.rm(f"{folder}/state/{name}", recursive=True)
    # Object stores have no empty folders.
    if filesystem.isdir(f"{folder}/state") and not filesystem.ls(f"{folder}/state"):
        filesystem.rmdir(f"{folder}/state")


def _written(filesystem: AbstractFileSystem, folder: str) -> list[str]:
    if not filesystem.isdir(folder):
        return []
    paths = filesystem.ls(folder, detail=False)
    return sorted(path for path in paths if _WRITTEN.fullmatch(path.rpartition("/")[2]))


def _check_same_job(filesystem: AbstractFileSystem, folder: str, job_digest: str) -> None:
    try:
        manifest = json.loads(filesystem.cat_file(f"{folder}/state/manifest.json"))
    except (OSError, ValueError):
        manifest = {}
    if manifest.get("job_digest") != job_digest:
        raise OutputError(
            f"output.path: {folder} holds the finished output of another job, or of this one with other "
            "settings, input or models; give another output.path, or --fresh to replace it"
        )


def _check_unused(filesystem: AbstractFileSystem, folder: str) -> None:
    if any(filesystem.exists(f"{folder}/state/{name}") for name in _STATE):
        return  # an interrupted run was here
    pages = [f"{folder}/{page}" for page in _PAGES if filesystem.exists(f"{folder}/{page}")]
    found = pages + _written(filesystem, folder)
    if found:
        raise OutputError(
            f"output.path: {folder} holds {found[0].rpartition('/')[2]}, which a run would replace and which "
            "no interrupted run left; give another output.path, or --fresh to replace it"
        )
