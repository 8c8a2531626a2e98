"""How far a job's batches are, left by the worker that waits for them for whoever started the job."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass

import fsspec

FOLDER = "batches"
"""Below the output's state folder."""


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """What the provider said of a batch when it was looked at last."""

    id: str
    model: str
    """The model's name in the job file."""
    requests: int
    status: str
    completed: int = 0
    failed: int = 0
    resumed: bool = False
    """Whether an earlier run submitted it."""


def write_status(state: str, key: str, status: BatchStatus) -> None:
    """Leave a note in the state folder. Raises `OSError` where that cannot be written."""
    filesystem, folder = fsspec.core.url_to_fs(state)
    filesystem.makedirs(f"{folder}/{FOLDER}", exist_ok=True)
    filesystem.pipe_file(f"{folder}/{FOLDER}/{key}.json", json.dumps(asdict(status)).encode())


def read_statuses(state: str) -> list[BatchStatus]:
    """All notes; one that is being written just then is left out. Raises `OSError`."""
    filesystem, folder = fsspec.core.url_to_fs(state)
    filesystem.invalidate_cache()
    found = []
    for name in sorted(filesystem.glob(f"{folder}/{FOLDER}/*.json")):
        with contextlib.suppress(ValueError, TypeError, FileNotFoundError):
            found.append(BatchStatus(**json.loads(filesystem.cat_file(name))))
    return found


def clear_statuses(state: str) -> None:
    """Remove all notes. Raises `OSError`."""
    filesystem, folder = fsspec.core.url_to_fs(state)
    filesystem.invalidate_cache()
    if filesystem.exists(f"{folder}/{FOLDER}"):
        filesystem.rm(f"{folder}/{FOLDER}", recursive=True)
