"""Tests of transforms/read_jsonl.py: lines, splits and dead letters."""

from __future__ import annotations

import io
from pathlib import Path

import fsspec
import pytest

from router.job import Input
from router.records import DeadLetter, Position, Reason
from tests.transforms.inputs import AWKWARD, read_input, read_lines, texts, write_bytes
from transforms import lines, read_jsonl
from transforms.reading import InputError, Row, Split, plan_input, read_rows


def test_a_row_has_the_named_fields_and_the_raw_line(tmp_path: Path) -> None:
    """Fields come from the columns that the job names; what the line lacks is None."""
    path = write_bytes(
        tmp_path / "a.jsonl", b'{"body": "one", "key": 7, "x": 1.50}\n{"body": "two", "gold": "g"}\n'
    )
    columns = Input(path=path, text="body", id="key", gold="gold")

    assert read_input(columns) == [
        Row(Position(0, 0), "one", 7, None, None, b'{"body": "one", "key": 7, "x": 1.50}'),
        Row(Position(0, 37), "two", None, None, "g", b'{"body": "two", "gold": "g"}'),
    ]


def test_without_payload_the_line_is_not_carried(tmp_path: Path) -> None:
    """The payload is empty where nobody asked for it."""
    columns = Input(path=write_bytes(tmp_path / "a.jsonl", b'{"text": "one"}\n'))
    (split,) = plan_input(columns).splits

    (row,) = read_rows(split, columns, schema=None, with_payload=False)

    assert row == Row(Position(0, 0), "one", None, None, None, b"")


def test_the_awkward_file_whole(tmp_path: Path) -> None:
    """Mark, CRLF, blank lines, U+2028 in a string and a missing last line end are taken as they should."""
    rows = read_lines(write_bytes(tmp_path / "a.jsonl", AWKWARD))

    assert texts(rows) == ["é", "🙂\u2028", Reason.INVALID_JSON, Reason.NOT_AN_OBJECT, "\n", "last"]
    assert [row.position.offset for row in rows] == [0, 19, 42, 51, 56, 72]
    assert [row.payload for row in rows if isinstance(row, Row)] == [
        b'{"text":"\xc3\xa9"}',
        b'{"text":"\xf0\x9f\x99\x82\xe2\x80\xa8"}',
        b'{"text":"\\n"}',
        b'{"text":"last"}',
    ]
    details = [row.detail for row in rows if isinstance(row, DeadLetter)]
    assert [detail.split(": ")[0] for detail in details] == [
        f"{tmp_path}/a.jsonl, line 5",
        f"{tmp_path}/a.jsonl, line 6",
    ]


@pytest.mark.parametrize(
    "content", [AWKWARD, AWKWARD + b"\n", AWKWARD + b"\r\n\r\n"], ids=["open", "lf", "crlf"]
)
def test_no_cut_loses_or_repeats_a_line(tmp_path: Path, content: bytes) -> None:
    """Two splits, cut at any byte, give what the whole file gives, each row once and in its own split."""
    path = write_bytes(tmp_path / "a.jsonl", content)
    columns = Input(path=path)
    expected = list(read_rows(Split("jsonl", path, 0, 0, None), columns, schema=None, with_payload=True))

    for cut in range(1, len(content)):
        splits = [Split("jsonl", path, 0, 0, cut), Split("jsonl", path, 0, cut, len(content))]
        parts = [list(read_rows(split, columns, schema=None, with_payload=True)) for split in splits]
        assert parts[0] + parts[1] == expected, cut
        for split, other, part in zip(splits, reversed(splits), parts, strict=True):
            assert all(split.holds(row.position) and not other.holds(row.position) for row in part)


