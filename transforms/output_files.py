"""The files that a job publishes, with the page about them, and how an output stops being one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_PUBLISHED = re.compile(r"(annotations|dead_letters|review)-\d{5,}-of-\d{5,}\.(parquet|jsonl)")
EVALUATION = "evaluation.html"
"""The page that `tekizai evaluate` writes; it describes the rows beside it and goes with them."""
_PAGES = ("summary.json", "report.html", EVALUATION, "review.json", "review-label-studio.xml")


def published_files(filesystem: AbstractFileSystem, folder: str) -> list[str]:
    """Paths of what a job has published in a folder, its evaluation too; the summary first."""
    if not filesystem.isdir(folder):
        return []
    filesystem.invalidate_cache(folder)
    paths = filesystem.ls(folder, detail=False)
    names = {path.rpartition("/")[2]: path for path in sorted(paths)}
    pages = [names[page] for page in _PAGES if page in names]
    return pages + [path for name, path in names.items() if _PUBLISHED.fullmatch(name)]


def annotation_files(filesystem: AbstractFileSystem, folder: str) -> list[str]:
    """Paths of the annotations that a job has published in a folder, in the order of the input."""
    names = ((path, path.rpartition("/")[2]) for path in published_files(filesystem, folder))
    return [path for path, name in names if name.startswith("annotations-")]


def remove_published(filesystem: AbstractFileSystem, folder: str) -> None:
    """Remove what a job has published; without its summary, which goes first, the rest is no output."""
    for path in published_files(filesystem, folder):
        filesystem.rm(path)
