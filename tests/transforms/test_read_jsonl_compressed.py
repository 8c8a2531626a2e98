"""Tests of compressed JSON Lines, whole and damaged."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
import zstandard

from router.job import Input
from router.records import DeadLetter, Position, Reason
from tests.transforms.inputs import AWKWARD, read_input, read_lines, texts, write_bytes
from transforms.reading import Row, Split, plan_input

if TYPE_CHECKING:
    from pathlib import Path


def compress(content: bytes, suffix: str) -> bytes:
    """Compress by suffix."""
    return (
        gzip.compress(content)
        if suffix == "gz"
        else zstandard.ZstdCompressor(write_checksum=True).compress(content)
    )


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_compressed_files_read_like_plain_ones(tmp_path: Path, suffix: str) -> None:
    """A compressed file is one split; rows and positions are those of its content, in several members too."""
    plain = read_lines(write_bytes(tmp_path / "a.jsonl", AWKWARD))
    middle = AWKWARD.index(b"not json") + 3
    parts = [compress(AWKWARD[:middle], suffix), compress(AWKWARD[middle:], suffix)]
    path = write_bytes(tmp_path / f"a.jsonl.{suffix}", b"".join(parts) + b"\0" * 512)
    columns = Input(path=path)

    plan = plan_input(columns, split_bytes=10)

    assert plan.splits == (Split("jsonl", path, 0, 0, None),)
    found = read_input(columns, plan)
    assert texts(found) == texts(plain)
    assert [row.position for row in found] == [row.position for row in plain]


def numbered(count: int) -> bytes:
    """Lines of 64 bytes that do not compress well."""
    rows = (b'{"text":"%052d"}' % (number * 7**40 % 10**52) for number in range(count))
    return b"".join(row + b"\n" for row in rows)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_cut_off_file_gives_its_whole_lines_and_one_dead_letter(tmp_path: Path, suffix: str) -> None:
    """What can be decompressed is delivered; the rest is one dead letter at the first missing line."""
    whole = compress(numbered(20_000), suffix)
    path = write_bytes(tmp_path / f"a.jsonl.{suffix}", whole[: len(whole) // 2])

    *rows, letter = read_lines(path)

    assert len(rows) > 5_000
    assert all(isinstance(row, Row) for row in rows)
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.stage, letter.record) == (Reason.CORRUPT_DATA, "read", None)
    assert letter.position == Position(0, len(rows) * 64)
    assert letter.detail == (
        f"{path}: the compressed data is damaged after {len(rows) * 64:,} bytes of content: it ends before "
        "its end marker, so the file is cut off"
    )


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_damaged_place_gives_one_dead_letter(tmp_path: Path, suffix: str) -> None:
    """Data that does not decompress ends the file with one dead letter, after the lines before it."""
    whole = bytearray(compress(numbered(20_000), suffix))
    half = len(whole) // 2
    whole[half : half + 64] = b"\xff" * 64
    path = write_bytes(tmp_path / f"a.jsonl.{suffix}", bytes(whole))

    *rows, letter = read_lines(path)

    assert len(rows) > 5_000
    assert all(isinstance(row, Row) for row in rows[:5_000])
    assert isinstance(letter, DeadLetter)
    assert letter.reason is Reason.CORRUPT_DATA


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_plain_file_with_a_compressed_name_is_one_dead_letter(tmp_path: Path, suffix: str) -> None:
    """A file that was never compressed is not read as something else."""
    path = write_bytes(tmp_path / f"a.jsonl.{suffix}", b'{"text": "one"}\n')

    assert texts(read_input(Input(path=path))) == [Reason.CORRUPT_DATA]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_an_empty_file_has_no_rows(tmp_path: Path, name: str) -> None:
    """Nothing to read is no error."""
    assert read_input(Input(path=write_bytes(tmp_path / name, b""))) == []


def test_a_skippable_frame_is_skipped(tmp_path: Path) -> None:
    """Parallel compressors put such frames between the others."""
    skippable = bytes.fromhex("502a4d18") + (5).to_bytes(4, "little") + b"hello"
    content = zstandard.ZstdCompressor().compress(b'{"text": "one"}\n')
    path = write_bytes(tmp_path / "a.jsonl.zst", skippable + content + skippable + content)

    assert texts(read_lines(path)) == ["one", "one"]
