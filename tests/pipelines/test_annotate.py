"""Whole jobs on Beam's local runner, with fake models where a model would only take time."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import JobFailedError
from pipelines.prepare import prepare
from pipelines.runner import options_of, run_plan
from router.bias import LEAST_SAMPLE
from router.records import Reason, write_money
from tests.fake_llm_server import Behaviour, FakeLlmServer
from tests.pipelines.jobs import SENTIMENT, TOPICS, read_written
from transforms import read_records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.pipelines.jobs import World, Written


def row(which: int, text: str, **more: Any) -> dict[str, Any]:
    """An input row."""
    return {"id": f"r{which}", "text": text, **more}


def llm(server: FakeLlmServer, **more: Any) -> dict[str, Any]:
    """A hosted model on this machine; a call of 100 and 5 tokens costs 0.0001 + 0.00001 dollars."""
    price = {"input_usd_per_million_tokens": "1", "output_usd_per_million_tokens": "2"}
    return {
        "engine": "openai",
        "model": "fake",
        "base_url": server.base_url,
        "price": price,
        "max_retries": 0,
        **more,
    }


def models(world: World, **more: Mapping[str, Any]) -> dict[str, Any]:
    """The fake small model, and others."""
    small: dict[str, Any] = world.job().models["small"].model_dump(mode="json", exclude_none=True)
    return {"small": small, **more}


def test_trusted_answers_are_kept_and_others_escalated(world: World) -> None:
    """The small model's answer stands from .8 on; below it the large model's does, and both are paid."""
    world.write_lines(
        [
            row(1, "good =positive:0.9"),
            row(2, "just =positive:0.8"),
            row(3, "hm small=positive:0.79 large=negative:0.7"),
        ]
    )

    written = world.run()

    assert written.labels() == {"r1": "positive", "r2": "positive", "r3": "negative"}
    assert written.statuses() == {"r1": "kept", "r2": "kept", "r3": "escalated"}
    said = [written.by_id()[name]["annotation"] for name in ("r1", "r3")]
    assert [one["model"] for one in said] == ["small", "large"]
    assert said[1]["reason"] == "small: confidence 0.790 below 0.8"
    assert written.by_id()["r3"]["usage"]["usd"] == Decimal("0.001")


BROKEN = [
    '{"id": "r1", "text": "fine =positive:0.9"}',
    '{"id": "r2", "text": ',
    "[1, 2]",
    '{"id": "r3"}',
    '{"id": "r4", "text": 7}',
    '{"id": "r5", "text": " \\t"}',
    '{"id": "r6", "text": "' + "x" * 101 + '"}',
    '{"text": "no id"}',
    '{"id": "r1", "text": "again =positive:0.9"}',
    '{"id": "r9", "text": "!engine fails"}',
    '{"id": "r10", "text": "fine =negative:0.9"}',
    '{"id": "r11", "text": "!engine fails"}',
]


def test_every_bad_row_is_a_dead_letter_with_its_reason(world: World) -> None:
    """The job goes on; what was read is what was annotated and what was refused."""
    world.write_lines(BROKEN)
    with (world.folder / "in.jsonl").open("ab") as stream:
        stream.write(b'{"id": "r12", "text": "\xff"}\n')

    written = world.run(routing={"default": "small"}, limits={"max_characters": 100})

    assert written.labels() == {"r1": "positive", "r10": "negative"}
    assert Counter(letter["reason"] for letter in written.dead) == {
        "invalid_json": 1,
        "not_an_object": 1,
        "missing_text": 1,
        "text_not_string": 1,
        "empty_text": 1,
        "text_too_long": 1,
        "missing_id": 1,
        "duplicate_id": 1,
        "model_error": 2,
        "invalid_utf8": 1,
    }
    assert written.summary["records"] == {"read": 13, "annotated": 2, "dead_lettered": 11, "duplicates": 0}
    records = {letter["reason"]: letter["record"] for letter in written.dead}
    assert records["duplicate_id"] == '{"id": "r1", "text": "again =positive:0.9"}'
    assert records["model_error"] in (BROKEN[9], BROKEN[11])
    assert {letter["id"] for letter in written.dead if letter["reason"] == "model_error"} == {"r9", "r11"}


def test_copies_share_one_answer(world: World) -> None:
    """In two files; the first in input order is asked about, its copies cost nothing."""
    world.write_lines([row(1, "same =positive:0.9"), row(2, "same =positive:0.9")], "in/a.jsonl")
    world.write_lines(
        [row(3, "other =negative:0.9"), row(4, "same =positive:0.9"), row(1, "same =positive:0.9")],
        "in/b.jsonl",
    )

    written = world.run(input={"path": str(world.folder / "in/*.jsonl"), "text": "text", "id": "id"})

    assert written.statuses() == {"r1": "kept", "r2": "duplicate", "r3": "kept", "r4": "duplicate"}
    assert written.labels() == {"r1": "positive", "r2": "positive", "r3": "negative", "r4": "positive"}
    assert written.reasons() == {"r1": "duplicate_id"}
    usage = {name: found["usage"]["usd"] for name, found in written.by_id().items()}
    assert usage == {"r1": Decimal("0.0005"), "r2": 0, "r3": Decimal("0.0005"), "r4": 0}
    assert written.summary["records"]["duplicates"] == 2


def test_without_an_id_column_ids_come_from_the_content(world: World) -> None:
    """Copies get distinct ones, and the output has a column for them."""
    world.write_lines([{"text": "same"}, {"text": "other"}, {"text": "same"}, {"text": "same"}])

    written = world.run(input={"path": str(world.folder / "in.jsonl"), "text": "text"})

    ids = {found["id"]: found["text"] for found in written.annotations}
    [same] = [name for name, text in ids.items() if text == "same" and len(name) == 32]
    [other] = [name for name, text in ids.items() if text == "other"]
    assert ids == {same: "same", other: "other", f"{same}-2": "same", f"{same}-3": "same"}


def test_each_task_has_its_labels(world: World) -> None:
    """A column names the task; the same text under another task is no copy."""
    world.write_lines(
        [
            row(1, "=positive:0.9 =price:0.8 =sound:0.95", kind="sentiment"),
            row(2, "=positive:0.9 =price:0.8 =sound:0.95", kind="topics"),
            row(3, "plain", kind="topics"),
            row(4, "plain", kind="sentimental"),
        ]
    )

    written = world.run(
        input={"path": str(world.folder / "in.jsonl"), "text": "text", "id": "id", "task": "kind"},
        tasks=[SENTIMENT, TOPICS],
    )

    said = {name: found["annotation"] for name, found in written.by_id().items()}
    assert {name: (one["label"], one["labels"]) for name, one in said.items()} == {
        "r1": ("positive", None),
        "r2": (None, ["price", "sound"]),
        "r3": (None, []),
    }
    assert said["r2"]["confidence"] == pytest.approx(0.8)
    assert written.reasons() == {"r4": "unknown_task"}


def test_rules_choose_by_language_and_length(world: World) -> None:
    """A record for the large model goes there at once."""
    world.write_lines(
        [
            row(1, "これは良いです。ありがとう。=positive:0.6"),
            row(2, "A perfectly ordinary English sentence. =positive:0.9"),
            row(3, "Another ordinary English sentence. =positive:0.9" + " more" * 30),
        ]
    )
    rules = [
        {"when": {"languages": ["ja", "zh"]}, "use": "large"},
        {"when": {"characters_above": 150}, "use": "other"},
    ]

    written = world.run(
        models={**models(world), "large": models(world)["small"], "other": models(world)["small"]},
        routing={"default": "small", "escalate_to": "large", "rules": rules, "gate": {"min_confidence": 0.8}},
    )

    found = written.by_id()
    assert [(found[name]["route"]["language"], found[name]["route"]["rule"]) for name in found] == [
        ("ja", 0),
        ("en", None),
        ("en", 1),
    ]
    assert {name: one["annotation"]["model"] for name, one in found.items()} == {
        "r1": "large",
        "r2": "small",
        "r3": "other",
    }
    assert written.statuses() == {"r1": "routed", "r2": "kept", "r3": "routed"}


def check_sums(written: Written) -> None:
    """Compute every figure of summary.json anew from the rows that were written."""
    summary = written.summary
    rows = pl.DataFrame(
        [
            {
                "model": found["annotation"]["model"],
                "status": found["annotation"]["status"],
                **{name: value for name, value in found["usage"].items() if name != "calls"},
            }
            for found in written.annotations
        ],
        schema_overrides={"usd": pl.Decimal(38, 12), "calibration_usd": pl.Decimal(38, 12)},
    )
    calls = pl.DataFrame(
        [call for found in written.annotations for call in found["usage"]["calls"]],
        schema_overrides={"usd": pl.Decimal(38, 12)},
    )
    by_model = calls.group_by("model").agg(pl.col("usd").sum(), pl.len().alias("asked")).sort("model")
    total: Any = rows["usd"].sum()
    calibration: Any = rows["calibration_usd"].sum()
    large_usd, asked = by_model.filter(model="large").select("usd", "asked").row(0)
    baseline = (large_usd / asked * len(rows)).quantize(Decimal("0.000000000001"))

    assert summary["records"] == {
        "read": len(rows) + len(written.dead),
        "annotated": len(rows),
        "dead_lettered": len(written.dead),
        "duplicates": len(rows.filter(status="duplicate")),
    }
    assert summary["answered_by"] == dict(Counter(rows["model"]))
    assert {name: count for name, count in summary["status"].items() if count} == dict(
        Counter(rows["status"])
    )
    assert summary["dead_letters"] == dict(Counter(letter["reason"] for letter in written.dead))
    assert summary["cost_usd"] == {
        "total": write_money(total),
        "by_model": {model: write_money(usd) for model, usd, _ in by_model.rows()},
        "calibration": write_money(calibration),
        "dead_letters": write_money(Decimal(0)),
        "baseline_all_llm": write_money(baseline),
        "baseline_basis": f"mean of {asked} records that large was asked about",
        "saved_fraction": pytest.approx(float(1 - total / baseline)),
    }
    assert summary["tokens"] == {name: rows[f"{name}_tokens"].sum() for name in ("input", "cached", "output")}
    assert total == calls["usd"].sum()
    assert rows["seconds"].sum() == pytest.approx(calls["seconds"].sum())


def test_every_figure_of_the_summary_is_a_sum_over_what_was_written(world: World) -> None:
    """A job with everything in it: calibration, escalation, copies, dead letters."""
    # As many of one label as of the other, so that dividing by the mean leaves them sure.
    sure = [f"text {number} ={'positive' if number % 2 else 'negative'}:0.95" for number in range(30)]
    lines: list[Any] = [row(number, text) for number, text in enumerate(sure)]
    lines += [
        row(100 + number, f"hard {number} small=positive:0.6 large=negative:0.8") for number in range(9)
    ]
    lines += [row(200, sure[1]), row(201, "hard 1 small=positive:0.6 large=negative:0.8")]
    lines += [row(202, ""), row(1, "again"), "{"]
    world.write_lines(lines)

    written = world.run(calibration={"sample": 20})

    check_sums(written)
    records, cost = written.summary["records"], written.summary["cost_usd"]
    assert records == {"read": 44, "annotated": 41, "dead_lettered": 3, "duplicates": 2}
    # The large model was asked about 20 sampled records and about those escalated; one answer costs .0005.
    assert Decimal(cost["by_model"]["small"]) == 39 * Decimal("0.0005")
    assert Decimal(cost["by_model"]["large"]) >= 20 * Decimal("0.0005")
    assert 0 < Decimal(cost["calibration"]) < Decimal(cost["by_model"]["large"])
    assert [entry["records"] for entry in written.summary["calibration"]] == [20, 20]
    assert LEAST_SAMPLE <= 20


def test_a_lost_record_stops_the_job(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index counts three records; one of them never comes out: nothing is published."""
    world.write_lines([row(number, f"text {number}") for number in range(3)])
    process = read_records.ReadSplit.process

    def forgetful(self: Any, *arguments: Any) -> Any:
        found: Any = process(self, *arguments)
        return (one for one in found if one.record.id != "r1")

    monkeypatch.setattr(read_records.ReadSplit, "process", forgetful)

    with pytest.raises(JobFailedError) as failure:
        world.run(routing={"default": "small"})

    assert str(failure.value) == (
        "3 records were read, but 2 annotated and 0 dead-lettered (together 2); nothing was published. Run "
        "again if the input changed meanwhile; otherwise this is a bug: please report it"
    )
    assert not list(world.output.glob("*.*"))


