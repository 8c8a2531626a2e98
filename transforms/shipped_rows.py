"""The labelled rows that were written for Tekizai's router: data/router/rows (see data/README.md)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from router.assets import asset_path

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = "data/router/rows"


def shipped_rows(head: str) -> Iterator[tuple[str, str]]:
    """Texts with their labels, for the heads `task` and `domain`; there are none for others."""
    for path in sorted(asset_path(ROWS).glob(f"{head}_*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            yield row["text"], row["label"]
