"""The first pass over the input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from router.identity import text_key
from router.repeats import unpack_repeats
from tests.transforms.local_pipeline import job_on, labelled, lines_file, local_pipeline, reader_of
from transforms.index_records import IndexRecords
from transforms.index_splits import Sampling

if TYPE_CHECKING:
    import pathlib

    from router.job import Job
    from router.records import Work
    from router.repeats import Repeat
    from transforms.json_types import ColumnTypes

TEXTS = ["one", "two", "one", "three", "two", "one", "", "four"]


def indexed(job: Job, folder: pathlib.Path, expected: list[Any], **settings: Any) -> None:
    """Index the job's input and compare (kind, figure) pairs with what is expected."""
    size = settings.pop("sample", 0)
    also = settings.pop("also", ())
    reader, splits = reader_of(job, **settings)
    with local_pipeline() as pipeline:
        index = (
            pipeline
            | beam.Create(splits)
            | "Index" >> IndexRecords(reader, Sampling(size, also), str(folder / "state"), infer_types=True)
        )
        found = {
            "read": index.read,
            "repeat": index.repeats
            | "Unpack" >> beam.FlatMap(unpack_repeats)
            | "ShowRepeats" >> beam.Map(shown),
            "sample": index.sample | "ShowSample" >> beam.Map(drawn),
            "types": index.types | "ShowTypes" >> beam.Map(columns),
        }
        assert_that(labelled(found), equal_to(expected))


def shown(repeat: Repeat) -> tuple[int, str, int]:
    """A repeat as its file, role and rank."""
    return repeat.position.file, repeat.role.name.lower(), repeat.rank


def drawn(work: Work) -> tuple[str, str, bytes]:
    """A record of the sample as model, text and payload."""
    return work.route.model, work.record.text, work.record.payload


def columns(types: ColumnTypes) -> list[tuple[str, Any]]:
    """The inferred columns."""
    return list(types.columns.items())


@pytest.mark.parametrize("split_bytes", [1, 40, 1 << 20])
def test_counts_copies_and_types_do_not_depend_on_the_splits(
    tmp_path: pathlib.Path, split_bytes: int
) -> None:
    """Eight rows: `one` has two copies, `two` has one, and the empty text is counted as read only."""
    rows = [{"id": f"r{number}", "text": text} for number, text in enumerate(TEXTS)]
    rows[5]["later"] = "x"
    expected = [
        ("read", 8),
        ("repeat", (0, "original", 0)),
        ("repeat", (0, "copy", 1)),
        ("repeat", (0, "copy", 2)),
        ("repeat", (0, "original", 0)),
        ("repeat", (0, "copy", 1)),
        ("types", [("id", "str"), ("text", "str"), ("later", "str")]),
    ]

    indexed(job_on(lines_file(tmp_path, rows)), tmp_path, expected, split_bytes=split_bytes)


def test_a_repeated_id_is_refused_and_no_original(tmp_path: pathlib.Path) -> None:
    """The second file repeats an id with a text that only a third record has too."""
    lines_file(tmp_path, [{"id": "a", "text": "one"}, {"id": "b", "text": "two"}], "in-1.jsonl")
    lines_file(tmp_path, [{"id": "a", "text": "three"}, {"id": "c", "text": "three"}], "in-2.jsonl")

    expected = [("read", 4), ("repeat", (1, "same_id", 1)), ("types", [("id", "str"), ("text", "str")])]
    indexed(job_on(tmp_path / "in-*.jsonl"), tmp_path, expected)


def test_without_an_id_column_no_id_repeats(tmp_path: pathlib.Path) -> None:
    """Ids come from the content; what is equal is a copy."""
    path = lines_file(tmp_path, [{"text": "one"}, {"text": "one"}])

    expected = [
        ("read", 2),
        ("repeat", (0, "original", 0)),
        ("repeat", (0, "copy", 1)),
        ("types", [("text", "str")]),
    ]
    indexed(job_on(path, input={"id": None}), tmp_path, expected)


@pytest.mark.parametrize("split_bytes", [30, 1 << 20])
def test_the_sample_is_the_same_for_any_splitting(tmp_path: pathlib.Path, split_bytes: int) -> None:
    """The smallest text keys, each text once, without its row, for each model that is sampled."""
    texts = [f"text {number % 12}" for number in range(24)]
    path = lines_file(tmp_path, ({"id": number, "text": text} for number, text in enumerate(texts)))
    job = job_on(path)
    smallest = sorted(set(texts), key=lambda text: text_key(text, "mood"))[:5]
    repeats = [("repeat", (0, role, rank)) for role, rank in (("original", 0), ("copy", 1))] * 12
    sample = [("sample", (model, text, b"")) for model in ("small", "other") for text in smallest]
    types = [("types", [("id", "int"), ("text", "str")])]

    expected = [("read", 24), *repeats, *sample, *types]
    indexed(job, tmp_path, expected, split_bytes=split_bytes, sample=5, also=("other",))


def test_the_sample_leaves_out_what_will_be_refused(tmp_path: pathlib.Path) -> None:
    """A repeated id is a dead letter, and nothing would account for its answer."""
    path = lines_file(tmp_path, [{"id": "a", "text": "one"}, {"id": "a", "text": "two"}])

    expected = [
        ("read", 2),
        ("repeat", (0, "same_id", 1)),
        ("sample", ("small", "one", b"")),
        ("types", [("id", "str"), ("text", "str")]),
    ]
    indexed(job_on(path), tmp_path, expected, sample=5)


def test_an_empty_input_has_no_columns(tmp_path: pathlib.Path) -> None:
    """Zero rows are a result too."""
    indexed(job_on(lines_file(tmp_path, [])), tmp_path, [("read", 0), ("types", [])])
