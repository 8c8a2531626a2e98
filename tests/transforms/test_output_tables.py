"""What the rows of an output add up to."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import fsspec
import polars as pl
import pytest

from router.summary import summarise, tally_annotated
from tests.big_output import Night, write_output
from tests.transforms.output_examples import MANIFEST, ROWS, row, write_rows
from transforms.annotation_rows import read_output_rows
from transforms.output_tables import PARTS, read_output_tables, summary_tables

if TYPE_CHECKING:
    import pathlib

FILES = fsspec.filesystem("file")


def tables(folder: pathlib.Path, form: str = "jsonl", rows: Any = ROWS) -> dict[str, Any]:
    """The tables of an output with these rows."""
    write_rows(folder, rows, form)
    found = read_output_tables(FILES, str(folder), MANIFEST)
    assert found is not None
    return found


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_records_by_task_and_language(tmp_path: pathlib.Path, form: str) -> None:
    """Sums of each part, the largest first; right answers where a true label is known."""
    by = tables(tmp_path, form)["by"]

    assert by["task"] == {
        "mood": {
            "records": 5,
            "escalated": 1,
            "usd": "0.024000000001",
            "seconds": 3.5,
            "right": 3,
            "with_gold": 4,
        },
        "topics": {
            "records": 2,
            "escalated": 0,
            "usd": "0.002000",
            "seconds": 1.0,
            "right": 1,
            "with_gold": 2,
        },
    }
    assert by["language"] == {
        "en": {
            "records": 6,
            "escalated": 1,
            "usd": "0.025000000001",
            "seconds": 4.0,
            "right": 4,
            "with_gold": 6,
        },
        "ja": {"records": 1, "escalated": 0, "usd": "0.001000", "seconds": 0.5},
    }
    assert {name: one["records"] for name, one in by["domain"].items()} == {"retail": 6, "": 1}
    assert {name: one["records"] for name, one in by["rule"].items()} == {"": 6, "1": 1}
    assert {name: one["records"] for name, one in by["model"].items()} == {"small": 6, "big": 1}


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_labels_are_counted_one_by_one(tmp_path: pathlib.Path, form: str) -> None:
    """Of a set, each by itself; right is a label that is among the true ones."""
    assert tables(tmp_path, form)["labels"] == {
        "mood": {
            "good": {"records": 3, "right": 2, "with_gold": 3},
            "bad": {"records": 2, "right": 1, "with_gold": 1},
        },
        "topics": {
            "price": {"records": 1, "right": 1, "with_gold": 1},
            "sound": {"records": 1, "right": 1, "with_gold": 1},
        },
    }


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_the_ways_that_records_went(tmp_path: pathlib.Path, form: str) -> None:
    """Rule, chosen model, answering model and status, the most frequent first."""
    ways = [tuple(one.values()) for one in tables(tmp_path, form)["flow"]]

    assert ways[0] == (None, "small", "small", "kept", 4)
    assert sorted(ways[1:], key=str) == [
        (1, "small", "small", "kept", 1),
        (None, "small", "big", "escalated", 1),
        (None, "small", "small", "duplicate", 1),
    ]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_seconds_of_records_and_of_calls(tmp_path: pathlib.Path, form: str) -> None:
    """Of 0, five times .5, and 2: the middle is .5, and 95 of 100 is nearest to the last."""
    found = tables(tmp_path, form)["seconds_per_record"]

    assert (found["p50"], found["p95"]) == (0.5, 2.0)
    assert found["by_model"] == {
        "big": {
            "calls": 1,
            "input_tokens": 100,
            "cached_tokens": 0,
            "output_tokens": 5,
            "seconds": 1.5,
            "usd": "0.020000000001",
            "p50": 1.5,
            "p95": 1.5,
        },
        "small": {
            "calls": 6,
            "input_tokens": 60,
            "cached_tokens": 36,
            "output_tokens": 0,
            "seconds": 3.0,
            "usd": "0.006000",
            "p50": 0.5,
            "p95": 0.5,
        },
    }


def test_confidences_by_task(tmp_path: pathlib.Path) -> None:
    """.57, .82 and twice .92, in bins of .05: the 12th, the 17th and the 19th."""
    found = tables(tmp_path)["confidence"]["mood"]

    assert found["records"] == 4
    assert {number: count for number, count in enumerate(found["histogram"]) if count} == {
        11: 1,
        16: 1,
        18: 2,
    }
    assert found["quantiles"] == [0.57, 0.82, 0.92, 0.92]


def test_confidences_of_many_records_are_thinned_evenly(tmp_path: pathlib.Path) -> None:
    """Of 600 values, every second one is kept."""
    found = tables(tmp_path, rows=[row("good", "good", sure=number / 1000) for number in range(600)])

    quantiles = found["confidence"]["mood"]["quantiles"]
    assert len(quantiles) == 300
    assert quantiles[:3] == [0.001, 0.003, 0.005]


def test_a_confidence_of_one_is_in_the_last_bin(tmp_path: pathlib.Path) -> None:
    """And one of zero in the first."""
    found = tables(tmp_path, rows=[row("good", "good", sure=sure) for sure in (1.0, 0.0)])

    counts = found["confidence"]["mood"]["histogram"]
    assert (counts[0], counts[-1], sum(counts)) == (1, 1, 2)


def test_spending_begins_with_the_dearest(tmp_path: pathlib.Path) -> None:
    """One of .021…, five of .001, one for nothing."""
    found = [tuple(one.values()) for one in tables(tmp_path)["spending"]]

    assert found[0] == (1, "0.021000000001")
    assert found[1] == (2, "0.022000000001")
    assert found[-2:] == [(6, "0.026000000001"), (7, "0.026000000001")]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_answers_against_true_labels(tmp_path: pathlib.Path, form: str) -> None:
    """4 of 6 are right; 5 of these carry a confidence."""
    gold = tables(tmp_path, form)["gold"]

    assert (gold["records"], gold["right"], gold["sure"]) == (6, 4, 5)
    assert gold["low"] < 4 / 6 < gold["high"]
    assert gold["risk_coverage"][-1] == {"threshold": 0.62, "kept": 1.0, "accuracy": 0.6}


def test_without_true_labels_nothing_is_said_of_right(tmp_path: pathlib.Path) -> None:
    """Unknown is not wrong."""
    found = tables(tmp_path, rows=[row(None, "good")])

    assert found["gold"] is None
    assert "gold" not in summary_tables(found)
    assert found["by"]["task"]["mood"] == {"records": 1, "escalated": 0, "usd": "0.001000", "seconds": 0.5}


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_every_figure_is_a_sum_over_the_rows(tmp_path: pathlib.Path, form: str) -> None:
    """All ways of parting the records add up to what the summary says of all of them."""
    found = summary_tables(tables(tmp_path, form))
    whole = summarise(tally_annotated(ROWS), read=7, seconds=1.0, gate={"certified": False}, large=None)

    for name in PARTS:
        parts = found["by"][name].values()
        assert sum(one["records"] for one in parts) == whole["records"]["annotated"], name
        assert sum(Decimal(one["usd"]) for one in parts) == Decimal(whole["cost_usd"]["total"]), name
        assert sum(one["escalated"] for one in parts) == whole["status"]["escalated"], name
    assert {name: one["records"] for name, one in found["by"]["model"].items()} == whole["answered_by"]
    assert sum(way["records"] for way in found["flow"]) == whole["records"]["annotated"]
    calls = found["seconds_per_record"]["by_model"]
    assert {name: one["usd"] for name, one in calls.items()} == whole["cost_usd"]["by_model"]
    for kind in ("input", "cached", "output"):
        assert sum(one[f"{kind}_tokens"] for one in calls.values()) == whole["tokens"][kind]
    assert sum(one["records"] for one in found["confidence"].values()) == 6
    assert all(sum(one["histogram"]) == one["records"] for one in found["confidence"].values())


def test_a_summary_of_a_whole_output_agrees_with_its_rows(tmp_path: pathlib.Path) -> None:
    """Four files of 5,003 records: what the last stage wrote is what polars counts in them."""
    summary = write_output(tmp_path / "out", Night(5_003))

    rows = pl.read_parquet(tmp_path / "out" / "annotations-*.parquet").unnest("annotation")
    assert json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8")) == summary
    assert summary["records"]["annotated"] == rows.height == 5_003
    language = rows["route"].struct.field("language").value_counts().sort("language").rows()
    assert sorted((name, one["records"]) for name, one in summary["by"]["language"].items()) == language
    usd = rows["usage"].struct.field("usd").sum()
    assert sum(Decimal(one["usd"]) for one in summary["by"]["status"].values()) == usd
    assert summary["gold"]["right"] == (rows["gold"] == rows["label"]).sum()


def test_numbers_of_a_summary_stand_on_one_line(tmp_path: pathlib.Path) -> None:
    """People read it, too."""
    write_output(tmp_path / "out", Night(1_000))

    text = (tmp_path / "out" / "summary.json").read_text(encoding="utf-8")
    [line] = [line for line in text.splitlines() if '"histogram": ' in line]
    assert line.strip().endswith("],")
    assert len(text.splitlines()) < 250


def test_an_output_without_rows_has_no_tables(tmp_path: pathlib.Path) -> None:
    """Somebody took them away; the report then says so."""
    assert read_output_tables(FILES, str(tmp_path), MANIFEST) is None


def test_no_records(tmp_path: pathlib.Path) -> None:
    """A job may annotate nothing."""
    (tmp_path / "annotations-00000-of-00001.jsonl").write_bytes(b"")

    found = read_output_tables(FILES, str(tmp_path), MANIFEST)

    assert found is not None
    assert found["by"] == {name: {} for name in PARTS}
    assert (found["flow"], found["spending"], found["gold"], found["confidence"]) == ([], [], None, {})
    assert found["seconds_per_record"] == {"p50": None, "p95": None, "by_model": {}}


@pytest.mark.parametrize(
    ("gold", "right"),
    [("good", True), ("bad", False), (None, None), (7, False), (True, False), ("\\ud800", False)],
)
def test_whatever_stands_in_the_gold_column(tmp_path: pathlib.Path, gold: Any, right: bool | None) -> None:
    """Numbers, truth values and half of a surrogate pair are labels that nobody gave."""
    value = '"\\ud800"' if gold == "\\ud800" else json.dumps(gold)
    line = {
        "annotation": {
            "task": "mood",
            "label": "good",
            "confidence": 0.9,
            "model": "small",
            "status": "kept",
        },
        "route": {"language": "en", "model": "small", "rule": None},
        "usage": {"seconds": 0.1, "usd": "0.1"},
    }
    text = f'{{"gold": {value}, {json.dumps(line)[1:]}\n'
    (tmp_path / "annotations-00000-of-00001.jsonl").write_text(text, encoding="utf-8")

    rows = read_output_rows(FILES, str(tmp_path), gold="gold", multi_label=["topics"])

    assert rows.records["right"].to_list() == [right]
    assert rows.calls.is_empty()


@pytest.mark.parametrize("gold", [["price", "sound"], '["sound", "price", null]'])
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_sets_of_true_labels(tmp_path: pathlib.Path, gold: Any, form: str) -> None:
    """As lists and as JSON text, in any order."""
    write_rows(tmp_path, [row(gold, "price", "sound", task="topics")], form)

    rows = read_output_rows(FILES, str(tmp_path), gold="gold", multi_label=["topics"])

    assert rows.records["right"].to_list() == [True]
    assert rows.labels["right"].to_list() == [True, True]


def test_parquet_without_some_columns(tmp_path: pathlib.Path) -> None:
    """An output of an earlier version, or of a job with multi_label tasks only, has fewer fields."""
    frame = pl.DataFrame(
        {
            "annotation": [{"task": "topics", "labels": ["price"], "model": "small", "status": "kept"}],
            "route": [{"language": "en", "model": "small"}],
            "usage": [{"seconds": 0.5, "usd": Decimal("0.1")}],
        }
    )
    frame.write_parquet(tmp_path / "annotations-00000-of-00001.parquet")

    rows = read_output_rows(FILES, str(tmp_path), gold="gold", multi_label=["topics"])

    assert rows.labels["label"].to_list() == ["price"]
    assert rows.records["confidence"].to_list() == [None]
    assert rows.records["right"].to_list() == [None]
