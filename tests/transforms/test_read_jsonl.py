"""Tests of transforms/read_jsonl.py, through the functions that jobs call."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import fsspec
import pytest
import zstandard

from router.job import Input
from router.records import DeadLetter, Position, Reason
from transforms import lines, read_jsonl
from transforms.reading import InputError, InputPlan, Row, Split, plan_input, read_rows

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, content: bytes) -> str:
    """Write a file and give its path as text."""
    path.write_bytes(content)
    return str(path)


def read_all(columns: Input, plan: InputPlan | None = None) -> list[Row | DeadLetter]:
    """Plan, unless a plan is given, and read every split with payloads."""
    plan = plan or plan_input(columns)
    return [
        row for split in plan.splits for row in read_rows(split, columns, schema=plan.schema, with_payload=True)
    ]


def read_file(path: str) -> list[Row | DeadLetter]:
    """Read a whole file that is not checked first."""
    columns = Input(path=path, id="id")
    return list(read_rows(Split("jsonl", path, 0, 0, None), columns, schema=None, with_payload=True))


def texts(rows: list[Row | DeadLetter]) -> list[object]:
    """The text of each row and the reason of each dead letter."""
    return [row.text if isinstance(row, Row) else row.reason for row in rows]


def test_a_row_has_the_named_fields_and_the_raw_line(tmp_path: Path) -> None:
    """Fields come from the columns that the job names; what the line lacks is None."""
    path = write(tmp_path / "a.jsonl", b'{"body": "one", "key": 7, "x": 1.50}\n{"body": "two", "gold": "g"}\n')
    columns = Input(path=path, text="body", id="key", gold="gold")

    assert read_all(columns) == [
        Row(Position(0, 0), "one", 7, None, None, b'{"body": "one", "key": 7, "x": 1.50}'),
        Row(Position(0, 37), "two", None, None, "g", b'{"body": "two", "gold": "g"}'),
    ]


def test_without_payload_the_line_is_not_carried(tmp_path: Path) -> None:
    """The payload is empty where nobody asked for it."""
    columns = Input(path=write(tmp_path / "a.jsonl", b'{"text": "one"}\n'))
    (split,) = plan_input(columns).splits

    (row,) = read_rows(split, columns, schema=None, with_payload=False)

    assert row == Row(Position(0, 0), "one", None, None, None, b"")


AWKWARD = (
    b'\xef\xbb\xbf{"text":"\xc3\xa9"}\r\n'
    b"\n"
    b'{"text":"\xf0\x9f\x99\x82\xe2\x80\xa8"}\n'
    b" \t\r\n"
    b"not json\n"
    b"[1]\r\n"
    b'{"text":"\\n"}\n'
    b"\r\n"
    b'{"text":"last"}'
)


def test_the_awkward_file_whole(tmp_path: Path) -> None:
    """Mark, CRLF, blank lines, U+2028 inside a string and a missing last line end are all taken as they should."""
    rows = read_file(write(tmp_path / "a.jsonl", AWKWARD))

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


@pytest.mark.parametrize("content", [AWKWARD, AWKWARD + b"\n", AWKWARD + b"\r\n\r\n"], ids=["open", "lf", "crlf"])
def test_no_cut_loses_or_repeats_a_line(tmp_path: Path, content: bytes) -> None:
    """Two splits, cut at any byte, give exactly what the whole file gives, each row once and in its own split."""
    path = write(tmp_path / "a.jsonl", content)
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
    path = write(tmp_path / "a.jsonl", AWKWARD)
    columns = Input(path=path)
    plan = plan_input(columns, split_bytes=split_bytes)

    assert len(plan.splits) == -(-len(AWKWARD) // split_bytes)
    assert texts(read_all(columns, plan)) == [
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
    path = write(tmp_path / "a.jsonl", AWKWARD)
    expected = read_file(path)
    monkeypatch.setattr(read_jsonl, "_BLOCK", block)

    assert read_file(path) == expected


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
    path = write(tmp_path / "a.jsonl", b'{"text": "one"}\n\n' + line + b'\n{"text": "two"}\n')

    before, letter, after = read_all(Input(path=path))

    assert texts([before, after]) == ["one", "two"]
    assert isinstance(letter, DeadLetter)
    assert (letter.position, letter.reason, letter.stage, letter.id) == (Position(0, 17), reason, "read", None)
    assert letter.detail.startswith(f"{path}, line 3: ")
    assert cause in letter.detail
    assert letter.record == line.decode(errors="replace")


def test_a_long_bad_line_is_shown_in_part(tmp_path: Path) -> None:
    """A dead letter shows the first 10,000 characters and says so."""
    path = write(tmp_path / "a.jsonl", b"x" * 10_001 + b"\n" + b"y" * 10_000)

    first, second = read_file(path)

    assert isinstance(first, DeadLetter)
    assert first.record == "x" * 10_000
    assert first.detail.endswith("(the record shows the first 10,000 of 10,001 characters)")
    assert isinstance(second, DeadLetter)
    assert second.record == "y" * 10_000
    assert "the record shows" not in second.detail


def test_the_lines_before_a_split_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line numbers are those of the file, and a split without bad lines is not read twice."""
    path = write(tmp_path / "a.jsonl", b'{"text": 1}\n' * 10 + b"bad\n\nbad\n")
    counted = []
    count = read_jsonl._Locator._count
    monkeypatch.setattr(
        read_jsonl._Locator, "_count", lambda self: counted.append(self._split.start) or count(self)
    )
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
    path = write(tmp_path / "a.jsonl", b'{"text": 1}\n' * 2 + b"bad\n")
    monkeypatch.setattr(read_jsonl, "MAX_COUNTED_BYTES", 19)
    columns = Input(path=path)

    (letter,) = read_rows(Split("jsonl", path, 0, 20, None), columns, schema=None, with_payload=True)

    assert isinstance(letter, DeadLetter)
    assert letter.detail.startswith(f"{path}, line at byte 24: ")


