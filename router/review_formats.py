"""How a record to be looked at is given to Label Studio and to Argilla.

One object serves both: each reads its own keys and passes over the other's. Label Studio takes `data` and
`predictions`, Argilla `id`, `fields`, `suggestions` and `metadata`.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

from router.job_generation import GENERATE
from router.records import Status

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from router.review import ReviewRow

MODEL_VERSION = "tekizai"
"""The same for all rows: Label Studio shows only the predictions of one model version at a time."""

_TEXT = "text"
_AGENT = re.compile(r"[A-Za-z0-9_:./\s-]*[A-Za-z0-9][A-Za-z0-9_:./\s-]*")
"""The names that Argilla takes for who made a suggestion."""
_AGENT_CHARACTERS = 200
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def review_task(
    row: ReviewRow, *, several: bool, shown: str = _TEXT, written: bool = False
) -> dict[str, Any]:
    """A record as a task of Label Studio and a record of Argilla.

    Args:
        row: The record with what was said of it.
        several: Whether its task is a multi_label one.
        shown: What `name_of_text` gives for the job's tasks.
        written: Whether its task is a generate one, whose answer is text to be corrected.
    """
    facts = {
        "task": row.task,
        "why": _why(row),
        "status": row.status.value,
        "labels": list(row.said.labels),
        "model": row.said.model,
        "confidence": row.said.confidence,
        "small_labels": list(row.small.labels),
        "small_model": row.small.model,
        "small_confidence": row.small.confidence,
        **({"checks": list(row.said.checks)} if written else {}),
    }
    choices = {
        "from_name": row.task,
        "to_name": shown,
        "type": "textarea" if written else "choices",
        "value": {"text" if written else "choices": list(row.said.labels)},
    }
    return {
        "id": row.id,
        "data": {"id": row.id, "text": row.text, **facts},
        "predictions": [
            {"model_version": MODEL_VERSION, "score": row.said.confidence, "result": [choices]},
        ],
        "fields": {"text": row.text},
        "suggestions": _suggestions(row, several=several),
        "metadata": {name: value for name, value in facts.items() if value not in (None, [])},
    }


def _suggestions(row: ReviewRow, *, several: bool) -> dict[str, Any]:
    said = row.said
    if not said.labels:
        # Argilla refuses an empty list of labels.
        return {}
    agent = said.model if len(said.model) <= _AGENT_CHARACTERS and _AGENT.fullmatch(said.model) else None
    # With a list of labels it wants a score for each, and a confidence is one for all.
    value, score = (list(said.labels), None) if several else (said.labels[0], said.confidence)
    return {row.task: {"value": value, "score": score, "agent": agent}}


def _why(row: ReviewRow) -> str:
    if row.status is Status.NEEDS_HUMAN:
        return Status.NEEDS_HUMAN.value
    if row.said.checks:
        return "failed_checks"
    return "disputed" if row.disputed else "unsure"


def name_of_text(tasks: Collection[str]) -> str:
    """The name of the text in Label Studio's configuration: `text`, unless a task is called so.

    Args:
        tasks: The names of the job's tasks, which are those of the questions.
    """
    name = _TEXT
    while name in tasks:
        name += "_"
    return name


def label_studio_config(tasks: Sequence[Mapping[str, Any]]) -> str:
    """The labelling configuration of a Label Studio project: the text, and a question for each task.

    Args:
        tasks: The tasks as the job file has them.
    """
    view = ET.Element("View")
    shown = name_of_text([task["name"] for task in tasks])
    if len(tasks) > 1:
        # Which of the questions is to be answered.
        _add(view, "Header", value="$task")
    _add(view, "Text", name=shown, value="$text", valueType="text")
    for task in tasks:
        several = task["kind"] == "multi_label"
        _add(view, "Header", size="5", value=f"{task['name']}: {task['instruction']}")
        if task["kind"] == GENERATE:
            _add(view, "TextArea", name=task["name"], toName=shown, editable="true", maxSubmissions="1")
            continue
        choices = _add(
            view,
            "Choices",
            name=task["name"],
            toName=shown,
            choice="multiple" if several else "single",
            required="true" if len(tasks) == 1 and not several else "false",
        )
        for label in task["labels"]:
            _add_choice(choices, label)
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def _add_choice(choices: ET.Element, label: Mapping[str, Any]) -> None:
    attributes = {"value": label["name"]}
    if "$" in label["name"]:
        # Label Studio takes it for a variable in what it shows, but not in the alias, which it exports.
        attributes["alias"] = label["name"]
    if label.get("description"):
        attributes["hint"] = label["description"]
    _add(choices, "Choice", **attributes)


def _add(parent: ET.Element, tag: str, **attributes: str) -> ET.Element:
    legal = {name: _NOT_XML.sub("\ufffd", value) for name, value in attributes.items()}
    return ET.SubElement(parent, tag, legal)
