"""Reading the input: a plan made once on the driver, and rows streamed from its splits by the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transforms import read_dataset, read_jsonl, read_parquet
from transforms.files import KNOWN_SUFFIXES, find_files, is_dataset, kind_of
from transforms.splits import InputError, InputPlan, Row, Split

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    import router.job
    from router.records import DeadLetter
    from transforms.files import File

__all__ = ["InputError", "InputPlan", "Row", "Split", "plan_input", "read_rows"]


_SPLITS_A_WORKER = 4
"""So that none waits for long while another reads its last split."""
_LEAST_SPLIT_BYTES = 4 << 10


def plan_input(
    input: router.job.Input,  # noqa: A002
    *,
    split_bytes: int = 32 << 20,
    workers: int = 1,
) -> InputPlan:
    """Find the input's files, check that they have the columns the job names, and cut them into splits.

    Args:
        input: where the records are: a path, an fsspec URL, a glob of either, or `hf://datasets/NAME?split=...`.
        split_bytes: about how much one split holds; smaller ones spread better, larger ones cost less.
        workers: how many will share the splits; a small input is cut finer, so that each of them has some.

    Raises:
        InputError: where nothing matches or can be read, kinds are mixed, or columns are missing.
    """
    if split_bytes < 1:
        raise ValueError(f"split_bytes is {split_bytes}; it must be at least 1")
    if is_dataset(input.path):
        return read_dataset.plan(input.path, input)
    files = find_files(input.path)
    if workers > 1:
        share = sum(file.size or 0 for file in files) // (workers * _SPLITS_A_WORKER)
        split_bytes = min(split_bytes, max(share, _LEAST_SPLIT_BYTES))
    if _kind(files) == "jsonl":
        return read_jsonl.plan(files, input, split_bytes=split_bytes)
    return read_parquet.plan(files, input, split_bytes=split_bytes)


def read_rows(
    split: Split,
    input: router.job.Input,  # noqa: A002
    *,
    schema: pa.Schema | None,
    with_payload: bool,
) -> Iterator[Row | DeadLetter]:
    """Stream the rows of one split in order; what cannot be read becomes a dead letter.

    Args:
        split: one of the plan's.
        input: the section that the plan was made from.
        schema: the plan's; None for JSONL.
        with_payload: whether rows carry the whole input row; without, only the named columns are decoded.

    Raises:
        OSError: where the file itself cannot be reached; a retry may help.
        InputError: where a dataset cannot be loaded on this machine.
    """
    if split.kind == "jsonl":
        return read_jsonl.read(split, input, with_payload=with_payload)
    if schema is None:
        raise ValueError(
            f"{split.url}: a {split.kind} split needs the plan's schema; pass schema=plan.schema"
        )
    reader = read_parquet.read if split.kind == "parquet" else read_dataset.read
    return reader(split, input, schema=schema, with_payload=with_payload)


def _kind(files: list[File]) -> str:
    kinds: dict[str, str] = {}
    for file in files:
        kind = kind_of(file.url)
        if kind is None:
            raise InputError(f"{file.url}: of no known kind; known are {KNOWN_SUFFIXES}")
        kinds.setdefault(kind, file.url)
    if len(kinds) > 1:
        first, second = kinds.values()
        raise InputError(f"{first} and {second} are of different kinds; narrow the glob to one of them")
    return next(iter(kinds))
