"""Reading from S3: against a real server that speaks its protocol, on this machine."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from router.job import Input
from transforms.reading import InputError, Row, plan_input, read_rows

s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")

TEXTS = [f"text {number}" for number in range(3_000)]


def read_texts(path: str, *, split_bytes: int = 32 << 20) -> list[object]:
    """Plan and read all, with payloads; there must be no dead letters."""
    columns = Input(path=path)
    plan = plan_input(columns, split_bytes=split_bytes)
    rows = [
        row
        for split in plan.splits
        for row in read_rows(split, columns, schema=plan.schema, with_payload=True)
    ]
    assert all(isinstance(row, Row) and row.payload for row in rows)
    return [row.text for row in rows if isinstance(row, Row)]


def lines(texts: list[str]) -> bytes:
    """Texts as JSON Lines."""
    return b"".join(b'{"text": "%s"}\n' % text.encode() for text in texts)


def test_json_lines_by_glob_and_in_ranges(bucket: Any) -> None:
    """Files under deep keys are found, sorted, cut into ranges and read whole."""
    bucket.pipe("data/dt=2/b.jsonl", lines(TEXTS[1_500:]))
    bucket.pipe("data/dt=1/a.jsonl", lines(TEXTS[:1_500]))
    bucket.pipe("data/dt=1/_SUCCESS", b"")

    plan = plan_input(Input(path="s3://data/**/*.jsonl"), split_bytes=10_000)

    assert plan.splits[0].url == "s3://data/dt=1/a.jsonl"
    assert len(plan.splits) == 8
    assert read_texts("s3://data/dt=?/*.jsonl", split_bytes=10_000) == TEXTS


def test_compressed_json_lines(bucket: Any) -> None:
    """A single compressed object is read."""
    bucket.pipe("data/a.jsonl.gz", gzip.compress(lines(TEXTS)))

    assert read_texts("s3://data/a.jsonl.gz") == TEXTS


def test_parquet(bucket: Any) -> None:
    """Footers and column chunks are fetched by ranges."""
    for name, texts in (("a", TEXTS[:1_000]), ("b", TEXTS[1_000:])):
        content = io.BytesIO()
        pq.write_table(pa.table({"text": texts, "n": range(len(texts))}), content, row_group_size=400)
        bucket.pipe(f"data/{name}.parquet", content.getvalue())

    assert read_texts("s3://data/*.parquet", split_bytes=1) == TEXTS


def test_a_new_object_is_seen(bucket: Any) -> None:
    """Listings are not taken from a cache: a job may run again in the same process."""
    bucket.pipe("data/a.jsonl", lines(["one"]))
    assert read_texts("s3://data/*.jsonl") == ["one"]
    # Written behind the back of the filesystem that fsspec keeps.
    s3fs.S3FileSystem(skip_instance_cache=True).pipe("data/b.jsonl", lines(["two"]))

    assert read_texts("s3://data/*.jsonl") == ["one", "two"]


def test_nothing_there_is_one_line(bucket: Any) -> None:
    """A missing object and a missing bucket are errors of the job, not stack traces."""
    for path in ("s3://data/missing.jsonl", "s3://data/*.parquet", "s3://nobucket/*.jsonl"):
        with pytest.raises(InputError) as caught:
            plan_input(Input(path=path))
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
