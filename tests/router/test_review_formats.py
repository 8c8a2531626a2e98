"""Records as Label Studio's and Argilla's imports take them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from router.records import Opinion
from router.review_formats import label_studio_config, name_of_text, review_task
from tests.router.review_examples import KEPT, SMALL, review_row

MOOD = {
    "name": "mood",
    "kind": "single_label",
    "instruction": "How does the writer feel?",
    "labels": [
        {"name": "good", "description": "the writer is pleased"},
        {"name": "bad", "description": None},
    ],
}
TOPICS = {
    "name": "topics",
    "kind": "multi_label",
    "instruction": "What is it about?",
    "labels": [{"name": "price", "description": None}],
}


def test_one_object_serves_both_programs() -> None:
    """With the final labels, what the small model said, and how sure it was."""
    assert review_task(review_row(), several=False) == {
        "id": "r1",
        "data": {
            "id": "r1",
            "text": "It <b>hums</b>.",
            "task": "mood",
            "why": "disputed",
            "status": "escalated",
            "labels": ["good"],
            "model": "big",
            "confidence": None,
            "small_labels": ["bad"],
            "small_model": "small",
            "small_confidence": 0.93,
        },
        "predictions": [
            {
                "model_version": "tekizai",
                "score": None,
                "result": [
                    {
                        "from_name": "mood",
                        "to_name": "text",
                        "type": "choices",
                        "value": {"choices": ["good"]},
                    }
                ],
            }
        ],
        "fields": {"text": "It <b>hums</b>."},
        "suggestions": {"mood": {"value": "good", "score": None, "agent": "big"}},
        "metadata": {
            "task": "mood",
            "why": "disputed",
            "status": "escalated",
            "labels": ["good"],
            "model": "big",
            "small_labels": ["bad"],
            "small_model": "small",
            "small_confidence": 0.93,
        },
    }


def test_a_kept_answer_has_its_confidence() -> None:
    """As the score of the prediction and of the suggestion."""
    task = review_task(review_row(said=KEPT, small=KEPT), several=False)

    assert task["data"]["why"] == "unsure"
    assert task["data"]["small_confidence"] == 0.4
    assert task["predictions"][0]["score"] == 0.4
    assert task["suggestions"] == {"mood": {"value": "good", "score": 0.4, "agent": "small"}}


def test_several_labels_are_a_list_without_a_score() -> None:
    """Argilla wants a score for each label of a list, and the confidence is one for all."""
    both = Opinion("small", ("good", "new"), 0.4)

    task = review_task(review_row(said=both, small=both), several=True)

    assert task["suggestions"] == {"mood": {"value": ["good", "new"], "score": None, "agent": "small"}}
    assert task["predictions"][0]["result"][0]["value"] == {"choices": ["good", "new"]}


def test_no_label_is_no_suggestion() -> None:
    """Argilla refuses an empty list; Label Studio takes it for nothing chosen."""
    none = Opinion("big", (), None)

    task = review_task(review_row(said=none, small=SMALL), several=True)

    assert task["suggestions"] == {}
    assert task["predictions"][0]["result"][0]["value"] == {"choices": []}
    assert "labels" not in task["metadata"]


@pytest.mark.parametrize(
    ("model", "agent"),
    [
        ("gpt-5 mini/v1.2:b_3", "gpt-5 mini/v1.2:b_3"),
        ("大", None),
        ("a+b", None),
        ("--", None),
        ("a" * 200, "a" * 200),
        ("a" * 201, None),
    ],
)
def test_names_that_argilla_refuses_are_left_out(model: str, agent: str | None) -> None:
    """They are in the metadata all the same."""
    task = review_task(review_row(said=Opinion(model, ("good",), None)), several=False)

    assert task["suggestions"]["mood"]["agent"] == agent
    assert task["metadata"]["model"] == model


def parsed(*tasks: dict[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """The tags of the configuration with their attributes, in order."""
    root = ET.fromstring(label_studio_config(tasks))
    return [(tag.tag, dict(tag.attrib)) for tag in root.iter()]


def test_the_configuration_of_one_task() -> None:
    """Its labels are the choices, and what they mean is shown beside them."""
    assert label_studio_config([MOOD]) == (
        "<View>\n"
        '  <Text name="text" value="$text" valueType="text" />\n'
        '  <Header size="5" value="mood: How does the writer feel?" />\n'
        '  <Choices name="mood" toName="text" choice="single" required="true">\n'
        '    <Choice value="good" hint="the writer is pleased" />\n'
        '    <Choice value="bad" />\n'
        "  </Choices>\n"
        "</View>\n"
    )


def test_the_configuration_of_several_tasks() -> None:
    """Each row names its task, and no question has to be answered for records of the others."""
    found = parsed(MOOD, TOPICS)

    assert found[1] == ("Header", {"value": "$task"})
    assert [attributes for tag, attributes in found if tag == "Choices"] == [
        {"name": "mood", "toName": "text", "choice": "single", "required": "false"},
        {"name": "topics", "toName": "text", "choice": "multiple", "required": "false"},
    ]


def test_several_labels_need_not_be_chosen() -> None:
    """None may be right."""
    assert '<Choices name="topics" toName="text" choice="multiple" required="false">' in label_studio_config(
        [TOPICS]
    )


def test_hostile_names_stay_names() -> None:
    """Markup, quotes and line ends are escaped; what XML cannot hold is replaced."""
    name = '"><script>alert(1)</script>&\n\t\'"'
    labels = [{"name": name}, {"name": "a\x00\ud800b"}]
    hostile = {**MOOD, "name": name, "instruction": name, "labels": labels}

    found = parsed(hostile)

    assert [tag for tag, _ in found] == ["View", "Text", "Header", "Choices", "Choice", "Choice"]
    assert found[3][1]["name"] == found[4][1]["value"] == name
    assert found[5][1] == {"value": "a\ufffd\ufffdb"}


def test_a_dollar_is_no_variable() -> None:
    """What Label Studio exports is the alias, where there is one."""
    found = parsed({**MOOD, "labels": [{"name": "under $100"}, {"name": "more"}]})

    assert [attributes for tag, attributes in found if tag == "Choice"] == [
        {"value": "under $100", "alias": "under $100"},
        {"value": "more"},
    ]


def test_a_task_may_be_called_text() -> None:
    """Names must differ, so the text gets another one, in the configuration and in the rows."""
    tasks = {"text": {**MOOD, "name": "text"}, "text_": {**MOOD, "name": "text_"}}
    shown = name_of_text(tasks)

    assert shown == "text__"
    assert parsed(*tasks.values())[2] == ("Text", {"name": shown, "value": "$text", "valueType": "text"})
    row = review_task(review_row(task="text"), several=False, shown=shown)
    assert row["predictions"][0]["result"][0]["to_name"] == shown
