"""Writing the page that shows a job's outcome into its output folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from router.report import render_report, with_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def write_report(
    filesystem: Any,  # noqa: ANN401 - fsspec
    folder: str,
    summary: Mapping[str, Any],
    manifest: Mapping[str, Any],
    review: Iterable[bytes],
) -> None:
    """Write `report.html`, replacing one that is there.

    Args:
        filesystem: fsspec's, of the output.
        folder: The output folder, as the filesystem names it.
        summary: The contents of `summary.json`.
        manifest: Those of `state/manifest.json`, which know the job's name and labels; may be empty.
        review: The lines of `review-*.jsonl`, in their order.
    """
    page = render_report(with_names(summary, manifest), [orjson.loads(line) for line in review])
    with filesystem.open(f"{folder}/report.html", "w", encoding="utf-8") as stream:
        stream.write(page)