@pytest.mark.parametrize("split_bytes", [1, 2, 3, 7, 16, 1000])
def test_planned_splits_cover_the_file_once(tmp_path: Path, split_bytes: int) -> None:
    """Whatever the size of the splits, the rows are the same."""
    path = write_bytes(tmp_path / "a.jsonl", AWKWARD)
    columns = Input(path=path)
    plan = plan_input(columns, split_bytes=split_bytes)

    assert len(plan.splits) == -(-len(AWKWARD) // split_bytes)
    assert texts(read_input(columns, plan)) == [
        "é",
        "🙂\u2028",
        Reason.INVALID_JSON,
        Reason.NOT_AN_OBJECT,
        "\n",
        "last",
    ]


@pytest.mark.parametrize("block", [1, 2, 5])
def test_lines_may_cross_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """A line is put together from any number of blocks."""
    path = write_bytes(tmp_path / "a.jsonl", AWKWARD)
    expected = read_lines(path)
    monkeypatch.setattr(read_jsonl, "_BLOCK", block)

    assert read_lines(path) == expected


@pytest.mark.parametrize(
    ("line", "reason", "cause"),
    [
        (b'{"text": "a', Reason.INVALID_JSON, "unexpected end of data"),
        (b'{"text": NaN}', Reason.INVALID_JSON, "column 10"),
        (b'{"text": "\\ud800"}', Reason.INVALID_JSON, "surrogate"),
        (b'{"text": "\xff"}', Reason.INVALID_UTF8, "not UTF-8 at byte 10 of the line"),
        (b"[1, 2]", Reason.NOT_AN_OBJECT, "the line holds an array, not an object"),
        (b"null", Reason.NOT_AN_OBJECT, "the line holds null, not an object"),
        (b'"text"', Reason.NOT_AN_OBJECT, "the line holds a string, not an object"),
    ],
)
def test_bad_lines_become_dead_letters(tmp_path: Path, line: bytes, reason: Reason, cause: str) -> None:
    """A bad line costs itself only, and its dead letter tells file, line, cause and content."""
    path = write_bytes(tmp_path / "a.jsonl", b'{"text": "one"}\n\n' + line + b'\n{"text": "two"}\n')

    before, letter, after = read_input(Input(path=path))

    assert texts([before, after]) == ["one", "two"]
    assert isinstance(letter, DeadLetter)
    assert (letter.position, letter.reason, letter.stage, letter.id) == (
        Position(0, 17),
        reason,
        "read",
        None,
    )
    assert letter.detail.startswith(f"{path}, line 3: ")
    assert cause in letter.detail
    assert letter.record == line.decode(errors="replace")


def test_a_long_bad_line_is_shown_in_part(tmp_path: Path) -> None:
    """A dead letter shows the first 10,000 characters and says so."""
    path = write_bytes(tmp_path / "a.jsonl", b"x" * 10_001 + b"\n" + b"y" * 10_000)

    first, second = read_lines(path)

    assert isinstance(first, DeadLetter)
    assert first.record == "x" * 10_000
    assert first.detail.endswith("(the record shows the first 10,000 of 10,001 characters)")
    assert isinstance(second, DeadLetter)
    assert second.record == "y" * 10_000
    assert "the record shows" not in second.detail


def test_the_lines_before_a_split_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line numbers are those of the file, and a split without bad lines is not read twice."""
    path = write_bytes(tmp_path / "a.jsonl", b'{"text": 1}\n' * 10 + b"bad\n\nbad\n")
    counted: list[int] = []
    count = read_jsonl._Locator._count

    def watched(self: read_jsonl._Locator) -> int:
        counted.append(self._split.start)
        return count(self)

    monkeypatch.setattr(read_jsonl._Locator, "_count", watched)
    columns = Input(path=path)

    rows = [
        list(read_rows(Split("jsonl", path, 0, start, stop), columns, schema=None, with_payload=True))
        for start, stop in [(0, 12), (12, 60), (60, 200)]
    ]

    assert [len(part) for part in rows] == [1, 4, 7]
    details = [row.detail for row in rows[2] if isinstance(row, DeadLetter)]
    assert [detail.split(": ")[0] for detail in details] == [f"{path}, line 11", f"{path}, line 13"]
    assert counted == [60]


def test_far_into_a_file_the_byte_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where counting lines would mean reading very much again, the position in bytes stands in."""
    path = write_bytes(tmp_path / "a.jsonl", b'{"text": 1}\n' * 2 + b"bad\n")
    monkeypatch.setattr(read_jsonl, "MAX_COUNTED_BYTES", 19)
    columns = Input(path=path)

    (letter,) = read_rows(Split("jsonl", path, 0, 20, None), columns, schema=None, with_payload=True)

    assert isinstance(letter, DeadLetter)
    assert letter.detail.startswith(f"{path}, line at byte 24: ")


@pytest.mark.parametrize(("size", "fits"), [(64 << 20, True), ((64 << 20) + 1, False)])
def test_a_line_beyond_64_mib_is_passed_over(tmp_path: Path, size: int, fits: bool) -> None:
    """The largest line allowed is read; one byte more is a dead letter, and the next line is read."""
    path = write_bytes(tmp_path / "a.jsonl", b'{"text":"' + b"x" * (size - 11) + b'"}\n{"text":"next"}\n')

    first, second = read_lines(path)

    assert isinstance(first, Row) is fits
    if isinstance(first, DeadLetter):
        assert (first.reason, first.record) == (Reason.TEXT_TOO_LONG, None)
        assert first.detail == f"{path}, line 1: the line has 67,108,865 bytes; at most 67,108,864 are read"
    assert second.position == Position(0, size + 1)
    assert texts([second]) == ["next"]


def test_integers_beyond_64_bits_keep_all_their_digits(tmp_path: Path) -> None:
    """Two long numeric ids that differ in the last digit stay two ids."""
    path = write_bytes(
        tmp_path / "a.jsonl",
        b'{"text":"a","id":123456789012345678901}\n{"text":"b","id":123456789012345678902}\n{"text":"c","id":1.5}\n'
        b'{"text":"d","id":["a",{"n":123456789012345678901}]}\n',
    )

    ids = [row.id for row in read_lines(path) if isinstance(row, Row)]

    assert ids == [123456789012345678901, 123456789012345678902, 1.5, ["a", {"n": 123456789012345678901}]]


def test_two_readers_of_a_memory_file_do_not_disturb_each_other() -> None:
    """Files of memory:// are shared objects; counting lines must not move the reader's position."""
    with fsspec.open("memory://jsonl/a.jsonl", "wb") as file:
        file.write(b'{"text": 1}\nbad\n{"text": 2}\nbad\n{"text": 3}\n')
    columns = Input(path="memory://jsonl/*.jsonl")

    plan = plan_input(columns, split_bytes=5)

    assert texts(read_input(columns, plan)) == [1, Reason.INVALID_JSON, 2, Reason.INVALID_JSON, 3]


def test_the_limit_on_lines_is_64_mib() -> None:
    """The limit is part of what users are told."""
    assert lines.MAX_LINE_BYTES == 67_108_864


@pytest.mark.parametrize(("levels", "fits"), [(500, True), (501, False)])
def test_values_may_be_nested_500_levels_deep(tmp_path: Path, levels: int, fits: bool) -> None:
    """The row itself is the first level; many values side by side are not deep."""
    deep = "[" * (levels - 1) + "]" * (levels - 1)
    wide = ", ".join(["{}"] * 1000)
    path = write_bytes(
        tmp_path / "in.jsonl", f'{{"text": "a", "x": {deep}}}\n{{"text": "b", "x": [{wide}]}}\n'.encode()
    )

    first, second = read_lines(path)

    assert isinstance(first, Row) is fits
    if isinstance(first, DeadLetter):
        assert first.reason is Reason.INVALID_JSON
        assert "nested deeper than 500 levels" in first.detail
    assert isinstance(second, Row)


def test_a_row_with_a_column_of_the_output_stops_reading(tmp_path: Path) -> None:
    """Both columns could not be told apart; the message says where."""
    path = write_bytes(tmp_path / "in.jsonl", b'{"text": "a"}\n{"text": "b", "route": null}\n')

    with pytest.raises(InputError, match=r'line 2: already has a column "route".*rename or drop it'):
        read_lines(path)


def test_a_split_within_a_long_line_reads_no_further_than_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a line of 64 MiB, which lies in 256 splits, would be read a hundred times."""
    path = write_bytes(tmp_path / "a.jsonl", b'{"text":"' + b"x" * 1000 + b'"}\n{"text":"next"}\n')
    read: list[int] = []

    def counted(url: str) -> Counted:
        return Counted(Path(url).read_bytes(), read)

    monkeypatch.setattr(read_jsonl, "open_binary", counted)

    assert read_lines(path, 100, 200) == []
    assert sum(read) == 100
    assert texts(read_lines(path, 1000, 1020)) == ["next"]
    assert texts(read_lines(path, 0, 100)) == ["x" * 1000]


class Counted(io.BytesIO):
    """A file that tells how many bytes were read."""

    def __init__(self, content: bytes, read: list[int]) -> None:
        super().__init__(content)
        self._read = read

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._read.append(len(data))
        return data