OWN_BYTES = [
    '{"id": 1, "text": "a", "big": 123456789012345678901234567890, "x": 1e308, "y": 1.10}',
    '{"z": null, "text": "\\u00e9\\ud83d\\ude00", "id": 2, "z": {"b": 1, "a": [ ]}}',
    '{ "id":3 ,"text":"\\u2028 é" }',
]


def test_json_lines_keep_their_bytes(world: World) -> None:
    """From JSONL to JSONL the row stays as it was written, and three columns follow."""
    world.write_lines(OWN_BYTES)

    world.run(output={"path": str(world.output), "format": "jsonl"})

    [path] = world.output.glob("annotations-*.jsonl")
    lines = path.read_text(encoding="utf-8").split("\n")
    for own, line in zip(OWN_BYTES, lines, strict=False):
        assert line.startswith(own.rstrip("} ") + ("}}" if own.endswith("]}}") else "")[:-1])
    assert [list(json.loads(line))[-3:] for line in lines if line] == [["annotation", "route", "usage"]] * 3


def test_json_lines_become_typed_parquet(world: World) -> None:
    """One schema for all files and splits: dates stay text, mixed values become JSON text."""
    world.write_lines(
        [
            row(1, "one", day="2024-01-31", mixed=1, number=1, nested={"a": [1]}),
            row(2, "two", day=None, mixed="x", number=2.5, nested={"b": True}),
        ],
        "in/a.jsonl",
    )
    world.write_lines([row(3, "three", number=3, later=[None, "x"])], "in/b.jsonl")

    written = world.run(input={"path": str(world.folder / "in/*.jsonl"), "text": "text", "id": "id"})

    [path] = written.folder.glob("annotations-*.parquet")
    table = pq.read_table(path)
    struct = pa.struct([("a", pa.list_(pa.int64())), ("b", pa.bool_())])
    assert list(table.schema)[:-3] == [
        pa.field("id", pa.string()),
        pa.field("text", pa.string()),
        pa.field("day", pa.string()),
        pa.field("mixed", pa.string()),
        pa.field("number", pa.float64()),
        pa.field("nested", struct),
        pa.field("later", pa.list_(pa.string())),
    ]
    assert table.select(["day", "mixed", "number", "nested", "later"]).to_pylist() == [
        {"day": "2024-01-31", "mixed": "1", "number": 1.0, "nested": {"a": [1], "b": None}, "later": None},
        {"day": None, "mixed": '"x"', "number": 2.5, "nested": {"a": None, "b": True}, "later": None},
        {"day": None, "mixed": None, "number": 3.0, "nested": None, "later": [None, "x"]},
    ]


