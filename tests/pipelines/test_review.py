"""A job's review files, and the way back of what people correct in them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from router.corrections import Correction
from tests.pipelines.jobs import SENTIMENT, TOPICS
from transforms.read_corrections import read_corrections

if TYPE_CHECKING:
    from tests.pipelines.jobs import World

ROWS = [
    {"id": "sure", "text": "good =positive:0.99", "task": "sentiment"},
    {"id": "unsure", "text": "hm =positive:0.85", "task": "sentiment"},
    {"id": "disputed", "text": "so small=positive:0.7 large=negative:0.9", "task": "sentiment"},
    {"id": "agreed", "text": "so so small=positive:0.6 large=positive:0.8", "task": "sentiment"},
    {"id": "copy", "text": "hm =positive:0.85", "task": "sentiment"},
]


def reviewed(world: World) -> list[dict[str, Any]]:
    """The rows that a job of two tasks offers."""
    world.write_lines(ROWS)
    columns = {"path": str(world.folder / "in.jsonl"), "text": "text", "id": "id", "task": "task"}
    written = world.run(input=columns, tasks=[SENTIMENT, TOPICS])
    found: list[dict[str, Any]] = json.loads((written.folder / "review.json").read_text(encoding="utf-8"))
    lines = (written.folder / "review-00000-of-00001.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == found
    return found


def test_unsure_and_disputed_answers_come_first(world: World) -> None:
    """Each with what the small model said of it."""
    rows = reviewed(world)

    assert [row["id"] for row in rows] == ["agreed", "disputed", "unsure", "sure"]
    facts = {row["id"]: row["data"] for row in rows}
    shown = ("why", "labels", "model", "confidence", "small_labels", "small_model", "small_confidence")
    assert [facts["disputed"][key] for key in shown] == [
        "disputed",
        ["negative"],
        "large",
        0.9,
        ["positive"],
        "small",
        0.7,
    ]
    assert [facts["agreed"][key] for key in shown] == [
        "unsure",
        ["positive"],
        "large",
        0.8,
        ["positive"],
        "small",
        0.6,
    ]
    config = (world.output / "review-label-studio.xml").read_text(encoding="utf-8")
    assert config.count("<Choices ") == 2


def test_corrections_find_their_way_back(world: World) -> None:
    """What Label Studio and Argilla export of the rows that they were given names the job's own records."""
    label_studio, argilla = world.folder / "label-studio.json", world.folder / "argilla.json"
    exported, records = [], []
    for number, row in enumerate(reviewed(world)):
        chosen = {**row["predictions"][0]["result"][0], "value": {"choices": ["negative"]}}
        annotations = [{"result": [chosen], "was_cancelled": False, "updated_at": "2026-01-02T03:04:05Z"}]
        exported.append({"id": number, "data": row["data"], "annotations": annotations if number < 2 else []})
        [question] = row["suggestions"]
        own = {key: row[key] for key in ("id", "fields", "metadata", "suggestions")}
        answers = {question: [{"value": "negative", "user_id": "u"}]} if number < 2 else {}
        records.append({**own, "responses": answers, "status": "completed" if number < 2 else "pending"})
    label_studio.write_text(json.dumps(exported), encoding="utf-8")
    argilla.write_text(json.dumps(records), encoding="utf-8")

    expected = {name: Correction("sentiment", ("negative",)) for name in ("agreed", "disputed")}
    assert read_corrections(str(label_studio)) == expected
    assert read_corrections(str(argilla)) == expected