@pytest.mark.parametrize(("size", "fits"), [(64 << 20, True), ((64 << 20) + 1, False)])
def test_a_line_beyond_64_mib_is_passed_over(tmp_path: Path, size: int, fits: bool) -> None:
    """The largest line allowed is read; one byte more is a dead letter, and the next line is read."""
    path = write(tmp_path / "a.jsonl", b'{"text":"' + b"x" * (size - 11) + b'"}\n{"text":"next"}\n')

    first, second = read_file(path)

    assert isinstance(first, Row) is fits
    if isinstance(first, DeadLetter):
        assert (first.reason, first.record) == (Reason.TEXT_TOO_LONG, None)
        assert first.detail == f"{path}, line 1: the line has 67,108,865 bytes; at most 67,108,864 are read"
    assert second.position == Position(0, size + 1)
    assert texts([second]) == ["next"]


def test_integers_beyond_64_bits_keep_all_their_digits(tmp_path: Path) -> None:
    """Two long numeric ids that differ in the last digit stay two ids."""
    path = write(
        tmp_path / "a.jsonl",
        b'{"text":"a","id":123456789012345678901}\n{"text":"b","id":123456789012345678902}\n{"text":"c","id":1.5}\n',
    )

    ids = [row.id for row in read_file(path) if isinstance(row, Row)]

    assert ids == [123456789012345678901, 123456789012345678902, 1.5]


