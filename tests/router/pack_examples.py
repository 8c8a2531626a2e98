"""A small pack in a folder, for tests."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    import pathlib

MOOD: dict[str, Any] = {
    "name": "mood",
    "summary": "The mood of a note.",
    "languages": ["en"],
    "licence": "Apache-2.0",
    "sources": [
        {
            "what": "all",
            "from": "written for a test",
            "licence": "Apache-2.0",
            "checked": "2026-11-26",
        }
    ],
    "task": {
        "name": "mood",
        "instruction": "Say the mood.",
        "labels": [
            {"name": "bad", "description": "the writer is sad"},
            {"name": "good", "description": "the writer is glad"},
            {"name": "mixed"},
        ],
        "examples": [{"text": "Alas.", "label": "bad"}, {"text": "Hurrah!", "label": "good"}],
    },
    "measured": "nothing",
}


def write_pack(folder: pathlib.Path, **changes: Any) -> str:
    """Write the pack into a folder, with other values for some keys; returns the folder as a job names it."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {**copy.deepcopy(MOOD), **changes}
    (folder / "pack.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    return str(folder)
