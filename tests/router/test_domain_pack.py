"""Tests of domain packs: those that ship are whole, and others are read strictly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from router.domain_pack import find_pack, overridden, pack_folder, shipped_packs, task_values
from router.job_loading import JobError, read_local
from router.job_tasks import Task
from tests.router.pack_examples import MOOD, write_pack

if TYPE_CHECKING:
    import pathlib

NAMES = ("customer-support", "finance", "healthcare", "hospitality-ja")


def refused(given: str) -> tuple[str, ...]:
    """The lines with which a pack is refused."""
    with pytest.raises(JobError) as caught:
        find_pack(given, read_local)
    return caught.value.lines


def test_which_packs_ship() -> None:
    """The four of the documentation."""
    assert tuple(shipped_packs()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_shipped_pack_is_whole(name: str) -> None:
    """It is called as its folder, says where its words come from and what was measured, and has a page."""
    found = find_pack(name, read_local)
    pack = found.pack

    assert pack.name == name
    assert pack.licence
    assert all(source.licence and source.checked.startswith("20") for source in pack.sources)
    assert pack.measured != "not yet"
    assert {one.role for one in pack.models} == {"small", "large"}
    page = (shipped_packs()[name] / "README.md").read_text("utf-8")
    assert page.startswith(f"# {name}\n")
    assert "## Measured" in page
    assert "licence" in page.lower()


@pytest.mark.parametrize("name", NAMES)
def test_shipped_examples_are_no_rows_of_restricted_data(name: str) -> None:
    """What has examples says that they were written for the project."""
    pack = find_pack(name, read_local).pack

    if pack.task.shown:
        assert any(
            "examples" in one.what and "written for this project" in one.origin for one in pack.sources
        )
    assert all(example.label in pack.task.label_names for example in pack.task.shown)


def test_task_values_give_the_same_task() -> None:
    """What stands in a job file for a pack is its task to the letter: prompts and digests follow it."""
    for name in NAMES:
        task = find_pack(name, read_local).pack.task

        assert Task.model_validate(task_values(find_pack(name, read_local).pack)) == task


def test_folder_of_a_name_a_path_and_a_file(tmp_path: pathlib.Path) -> None:
    """A name is a shipped pack; what has a slash is a folder, or the pack.yaml in it."""
    assert pack_folder("finance") == str(shipped_packs()["finance"])
    assert pack_folder("./mine/") == "./mine"
    assert pack_folder("s3://bucket/mine/pack.yaml") == "s3://bucket/mine"
    assert find_pack(write_pack(tmp_path / "mood"), read_local).pack.name == "mood"


def test_unknown_name_gets_the_nearest() -> None:
    """The message names the pack that was probably meant."""
    (line,) = refused("finanse")

    says = "pack 'finanse' does not ship with Tekizai; did you mean finance?"
    assert line == f"{says} (a folder of your own: write ./FOLDER)"


def test_missing_folder(tmp_path: pathlib.Path) -> None:
    """A folder without a pack.yaml is said to be one."""
    (line,) = refused(f"{tmp_path}/none")

    assert line == f"{tmp_path}/none/pack.yaml: no such file; give a folder with a pack.yaml"


def test_every_mistake_is_a_line(tmp_path: pathlib.Path) -> None:
    """Unknown keys, a missing licence and a label that the task lacks are said at once, with their places."""
    wrong = {key: value for key, value in MOOD.items() if key != "licence"}
    wrong["licens"] = "MIT"
    wrong["task"] = {**MOOD["task"], "examples": [{"text": "Hm.", "label": "god"}]}
    folder = tmp_path / "mood"
    write_pack(folder)
    (folder / "pack.yaml").write_text(str(wrong), encoding="utf-8")

    lines = refused(str(folder))

    assert any("licens: unknown key" in line and "did you mean licence?" in line for line in lines)
    assert any(
        line.endswith("task.examples[0].label: 'god' is not a label of this task; did you mean good?")
        for line in lines
    )


def test_examples_of_a_file_are_refused(tmp_path: pathlib.Path) -> None:
    """A pack is one folder: it cannot say where a user's rows are."""
    task = {**MOOD["task"], "examples": {"from": "rows.jsonl"}}

    (line,) = refused(write_pack(tmp_path / "mood", task=task))

    assert "task.examples: name a file, which a pack does not carry" in line


def test_promised_head_must_be_there(tmp_path: pathlib.Path) -> None:
    """A pack.yaml with a head and no head's files is no pack."""
    head = {"trained_on": "rows", "licence": "MIT"}

    (line,) = refused(write_pack(tmp_path / "mood", head=head))

    assert line.endswith("mood/head/calibration.json: no such file; `head` in pack.yaml promises it")


def test_digest_is_of_words_and_head(tmp_path: pathlib.Path) -> None:
    """Another word or another head is another pack."""
    head = {"trained_on": "rows", "licence": "MIT"}
    folder = tmp_path / "mood"
    write_pack(folder, head=head)
    (folder / "head").mkdir()
    for name in ("calibration.json", "calibration.safetensors"):
        (folder / "head" / name).write_bytes(b"1")
    first = find_pack(str(folder), read_local).digest
    (folder / "head" / "calibration.safetensors").write_bytes(b"2")
    second = find_pack(str(folder), read_local).digest
    write_pack(folder, head=head, summary="Another.")
    third = find_pack(str(folder), read_local).digest

    assert len({first, second, third}) == 3
    assert len(first) == 16


def test_labels_of_a_subset() -> None:
    """Names alone choose among the pack's labels, in the given order; examples of the others go."""
    values, unknown = overridden(MOOD["task"], {"labels": ["mixed", "bad"], "name": "m"})

    assert unknown == []
    assert values["name"] == "m"
    assert values["labels"] == [{"name": "mixed"}, {"name": "bad", "description": "the writer is sad"}]
    assert values["examples"] == [{"text": "Alas.", "label": "bad"}]


def test_labels_as_mappings_replace() -> None:
    """Labels written as in any job file replace the pack's, and examples are left to the job's check."""
    values, unknown = overridden(MOOD["task"], {"labels": [{"name": "new"}]})

    assert (values["labels"], unknown) == ([{"name": "new"}], [])
    assert values["examples"] == MOOD["task"]["examples"]
