"""Texts for benchmarks: their lengths, and what the rows of a job hold."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from transforms.bench_texts import job_rows, long_texts, own_texts, shipped_texts, short_texts
from transforms.splits import InputError

if TYPE_CHECKING:
    import pathlib


def words(text: str) -> int:
    """Words stand in for tokens."""
    return len(text.split())


def test_short_texts_have_20_to_30_tokens() -> None:
    """Both ends count."""
    texts = ["a " * count for count in (19, 20, 30, 31)]

    assert short_texts(texts, words) == texts[1:3]


def test_long_texts_are_joined_from_short_ones_until_they_have_140() -> None:
    """Four times 38 are 152; what has 40 or more is left out, and so is a rest that is too short."""
    piece = " ".join(["a"] * 38)

    found = long_texts([piece, "b " * 40, *[piece] * 5], words)

    assert found == [" ".join([piece] * 4)]


def test_shipped_texts_are_many_english_and_differ() -> None:
    """Enough for turns that do not ask the same again."""
    texts = shipped_texts()

    assert len(texts) > 2000
    assert len(set(texts)) == len(texts)
    assert len(short_texts(texts, lambda text: len(text) // 5)) > 500


def test_rows_of_a_job_have_copies_and_rows_without_text() -> None:
    """Of 400 rows, two have no text and eight are copies of the row before."""
    rows = list(job_rows(400, plain=False))

    assert [row["id"] for row in rows if not row["text"]] == ["r117", "r317"]
    assert [row["id"] for before, row in itertools.pairwise(rows) if row["text"] == before["text"]] == [
        f"r{number}" for number in range(49, 400, 50)
    ]


def test_plain_rows_all_differ() -> None:
    """A real model is asked about each."""
    rows = list(job_rows(400, plain=True))

    assert len({row["text"] for row in rows}) == 400
    assert all(row["text"] for row in rows)


def test_texts_of_a_users_file_are_read_by_their_column(tmp_path: pathlib.Path) -> None:
    """As they are; a column that is not there is named beside those that are."""
    path = tmp_path / "own.jsonl"
    path.write_text('{"review": "Very good."}\n{"review": ""}\n', encoding="utf-8")

    assert own_texts(str(path), "review") == ["Very good."]
    with pytest.raises(InputError, match="review"):
        own_texts(str(path), "text")
