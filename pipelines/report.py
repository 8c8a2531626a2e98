"""`tekizai report`: the page of a finished output anew, or one page about several outputs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import fsspec

from pipelines.console import say
from pipelines.errors import OutputError
from pipelines.history import compare_outputs, write_history
from transforms.output_tables import read_output_tables
from transforms.write_report import Outcome, write_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console


def report_output(output: str, console: Console) -> None:
    """Write `report.html` of a finished output anew. Raises `OutputError` where there is no such output."""
    filesystem, folder = fsspec.core.url_to_fs(output.rstrip("/"))
    if not filesystem.exists(f"{folder}/summary.json"):
        raise OutputError(f"{output}: there is no summary.json; give the output folder of a finished job")
    state = f"{folder}/state/manifest.json"
    manifest = json.loads(filesystem.cat_file(state)) if filesystem.exists(state) else {}
    review = [
        line
        for path in sorted(filesystem.glob(f"{folder}/review-*.jsonl"))
        for line in filesystem.cat_file(path).splitlines()
    ]
    summary = json.loads(filesystem.cat_file(f"{folder}/summary.json"))
    tables = read_output_tables(filesystem, folder, manifest)
    write_report(filesystem, folder, Outcome(summary, manifest, review, tables))
    say(console, f"wrote {output.rstrip('/')}/report.html")


def report_outputs(outputs: Sequence[str], to: str | None, console: Console, *, as_json: bool) -> str | None:
    """Write one page about several outputs; or return the figures as JSON text.

    Raises `OutputError` where none of the outputs is finished, or the page cannot be written.
    """
    found, left_out = compare_outputs(outputs)
    for output in left_out:
        say(console, f"{output}: left out, because there is no summary.json")
    if len(found["jobs"]) > 1:
        names = ", ".join(str(job["name"]) for job in found["jobs"])
        say(console, f"the outputs are of {len(found['jobs'])} different jobs, each shown by itself: {names}")
    if to is not None or not as_json:
        address = to or "history.html"
        write_history(found, left_out, address)
        say(console, f"wrote {address}")
    return json.dumps(found, ensure_ascii=False, indent=1) if as_json else None
