"""Writing the page that shows a job's outcome into its output folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CALIBRATION = "state/calibration/calibration.json"


@dataclass(frozen=True)
class Outcome:
    """What a report tells."""

    summary: Mapping[str, Any]
    """The contents of `summary.json`."""
    manifest: Mapping[str, Any]
    """Those of `state/manifest.json`, which know the job's name and labels; may be empty."""
    review: Sequence[bytes]
    """The lines of `review-*.jsonl`, in their order."""
    tables: Mapping[str, Any] | None = None
    """What `transforms.output_tables` finds in the rows; None where they are not there."""


def write_report(
    filesystem: Any,  # noqa: ANN401 - fsspec
    folder: str,
    outcome: Outcome,
) -> None:
    """Write `report.html`, replacing one that is there.

    Args:
        filesystem: fsspec's, of the output.
        folder: The output folder, as the filesystem names it.
        outcome: What it tells.
    """
    # The charts' library takes half a second to load, and no worker needs it before a job ends.
    from router.report import render_report, with_names  # noqa: PLC0415

    page = render_report(
        with_names(outcome.summary, outcome.manifest),
        [orjson.loads(line) for line in outcome.review],
        tables=outcome.tables,
        manifest=outcome.manifest,
        certifying=_certifying(filesystem, folder),
    )
    with filesystem.open(f"{folder}/report.html", "w", encoding="utf-8") as stream:
        stream.write(page)


def _certifying(filesystem: Any, folder: str) -> Mapping[str, Any] | None:  # noqa: ANN401 - fsspec
    """The rows that certified the gate; None where this output made no calibration of its own."""
    path = f"{folder}/{CALIBRATION}"
    if not filesystem.exists(path):
        return None
    found: Mapping[str, Any] | None = json.loads(filesystem.cat_file(path)).get("certifying")
    return found
