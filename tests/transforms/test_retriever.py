"""A process keeps the index of every set of rows, and passages may say what the record says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from router.reference import ReferenceRow, digest_rows
from router.retrieval import ReferenceSet, Retrieval
from tests.router.work_examples import record
from transforms.judge_sources import Sources
from transforms.reference_rows import write_rows
from transforms.retriever import Retriever, rows_of

if TYPE_CHECKING:
    import pathlib

RULE = "Sarcasm counts as negative."


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEKIZAI_CACHE", str(tmp_path / "cache"))


def written(folder: pathlib.Path, name: str, *texts: str) -> ReferenceSet:
    """A set of rows in a file."""
    rows = [ReferenceRow(f"{name}/{place}", text, "bad") for place, text in enumerate(texts)]
    path = folder / f"{name}.jsonl"
    path.write_bytes(write_rows(rows))
    return ReferenceSet(str(path), digest_rows(rows), 2)


def test_ten_sets_in_turn_are_read_once(tmp_path: pathlib.Path) -> None:
    """The second round makes no index."""
    sets = [written(tmp_path, f"s{number}", f"Text {number}.") for number in range(10)]
    first = [rows_of(one, None) for one in sets]

    assert all(again is one for again, one in zip([rows_of(one, None) for one in sets], first, strict=True))


def test_a_passage_that_says_what_was_asked_for_is_found(tmp_path: pathlib.Path) -> None:
    """By a judge's query and by a record's text; a labelled row with the record's text is not shown."""
    rows = written(tmp_path, "guide", RULE, "Parcels that are late count as negative too.")
    sources = Sources({"mood": Retrieval(None, rows, None, "")})
    [first, _] = sources.passages("mood", "sarcasm counts as negative", 2)
    both = Retriever({"mood": Retrieval(rows, rows, None, "")}).find(record(RULE, "mood"))

    assert first.row.text == RULE
    assert both.shown.passages == ("guide/0", "guide/1")
    assert both.shown.examples == ("guide/1",)
