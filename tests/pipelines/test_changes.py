"""What a user is told of a job that changed since its last run."""

from __future__ import annotations

from typing import Any

from pipelines.changes import changed_keys, describe_changes

TASK = {"name": "mood", "labels": [{"name": "good"}, {"name": "bad"}], "instruction": "Judge."}


def manifest(prints: dict[str, dict[str, str]], **changes: Any) -> dict[str, Any]:
    """A manifest of a job."""
    job = {"name": "j", "output": {"format": "parquet"}, "tasks": [TASK], "limits": {"max_characters": 9}}
    return {"job": {**job, **changes}, "answers": prints}


def test_nothing_is_said_of_a_first_run() -> None:
    """There are no answers to lose."""
    assert describe_changes({}, manifest({"small": {"mood": "aa"}}), {}) == []


def test_a_new_format_invalidates_nothing() -> None:
    """Only what decides an answer does."""
    before = manifest({"small": {"mood": "aa"}})
    now = manifest({"small": {"mood": "aa"}}, output={"format": "jsonl"})

    assert describe_changes(before, now, {"aa": 1200}) == [
        "the job changed since its last run: output.format",
        "continuing: 1,200 answers are in the journal and are not asked for again",
    ]


def test_new_labels_invalidate_the_answers_of_their_task() -> None:
    """Those of the other task stay; a model that is no longer named is said apart."""
    prints = {"small": {"mood": "aa", "topic": "bb"}, "big": {"mood": "cc", "topic": "dd"}}
    before = manifest(prints)
    labels = [{"name": "good"}, {"name": "so-so"}, {"name": "bad"}]
    now = manifest({"small": {"mood": "AA", "topic": "bb"}}, tasks=[{**TASK, "labels": labels}])

    assert describe_changes(before, now, {"aa": 10, "bb": 20, "cc": 3}) == [
        "the job changed since its last run: tasks.mood.labels.so-so",
        "10 answers of small to task mood are asked again, its question changed",
        "3 answers of big to task mood are not used any more",
        "continuing: 20 answers are in the journal and are not asked for again",
    ]


def test_changed_keys_are_dotted_paths() -> None:
    """Added, removed and changed ones; lists without names are compared whole."""
    before = {"a": 1, "b": {"c": [1, 2], "d": None}, "tasks": [TASK]}
    now = {"b": {"c": [1, 3], "d": None, "e": 5}, "tasks": [{**TASK, "instruction": "?"}]}

    assert list(changed_keys(before, now)) == ["a", "b.c", "b.e", "tasks.mood.instruction"]


def adapted(*adapters: dict[str, Any]) -> dict[str, Any]:
    """A job file's model with adapters."""
    return {"models": {"small": {"adapters": list(adapters)}}}


def test_adapter_without_a_name_goes_by_its_place() -> None:
    """Two of them are two, and each is named as in errors about it; a third is a new one."""
    first = {"name": None, "path": "a.gguf", "scale": 1.0}
    second = {"name": None, "path": "b.gguf", "scale": 1.0}
    before = adapted(first, second)
    now = adapted({**first, "scale": 0.5}, {**second, "path": "c.gguf"}, {**second, "path": "d.gguf"})

    assert list(changed_keys(before, now)) == [
        "models.small.adapters[0].scale",
        "models.small.adapters[1].path",
        "models.small.adapters[2]",
    ]


def test_adapters_with_names_go_by_these() -> None:
    """Another order alone is told of neither; where one has lost its name, places are what is left."""
    one, two = {"name": "one", "scale": 1.0}, {"name": "two", "scale": 1.0}

    assert list(changed_keys(adapted(one, two), adapted(two, {**one, "scale": 2.0}))) == [
        "models.small.adapters.one.scale"
    ]
    assert list(changed_keys(adapted(one), adapted({**one, "name": None}))) == [
        "models.small.adapters[0].name"
    ]


def test_first_and_last_adapter_is_told_as_all_of_them() -> None:
    """A job file without adapters has no such key in its manifest."""
    assert list(changed_keys({"models": {"small": {}}}, adapted({"name": None}))) == ["models.small.adapters"]