CARRIED = pa.schema(
    [
        ("id", pa.int64()),
        ("text", pa.string()),
        ("price", pa.decimal128(9, 2)),
        ("day", pa.date32()),
        ("raw", pa.large_binary()),
        ("kind", pa.dictionary(pa.int32(), pa.string())),
        ("nested", pa.struct([("a", pa.list_(pa.struct([("b", pa.int16())])))])),
    ]
)


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_parquet_columns_are_carried_through(world: World, form: str) -> None:
    """To Parquet with the schema and the values that they had, to JSONL as JSON can say them."""
    rows = [
        {
            "id": number,
            "text": f"text {number}",
            "price": Decimal("12.30"),
            "day": None,
            "raw": b"\xff\x00",
            "kind": "k",
            "nested": {"a": [{"b": 1}]},
        }
        for number in range(3)
    ]
    table = pa.Table.from_pylist(rows, schema=CARRIED)
    pq.write_table(table, world.folder / "in.parquet", row_group_size=2)

    written = world.run(
        input={"path": str(world.folder / "in.parquet"), "text": "text", "id": "id"},
        output={"path": str(world.output), "format": form},
    )

    if form == "parquet":
        [path] = written.folder.glob("annotations-*.parquet")
        found = pq.read_table(path)
        assert pa.schema(list(found.schema)[:-3]) == CARRIED
        assert found.select(CARRIED.names).to_pylist() == rows
    else:
        own = [{name: found[name] for name in CARRIED.names} for found in written.annotations]
        shown = {"price": "12.30", "day": None, "raw": "/wA=", "kind": "k", "nested": {"a": [{"b": 1}]}}
        assert own == [{"id": number, "text": f"text {number}", **shown} for number in range(3)]