def compress(content: bytes, suffix: str) -> bytes:
    """Compress by suffix."""
    return gzip.compress(content) if suffix == "gz" else zstandard.ZstdCompressor(write_checksum=True).compress(content)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_compressed_files_read_like_plain_ones(tmp_path: Path, suffix: str) -> None:
    """A compressed file is one split; rows and positions are those of its content, in several members too."""
    plain = read_file(write(tmp_path / "a.jsonl", AWKWARD))
    middle = AWKWARD.index(b"not json") + 3
    parts = [compress(AWKWARD[:middle], suffix), compress(AWKWARD[middle:], suffix)]
    path = write(tmp_path / f"a.jsonl.{suffix}", b"".join(parts) + b"\0" * 512)
    columns = Input(path=path)

    plan = plan_input(columns, split_bytes=10)

    assert plan.splits == (Split("jsonl", path, 0, 0, None),)
    found = read_all(columns, plan)
    assert texts(found) == texts(plain)
    assert [row.position for row in found] == [row.position for row in plain]


def numbered(count: int) -> bytes:
    """Lines of 64 bytes that do not compress well."""
    rows = (b'{"text":"%052d"}' % (number * 7**40 % 10**52) for number in range(count))
    return b"".join(row + b"\n" for row in rows)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_cut_off_file_gives_its_whole_lines_and_one_dead_letter(tmp_path: Path, suffix: str) -> None:
    """What can be decompressed is delivered; the rest is one dead letter at the first line that is missing."""
    whole = compress(numbered(20_000), suffix)
    path = write(tmp_path / f"a.jsonl.{suffix}", whole[: len(whole) // 2])

    *rows, letter = read_file(path)

    assert len(rows) > 5_000
    assert all(isinstance(row, Row) for row in rows)
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.stage, letter.record) == (Reason.CORRUPT_DATA, "read", None)
    assert letter.position == Position(0, len(rows) * 64)
    assert letter.detail == (
        f"{path}: the compressed data is damaged after {len(rows) * 64:,} bytes of content: it ends before its "
        "end marker, so the file is cut off"
    )


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_damaged_place_gives_one_dead_letter(tmp_path: Path, suffix: str) -> None:
    """Data that does not decompress ends the file with one dead letter, after the lines before it."""
    whole = bytearray(compress(numbered(20_000), suffix))
    half = len(whole) // 2
    whole[half : half + 64] = b"\xff" * 64
    path = write(tmp_path / f"a.jsonl.{suffix}", bytes(whole))

    *rows, letter = read_file(path)

    assert len(rows) > 5_000
    assert all(isinstance(row, Row) for row in rows[:5_000])
    assert isinstance(letter, DeadLetter)
    assert letter.reason is Reason.CORRUPT_DATA


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_plain_file_with_a_compressed_name_is_one_dead_letter(tmp_path: Path, suffix: str) -> None:
    """A file that was never compressed is not read as something else."""
    path = write(tmp_path / f"a.jsonl.{suffix}", b'{"text": "one"}\n')

    assert texts(read_all(Input(path=path))) == [Reason.CORRUPT_DATA]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_an_empty_file_has_no_rows(tmp_path: Path, name: str) -> None:
    """Nothing to read is no error."""
    assert read_all(Input(path=write(tmp_path / name, b""))) == []


def test_a_skippable_frame_is_skipped(tmp_path: Path) -> None:
    """Parallel compressors put such frames between the others."""
    skippable = bytes.fromhex("502a4d18") + (5).to_bytes(4, "little") + b"hello"
    content = zstandard.ZstdCompressor().compress(b'{"text": "one"}\n')
    path = write(tmp_path / "a.jsonl.zst", skippable + content + skippable + content)

    assert texts(read_file(path)) == ["one", "one"]


def test_a_missing_text_column_names_the_nearest_key(tmp_path: Path) -> None:
    """The sample is the first lines; the message says what there is."""
    path = write(tmp_path / "a.jsonl", b'{"texts": "one", "n": 1}\n{"other": 2}\n')

    with pytest.raises(InputError) as caught:
        plan_input(Input(path=path))

    assert str(caught.value) == (
        f'input.text: no column "text" in the first 2 lines of {path} (did you mean "texts"?); it has "n", '
        '"other", "texts". Set input.text to one of them.'
    )


@pytest.mark.parametrize(
    ("columns", "message"),
    [({"id": "ident"}, 'input.id: no column "ident"'), ({"task": "kind"}, 'input.task: no column "kind"')],
)
def test_missing_id_and_task_columns_are_found_at_once(
    tmp_path: Path, columns: dict[str, str], message: str
) -> None:
    """A wrong name would otherwise turn every record into a dead letter."""
    path = write(tmp_path / "a.jsonl", b'{"text": "one"}\n')

    with pytest.raises(InputError, match=message):
        plan_input(Input(path=path, **columns))


def test_a_column_may_be_missing_from_some_lines(tmp_path: Path) -> None:
    """One line in the first hundred that has it is enough; gold labels may be on later lines only."""
    path = write(tmp_path / "a.jsonl", b'bad\n{"id": 1}\n' + b'{"other": 1}\n' * 98 + b'{"text": "x"}\n')
    columns = Input(path=path, id="id", gold="label")

    assert len(plan_input(columns).splits) == 1


def test_the_hundred_and_first_line_is_not_looked_at(tmp_path: Path) -> None:
    """The sample ends after 100 objects, however many bad lines are between them."""
    path = write(tmp_path / "a.jsonl", b'bad\n{"other": 1}\n' * 100 + b'{"text": "x"}\n')

    with pytest.raises(InputError, match="in the first 100 lines"):
        plan_input(Input(path=path))


@pytest.mark.parametrize("name", ["annotation", "route", "usage"])
def test_columns_of_the_output_are_refused_in_the_input(tmp_path: Path, name: str) -> None:
    """They would be overwritten."""
    path = write(tmp_path / "a.jsonl", b'{"text": "x", "%s": 1}\n' % name.encode())

    with pytest.raises(InputError, match=f'already has a column "{name}".*rename or drop it'):
        plan_input(Input(path=path))


@pytest.mark.parametrize(
    "content", [b'[\n  {"text": "a"},\n  {"text": "b"}\n]\n', b'[{"text": "a"},\n{"text": "b"}]', b'[{"text": "a"}]']
)
def test_a_json_array_is_refused_with_the_way_out(tmp_path: Path, content: bytes) -> None:
    """A .json file often holds one array; that would give nothing but dead letters."""
    path = write(tmp_path / "a.json", content)

    with pytest.raises(InputError, match=r"holds a JSON array, not one object a line; convert it with jq"):
        plan_input(Input(path=path))


def test_a_first_line_that_is_an_array_costs_itself_only(tmp_path: Path) -> None:
    """Bad first lines of JSON Lines are not taken for a JSON array."""
    for first in (b"[1, 2]", b'[{"text": 1}]', b"[oops"):
        path = write(tmp_path / "a.jsonl", first + b'\n{"text": "one"}\n')

        assert texts(read_all(Input(path=path)))[1:] == ["one"]


def test_a_file_of_bad_lines_only_is_planned(tmp_path: Path) -> None:
    """Where no line says what the columns are, reading tells what is wrong with each."""
    path = write(tmp_path / "a.jsonl", b"bad\nworse\n")

    assert texts(read_all(Input(path=path))) == [Reason.INVALID_JSON, Reason.INVALID_JSON]


def test_two_readers_of_a_memory_file_do_not_disturb_each_other() -> None:
    """Files of memory:// are shared objects; counting lines must not move the reader's position."""
    with fsspec.open("memory://jsonl/a.jsonl", "wb") as file:
        file.write(b'{"text": 1}\nbad\n{"text": 2}\nbad\n{"text": 3}\n')
    columns = Input(path="memory://jsonl/*.jsonl")

    plan = plan_input(columns, split_bytes=5)

    assert texts(read_all(columns, plan)) == [1, Reason.INVALID_JSON, 2, Reason.INVALID_JSON, 3]


def test_the_limit_on_lines_is_64_mib() -> None:
    """The limit is part of what users are told."""
    assert lines.MAX_LINE_BYTES == 67_108_864
