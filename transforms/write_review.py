"""Writing the records that a person should look at, for the programs in which to look at them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from router.job_generation import GENERATE
from router.review import order_review
from router.review_formats import label_studio_config, name_of_text, review_task

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from fsspec import AbstractFileSystem

    from router.review import ReviewRow

LINES = "review-00000-of-00001.jsonl"
LIST = "review.json"
"""The same rows as one list, because neither program's import takes JSON Lines."""
CONFIG = "review-label-studio.xml"


def write_review(
    filesystem: AbstractFileSystem,
    folder: str,
    rows: Iterable[ReviewRow],
    tasks: Sequence[Mapping[str, Any]],
    multi_label: Collection[str],
) -> list[bytes]:
    """Write the review files and return the lines of `review-*.jsonl`, the first to look at first.

    Args:
        filesystem: fsspec's, of the output.
        folder: The output folder, as the filesystem names it.
        rows: What all bundles offered.
        tasks: The tasks as the job file has them; where there are none, no configuration is written.
        multi_label: Names of the tasks that take several labels.
    """
    shown = name_of_text([task["name"] for task in tasks])
    written = {task["name"] for task in tasks if task.get("kind") == GENERATE}
    lines = [
        orjson.dumps(
            review_task(row, several=row.task in multi_label, shown=shown, written=row.task in written)
        )
        for row in order_review(rows)
    ]
    with filesystem.open(f"{folder}/{LINES}", "wb") as stream:
        stream.writelines(line + b"\n" for line in lines)
    with filesystem.open(f"{folder}/{LIST}", "wb") as stream:
        stream.write(b"[" + b",\n".join(lines) + b"]\n")
    if tasks:
        with filesystem.open(f"{folder}/{CONFIG}", "w", encoding="utf-8") as stream:
            stream.write(label_studio_config(tasks))
    return lines