def test_an_empty_input_is_a_job_of_zero_records(world: World) -> None:
    """Not an error: yesterday nobody wrote a review."""
    world.write_lines([])

    written = world.run()

    assert written.summary["records"] == {"read": 0, "annotated": 0, "dead_lettered": 0, "duplicates": 0}
    assert written.annotations == []


def test_a_real_endpoint_as_the_large_model(world: World) -> None:
    """What is doubted goes there; what it never answers usably keeps the small model's label."""
    world.write_lines(
        [
            row(1, "good =positive:0.9"),
            row(2, "hm =positive:0.6"),
            row(3, "mumble =positive:0.7"),
        ]
    )

    def behave(request: Mapping[str, Any]) -> Behaviour:
        mumbled = "mumble" in json.dumps(request["messages"])
        return Behaviour(answer="I would rather not say" if mumbled else '{"label": "negative"}')

    with FakeLlmServer(behave=behave) as server:
        written = world.run(models=models(world, large=llm(server)))

    assert written.statuses() == {"r1": "kept", "r2": "escalated", "r3": "llm_unusable"}
    assert written.labels() == {"r1": "positive", "r2": "negative", "r3": "positive"}
    assert written.by_id()["r3"]["annotation"]["raw_answer"] == "I would rather not say"
    assert (len(server.requests), server.billed) == (3, 3)
    # 100 tokens in at a dollar a million, 5 out at two; the unusable answer was asked for twice.
    assert {name: found["usage"]["usd"] for name, found in written.by_id().items()} == {
        "r1": Decimal("0.0005"),
        "r2": Decimal("0.00061"),
        "r3": Decimal("0.00072"),
    }
    assert written.summary["cost_usd"]["by_model"]["large"] == "0.000330"


