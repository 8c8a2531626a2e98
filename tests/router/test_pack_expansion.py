"""Tests of `tasks: [{pack: NAME}]` in a job file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from router.job_loading import JobError, apply_overrides, job_schema, parse_job
from tests.router.pack_examples import write_pack

if TYPE_CHECKING:
    import pathlib

    from router.job import Job


def job(*tasks: Any, **changes: Any) -> str:
    """A job file with these tasks."""
    values = {
        "name": "t",
        "input": {"path": "in.jsonl"},
        "output": {"path": "out"},
        "tasks": list(tasks),
        "models": {"small": {"engine": "llama_cpp", "source": "small.gguf"}},
        "routing": {"default": "small"},
        **changes,
    }
    return yaml.safe_dump(values, allow_unicode=True)


def parsed(*tasks: Any) -> Job:
    """The job with these tasks."""
    return parse_job(job(*tasks), environ={})


def refused(*tasks: Any, **changes: Any) -> tuple[str, ...]:
    """The lines with which it is refused."""
    with pytest.raises(JobError) as caught:
        parse_job(job(*tasks, **changes), name="job.yaml", environ={})
    return caught.value.lines


def test_pack_becomes_an_ordinary_task(tmp_path: pathlib.Path) -> None:
    """One line stands for the whole task, and the job notes which pack that was."""
    folder = write_pack(tmp_path / "mood")

    found = parsed({"pack": folder})

    (task,) = found.tasks
    assert task.label_names == ("bad", "good", "mixed")
    assert [one.text for one in task.shown] == ["Alas.", "Hurrah!"]
    used = found.packs["mood"]
    assert (used.pack, used.source, len(used.digest)) == ("mood", folder, 16)
    assert found.model_dump()["packs"]["mood"]["pack"] == "mood"


def test_shipped_pack_by_name() -> None:
    """A shipped pack needs its name only."""
    found = parsed({"pack": "finance"})

    assert found.tasks[0].label_names == ("negative", "neutral", "positive")
    assert found.packs["sentiment"].source == "finance"


@pytest.mark.parametrize("key", ["pakc", "packs", "Pack", "apck"])
def test_misspelt_key_names_the_right_one(key: str) -> None:
    """As with other keys the nearest one is told, and nothing is said of what the pack would have brought."""
    assert refused({key: "finance"}) == (
        f"job.yaml: tasks[0].{key}: unknown key (value 'finance'); did you mean pack?",
    )


def test_misspelt_key_and_unknown_pack_are_told_together() -> None:
    """What is wrong with the pack that was meant is told at once."""
    first, second = refused({"pakc": "finanse"})

    assert first.endswith("tasks[0].pakc: unknown key (value 'finanse'); did you mean pack?")
    assert "finance" in second


def test_other_unknown_key_is_not_taken_for_a_pack() -> None:
    """A key that is nearer to another one, or to none, is worded as ever."""
    lines = refused({"pack": "finance", "instructoin": "Say."})

    assert lines == ("job.yaml: tasks[0].instructoin: unknown key (value 'Say.'); did you mean instruction?",)


def test_keys_beside_it_count(tmp_path: pathlib.Path) -> None:
    """Name, instruction, labels and examples of the job file come before the pack's."""
    folder = write_pack(tmp_path / "mood")

    (task,) = parsed({"pack": folder, "name": "tone", "labels": ["good", "bad"], "examples": []}).tasks

    assert (task.name, task.label_names, task.shown) == ("tone", ("good", "bad"), ())
    assert task.labels[0].description == "the writer is glad"
    assert task.instruction == "Say the mood."


def test_pack_words_hold_no_placeholder(tmp_path: pathlib.Path) -> None:
    """`${…}` in a pack is text: the environment has no part in it."""
    task = {"name": "mood", "instruction": "Say ${HOME}.", "labels": [{"name": "a"}, {"name": "b"}]}
    folder = write_pack(tmp_path / "mood", task=task)

    (found,) = parsed({"pack": folder}).tasks

    assert found.instruction == "Say ${HOME}."


def test_job_without_packs_says_nothing_of_them() -> None:
    """Its values, and so its digest, are those of a version without packs."""
    task = {"name": "a", "instruction": "Say.", "labels": [{"name": "x"}, {"name": "y"}]}

    assert "packs" not in parsed(task).model_dump(mode="json")
    assert '"packs"' not in parsed(task).model_dump_json()


def test_other_input_keeps_the_pack() -> None:
    """--input and --output leave it noted."""
    found = apply_overrides(parsed({"pack": "finance"}), output_path="elsewhere")

    assert found.packs["sentiment"].pack == "finance"


def test_unknown_pack_is_the_only_complaint() -> None:
    """What cannot be found is said once, with the nearest name; the task's missing keys are not."""
    says = "tasks[0]: pack 'finanse' does not ship with Tekizai; did you mean finance?"

    assert refused({"pack": "finanse"}) == (f"job.yaml: {says} (a folder of your own: write ./FOLDER)",)


def test_unknown_label_of_a_subset() -> None:
    """A label that the pack lacks is said with the nearest one."""
    assert refused({"pack": "finance", "labels": ["positive", "negativ"]}) == (
        "job.yaml: tasks[0].labels: 'negativ' is no label of pack finance; did you mean negative?",
    )


def test_pack_must_be_a_name() -> None:
    """A number or a list names no pack."""
    assert refused({"pack": 3}) == ("job.yaml: tasks[0]: pack 3 is not a name; give a pack's name or folder",)


def test_misspelt_key_beside_a_pack() -> None:
    """What stands beside `pack` is checked as in any task."""
    (line,) = refused({"pack": "finance", "instructon": "Say."})

    assert line.startswith(
        "job.yaml: tasks[0].instructon: unknown key (value 'Say.'); did you mean instruction?"
    )


def test_packs_is_not_for_people() -> None:
    """The note about packs cannot be written by hand."""
    (line,) = refused({"pack": "finance"}, packs={"sentiment": {"pack": "x", "source": "x", "digest": "x"}})

    assert line == (
        "job.yaml: packs: is noted by Tekizai itself; write `tasks: [{pack: NAME}]` to use a pack"
    )


def test_editors_know_packs() -> None:
    """The schema has a task of a pack, whose labels may be names, and no key `packs`."""
    schema = job_schema()

    assert "packs" not in schema["properties"]
    offered = schema["properties"]["tasks"]["items"]["anyOf"]
    assert {"$ref": "#/$defs/TaskOfPack"} in offered
    assert schema["$defs"]["TaskOfPack"]["required"] == ["pack"]
