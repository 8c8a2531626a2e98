"""Reading holds little at a time, however large files and row groups are."""

from __future__ import annotations

import random
import tracemalloc
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from router.job import Input
from transforms.reading import plan_input, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIB = 1 << 20
ROWS = 60_000


def texts() -> list[str]:
    """60 MB of texts that do not compress well."""
    source = random.Random(1)
    return [source.randbytes(500).hex() for _ in range(ROWS)]


def peak_of(columns: Input) -> tuple[int, int]:
    """Rows read with payloads as one split, and the most bytes that Python and Arrow held meanwhile."""
    plan = plan_input(columns, split_bytes=1 << 40)
    arrow_before = pa.total_allocated_bytes()
    rows = arrow_peak = 0
    tracemalloc.start()
    try:
        for split in plan.splits:
            for _ in read_rows(split, columns, schema=plan.schema, with_payload=True):
                rows += 1
                if rows % 100 == 0:
                    arrow_peak = max(arrow_peak, pa.total_allocated_bytes() - arrow_before)
        python_peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return rows, python_peak + arrow_peak


def write_parquet(path: Path) -> None:
    """One row group of 60 MB."""
    pq.write_table(pa.table({"text": texts(), "n": range(ROWS)}), path, row_group_size=ROWS)


def write_jsonl(path: Path) -> None:
    """60,000 lines."""
    path.write_text("".join(f'{{"text": "{text}"}}\n' for text in texts()))


@pytest.mark.parametrize(("suffix", "write"), [("parquet", write_parquet), ("jsonl", write_jsonl)])
def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, suffix: str, write: Callable[[Path], None]
) -> None:
    """A file of 60 MB is read with less than 40 MB held at any time."""
    path = tmp_path / f"large.{suffix}"
    write(path)

    rows, peak = peak_of(Input(path=str(path)))

    assert rows == ROWS
    assert peak < 40 * MIB, f"{peak / MIB:.0f} MiB"
