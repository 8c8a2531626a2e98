"""`tekizai report` of several outputs: they are read, compared, and shown on one page."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import fsspec

from pipelines.errors import OutputError
from router.history import Run, history
from transforms.output_tables import read_output_tables
from transforms.splits import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fsspec import AbstractFileSystem


def compare_outputs(outputs: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """What `router.history` finds in finished outputs, and which of the outputs are not finished.

    Raises:
        OutputError: none of them is finished.
    """
    # A glob and a name may both say the same folder.
    urls = list(dict.fromkeys(output.rstrip("/") for output in outputs))
    runs = [_read_run(url) for url in urls]
    known = [run for run in runs if run is not None]
    if not known:
        raise OutputError(
            f"{urls[0]}: there is no summary.json, nor in any other of the {len(urls)} outputs; give the "
            "output folders of finished jobs"
        )
    return history(known), [url for url, run in zip(urls, runs, strict=True) if run is None]


def write_history(found: Mapping[str, Any], left_out: Sequence[str], address: str) -> None:
    """Write the page about several runs to a URL. Raises `OutputError` where that cannot be written."""
    # The charts' library takes half a second to load, and --json needs none.
    from router.history_page import render_history  # noqa: PLC0415

    page = render_history(found, left_out)
    try:
        with fsspec.open(address, "w", encoding="utf-8") as stream:
            stream.write(page)
    # Every filesystem has exception types of its own, and here all of them mean the same to the user.
    except Exception as error:
        raise OutputError(f"--to: {address} cannot be written ({one_line(error)})") from error


def _read_run(url: str) -> Run | None:
    filesystem, folder = fsspec.core.url_to_fs(url)
    if not filesystem.exists(f"{folder}/summary.json"):
        return None
    summary = json.loads(filesystem.cat_file(f"{folder}/summary.json"))
    state = f"{folder}/state/manifest.json"
    manifest = json.loads(filesystem.cat_file(state)) if filesystem.exists(state) else {}
    tables = summary
    if "confidence" not in summary:
        # Written before summaries had them: the rows know.
        tables = read_output_tables(filesystem, folder, manifest) or {}
        if tables.get("gold"):
            summary["gold"] = tables["gold"]
    return Run(
        url,
        _finished(filesystem, folder, summary),
        summary,
        manifest,
        tables.get("confidence", {}),
        tables.get("labels", {}),
    )


def _finished(filesystem: AbstractFileSystem, folder: str, summary: Mapping[str, Any]) -> datetime:
    """When the run ended: as the summary says, else when that was written, which comes last."""
    if "finished" in summary:
        return datetime.fromisoformat(summary["finished"].replace("Z", "+00:00"))
    written: datetime = filesystem.modified(f"{folder}/summary.json")
    return written if written.tzinfo is not None else written.replace(tzinfo=timezone.utc)
