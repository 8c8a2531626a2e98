"""Files of annotations and dead letters, one for each bundle."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from router.records import DeadLetter, Opinion, Position, Reason, Status
from router.summary import tally_annotated, tally_dead
from tests.transforms.rows_examples import annotated
from tests.transforms.test_json_types import types_of
from transforms import write_output
from transforms.output_rows import RowFormat
from transforms.progress import read_progress
from transforms.write_output import Part, WriteAnnotations, WriteDeadLetters

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Sequence

    from router.records import Annotated

LAYOUT = RowFormat(None, frozenset(), single_label=True, adds_id=False)
LINE = b'{"id": 1, "text": "fine"}'
TYPES = types_of(LINE)


def write(state: pathlib.Path, rows: Sequence[Annotated], suffix: str = "jsonl") -> list[Part]:
    """Write one bundle of annotations."""
    dofn = WriteAnnotations(str(state), LAYOUT, suffix)
    dofn.setup()
    return bundle(dofn, [(row, TYPES) for row in rows])


def bundle(dofn: Any, elements: Sequence[tuple[Any, ...]]) -> list[Part]:
    """Run one bundle through a writer that is set up."""
    dofn.start_bundle()
    for element in elements:
        dofn.process(*element)
    return [one.value for one in dofn.finish_bundle()]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_bundle_becomes_one_file(tmp_path: pathlib.Path, suffix: str) -> None:
    """Its part tells the first position and the sums over its rows."""
    rows = [annotated(LINE, position=Position(1, offset)) for offset in (9, 3, 7)]

    [part] = write(tmp_path, rows, suffix)

    assert (part.kind, part.first, part.tally) == ("annotations", Position(1, 3), tally_annotated(rows))
    assert part.path.startswith(str(tmp_path / "parts" / "annotations-"))
    assert part.path.endswith(f".{suffix}")
    if suffix == "parquet":
        assert pq.read_table(part.path).num_rows == 3
    else:
        with open(part.path, "rb") as stream:  # noqa: PTH123 - the part's path is text
            assert len(stream.readlines()) == 3


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("limit", ["_BATCH_ROWS", "_BATCH_BYTES"])
def test_batches_of_a_bundle_go_into_the_same_file(
    tmp_path: pathlib.Path, suffix: str, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are held back until there are enough of them, or enough bytes; none is lost or repeated."""
    monkeypatch.setattr(write_output, limit, 2 if limit == "_BATCH_ROWS" else 2 * len(LINE))
    rows = [
        annotated(b'{"id": %d, "text": "fine"}' % number, position=Position(0, number)) for number in range(5)
    ]

    [part] = write(tmp_path, rows, suffix)

    assert part.tally.annotated == 5
    if suffix == "parquet":
        table = pq.read_table(part.path)
        assert pq.ParquetFile(part.path).num_row_groups >= 3
        assert table.column("id").to_pylist() == [0, 1, 2, 3, 4]
    else:
        with open(part.path, "rb") as stream:  # noqa: PTH123 - the part's path is text
            assert [json.loads(line)["id"] for line in stream] == [0, 1, 2, 3, 4]


def test_an_empty_bundle_leaves_no_file(tmp_path: pathlib.Path) -> None:
    """Runners start bundles that get no element."""
    assert write(tmp_path, []) == []
    assert not list((tmp_path / "parts").iterdir())


def test_bundles_of_one_writer_do_not_mix(tmp_path: pathlib.Path) -> None:
    """Each has its own file and its own sums."""
    dofn = WriteAnnotations(str(tmp_path), LAYOUT, "jsonl")
    dofn.setup()

    rows = [(annotated(LINE, position=Position(0, offset)), TYPES) for offset in range(3)]

    parts = [part for count in (2, 0, 3) for part in bundle(dofn, rows[:count])]

    assert [part.tally.annotated for part in parts] == [2, 3]
    assert len({part.path for part in parts}) == 2


def test_rows_are_offered_for_review(tmp_path: pathlib.Path) -> None:
    """The part carries those that a person should look at; of a copy, the original is there already."""
    rows = [
        annotated(LINE, name="unsure", confidence=0.3),
        annotated(LINE, name="copy", position=Position(0, 1), status=Status.DUPLICATE),
        annotated(LINE, name="disputed", position=Position(0, 2), overruled=Opinion("small", ("bad",), 0.7)),
    ]

    [part] = write(tmp_path, rows)

    assert {(row.id, row.disputed) for row in part.review} == {("unsure", False), ("disputed", True)}


def test_dead_letters_are_json_lines(tmp_path: pathlib.Path) -> None:
    """Id, reason, detail, stage and the row."""
    letters = [
        DeadLetter(Position(0, 5), None, Reason.INVALID_JSON, "line 2: é", "read", '{"a":'),
        DeadLetter(Position(0, 1), "x", Reason.EMPTY_TEXT, "blank", "validate", None),
    ]
    dofn = WriteDeadLetters(str(tmp_path))
    dofn.setup()

    [part] = bundle(dofn, [(letter,) for letter in letters])

    assert (part.kind, part.first, part.tally) == ("dead_letters", Position(0, 1), tally_dead(letters))
    with open(part.path, "rb") as stream:  # noqa: PTH123 - the part's path is text
        assert [json.loads(line) for line in stream] == [
            {"id": None, "reason": "invalid_json", "detail": "line 2: é", "stage": "read", "record": '{"a":'},
            {"id": "x", "reason": "empty_text", "detail": "blank", "stage": "validate", "record": None},
        ]


def test_progress_is_noted(tmp_path: pathlib.Path) -> None:
    """Rows by status, and the money in billionths of a dollar."""
    other = annotated(LINE, position=Position(0, 1), status=Status.ESCALATED)

    write(tmp_path, [annotated(LINE), other])

    assert read_progress(str(tmp_path)) == {
        "annotated": 2,
        "kept": 1,
        "escalated": 1,
        "nano_usd": 1_000_000,
    }
