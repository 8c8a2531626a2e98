"""Hugging Face datasets: whatever `datasets.load_dataset` accepts, streamed from its Arrow table."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from router.records import Position
from transforms.arrow_rows import BATCH_ROWS, check_schema, job_schema, needed_columns, rows_of
from transforms.splits import InputError, InputPlan, Split, nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    import pyarrow as pa
    from datasets import Dataset

    from router.job import Input
    from router.records import DeadLetter
    from transforms.splits import Row

_PREFIX = "hf://datasets/"
_SPLIT_ROWS = 10_000
_OPTIONS = ("split", "name", "revision", "data_dir", "data_files")


def plan(url: str, columns: Input) -> InputPlan:
    """Load the dataset (downloading it if need be) and cut it into ranges of 10,000 rows.

    Raises:
        InputError: where it cannot be loaded, a named column is missing, or the text column holds no text.
    """
    dataset = _load(url)
    schema = dataset.features.arrow_schema
    check_schema(url, schema, columns)
    splits = [
        Split("dataset", url, 0, start, stop, first_row=start, rows=stop - start)
        for start in range(0, len(dataset), _SPLIT_ROWS)
        for stop in [min(start + _SPLIT_ROWS, len(dataset))]
    ]
    return InputPlan(tuple(splits), job_schema(schema), tuple(schema.names))


def read(
    split: Split, columns: Input, *, schema: pa.Schema, with_payload: bool
) -> Iterator[Row | DeadLetter]:
    """Stream the rows of a split out of the memory-mapped table.

    Raises:
        InputError: where the dataset cannot be loaded on this machine.
    """
    dataset = _load_once(split.url).with_format("arrow")
    if not with_payload:
        dataset = dataset.select_columns(needed_columns(columns))
    stop = len(dataset) if split.stop is None else split.stop
    for start in range(split.start, stop, BATCH_ROWS):
        table = dataset[start : min(start + BATCH_ROWS, stop)]
        row = start
        for batch in table.to_batches():
            yield from rows_of(
                batch, Position(split.file, row), split.url, columns, schema if with_payload else None
            )
            row += batch.num_rows


@functools.lru_cache(maxsize=4)
def _load_once(url: str) -> Dataset:
    # Loading resolves names and revisions on the Hub, and a worker reads many splits of the same dataset.
    return _load(url)


def _load(url: str) -> Dataset:
    name, options = _parse(url)
    try:
        import datasets  # noqa: PLC0415 - slow to import, and needed by few jobs
    except ImportError as error:
        raise InputError(f"{url}: needs a package that is missing; pip install datasets") from error
    with _without_progress(datasets):
        try:
            loaded = datasets.load_dataset(name, **options)
        # It raises types of its own, of the Hub's client, of the HTTP library and of Python; to the user all
        # of them mean that this dataset cannot be loaded.
        except Exception as error:
            raise InputError(
                f"{url}: cannot be loaded: {type(error).__name__}: {one_line(error)}; check the name, and "
                "that this machine can reach the Hub or has it in its cache"
            ) from error
    if isinstance(loaded, datasets.DatasetDict):
        if len(loaded) != 1:
            raise InputError(
                f"{url}: say which split, with ?split=NAME; it has {', '.join(map(str, loaded))}"
            )
        (loaded,) = loaded.values()
    return loaded


def _parse(url: str) -> tuple[str, dict[str, str]]:
    name, _, query = url.removeprefix(_PREFIX).partition("?")
    if not name:
        raise InputError(f"{url}: names no dataset; write hf://datasets/OWNER/NAME?split=train")
    # parse_qsl would make the plus of split=train+test a space.
    options = dict(parse_qsl(query.replace("+", "%2B"), keep_blank_values=True))
    for option in options:
        if option not in _OPTIONS:
            known = ", ".join(_OPTIONS)
            raise InputError(
                f'{url}: unknown option "{option}"{nearest(option, _OPTIONS)}; known are {known}'
            )
    return name, options


@contextmanager
def _without_progress(datasets: ModuleType) -> Iterator[None]:
    """No progress bars while the block runs; the process's setting is put back after it."""
    was_off = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not was_off:
            datasets.enable_progress_bars()
