"""The plan that `tekizai plan` leaves in an output's state folder, for the run to compare itself with."""

from __future__ import annotations

import json
from typing import Any

import fsspec

PLAN_FILE = "plan.json"


def stored_plan(state: str, job_digest: str) -> dict[str, Any] | None:
    """The plan that was made for this very job; None where there is none."""
    filesystem, folder = fsspec.core.url_to_fs(state)
    path = f"{folder}/{PLAN_FILE}"
    if not filesystem.exists(path):
        return None
    value: dict[str, Any] = json.loads(filesystem.cat_file(path))
    return value if value.get("job_digest") == job_digest else None