def test_a_rule_to_a_model_that_cannot_answer_escalates(world: World) -> None:
    """The second endpoint is asked; where that fails too, the record is a dead letter."""
    world.write_lines([row(1, "first fails"), row(2, "both fail")])

    def behave(request: Mapping[str, Any]) -> Behaviour:
        mute = "both" in json.dumps(request["messages"])
        return Behaviour(answer="hm" if mute else '{"label": "positive"}')

    with FakeLlmServer(answer=lambda _: "hm") as first, FakeLlmServer(behave=behave) as second:
        written = world.run(
            models=models(world, first=llm(first), second=llm(second)),
            routing={
                "default": "small",
                "escalate_to": "second",
                "rules": [{"when": {"characters_above": 1}, "use": "first"}],
            },
        )

    assert written.statuses() == {"r1": "escalated"}
    [letter] = written.dead
    assert (letter["id"], letter["reason"], letter["stage"]) == ("r2", "llm_unusable", "answer")
    assert json.loads(letter["record"]) == {"id": "r2", "text": "both fail"}


def test_an_endpoint_that_refuses_the_key_stops_the_job(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not record by record: somebody has to act. The message does not hold the key."""
    monkeypatch.setenv("FAKE_KEY", "sk-wrong")
    world.write_lines([row(1, "hm =positive:0.6")])

    with FakeLlmServer(key="right") as server:
        large = llm(server, api_key_env="FAKE_KEY")
        with pytest.raises(JobFailedError, match="Set the environment variable FAKE_KEY") as failure:
            world.run(models=models(world, large=large))

    assert "\n" not in str(failure.value)
    assert "sk-wrong" not in str(failure.value)


def test_a_server_that_is_down_costs_no_record(world: World) -> None:
    """The small model's answers stand, and the status says so."""
    world.write_lines([row(1, "hm =positive:0.6"), row(2, "good =positive:0.9")])

    with FakeLlmServer(behave=lambda _: Behaviour(status=503, body=b"{}")) as server:
        written = world.run(models=models(world, large=llm(server)))

    assert written.statuses() == {"r1": "llm_unavailable", "r2": "kept"}


def test_two_worker_processes_find_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same labels, statuses, scores and ids; only times and files may differ."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setattr("pipelines.prepare._SPLIT_BYTES", 600)
    lines = [row(number, f"text {number} =positive:0.{number % 5 + 5}") for number in range(60)]
    lines += [row(100 + number, f"text {number} =positive:0.{number % 5 + 5}") for number in range(20)]
    lines += [row(5, "again"), row(300, "")]
    world.write_lines(lines)
    calibration = {"sample": 25}

    alone = world.run(calibration=calibration)
    options = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    output = world.folder / "out-2"
    plan = prepare(world.job(output={"path": str(output)}, calibration=calibration), workers=2)
    run_plan(plan, options_of(options))
    together = read_written(output)

    assert len(plan.splits) > 4
    assert together.by_id() == alone.by_id()
    assert together.reasons() == alone.reasons()
    same = ("records", "answered_by", "status", "dead_letters", "cost_usd", "tokens", "calibration")
    assert {name: together.summary[name] for name in same} == {name: alone.summary[name] for name in same}


@pytest.mark.parametrize("name", ["small", "copies", "read"])
def test_a_large_model_may_have_any_name(world: World, name: str) -> None:
    """Also one that is a word in the pipeline: no record goes missing."""
    local = models(world)["small"]
    world.write_lines([row(1, "hm =positive:0.6"), row(2, "good =positive:0.9"), row(3, "")])

    written = world.run(
        models={"tiny": local, name: local},
        routing={"default": "tiny", "escalate_to": name, "gate": {"min_confidence": 0.8}},
    )

    assert written.statuses() == {"r1": "escalated", "r2": "kept"}


def test_reasons_of_dead_letters_are_a_closed_list() -> None:
    """Users rely on the words."""
    assert {reason.value for reason in Reason} == {
        "invalid_json",
        "not_an_object",
        "invalid_utf8",
        "missing_text",
        "text_not_string",
        "empty_text",
        "text_too_long",
        "missing_id",
        "duplicate_id",
        "unknown_task",
        "corrupt_data",
        "model_error",
        "llm_unusable",
        "llm_unavailable",
        "over_budget",
    }
