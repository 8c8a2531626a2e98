"""Corrected records from files of any kind and place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import fsspec
import pytest

from router.corrections import Correction
from tests.router.correction_examples import annotation, argilla, choice, task
from transforms.read_corrections import read_corrections
from transforms.splits import InputError

if TYPE_CHECKING:
    import pathlib

BAD = {"r1": Correction("mood", ("bad",))}


@pytest.mark.parametrize("row", [task(annotation(choice("bad"))), argilla()])
@pytest.mark.parametrize("form", ["list", "lines"])
def test_exports_are_told_by_what_they_hold(
    tmp_path: pathlib.Path, row: dict[str, object], form: str
) -> None:
    """Not by the name of the file."""
    path = tmp_path / ("export.json" if form == "list" else "export.jsonl")
    path.write_text(json.dumps([row], indent=1) if form == "list" else json.dumps(row) + "\n")

    assert read_corrections(str(path)) == BAD


def test_any_filesystem() -> None:
    """That fsspec knows."""
    with fsspec.open("memory://corrections/rows.jsonl", "wb") as stream:
        stream.write(b'{"id": "r1", "label": "bad", "task": "mood"}\n')

    assert read_corrections("memory://corrections/rows.jsonl") == BAD


def test_a_glob_of_exports(tmp_path: pathlib.Path) -> None:
    """One for each project, for instance; together they must not contradict each other."""
    (tmp_path / "a.json").write_text('[{"id": "r1", "label": "bad", "task": "mood"}]')
    (tmp_path / "b.json").write_text('[{"id": "r2", "labels": []}]')

    assert read_corrections(f"{tmp_path}/*.json") == {**BAD, "r2": Correction(None, ())}

    (tmp_path / "c.json").write_text('[{"id": "r2", "label": "bad"}]')
    with pytest.raises(InputError) as caught:
        read_corrections(f"{tmp_path}/*.json")
    assert str(caught.value) == (
        f'{tmp_path}/c.json, row 1: record "r2" is ["bad"] here and [] in {tmp_path}/b.json, row 1; keep one '
        "of the two"
    )


def test_errors_name_the_file(tmp_path: pathlib.Path) -> None:
    """The line, and what to do."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "r1", "label": "bad"}\n\n{"id": "r2"}\n')

    with pytest.raises(InputError, match=rf'^{path}, line 3: has the keys \["id"\]; give Label Studio'):
        read_corrections(str(path))


def test_a_file_that_is_not_there(tmp_path: pathlib.Path) -> None:
    """The nearest name is told."""
    (tmp_path / "export.json").write_text("[]")

    with pytest.raises(InputError, match=r"no such file.*the nearest name is"):
        read_corrections(f"{tmp_path}/exports.json")


def test_a_file_that_cannot_be_read(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, as for everything else."""
    path = tmp_path / "export.json"
    path.write_text("[]")

    def refuse(url: str) -> None:
        raise PermissionError(13, "Permission denied", url)

    monkeypatch.setattr("transforms.read_corrections.open_binary", refuse)

    with pytest.raises(
        InputError, match=r"export\.json: cannot be read: .*Permission denied.*; check its perm"
    ):
        read_corrections(str(path))
