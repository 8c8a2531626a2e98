"""Digests of models are taken while Beam is imported; what is wrong with a file is told later."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from pipelines.read_ahead import read_ahead
from transforms.model_files import file_digest

if TYPE_CHECKING:
    import pytest

    from tests.pipelines.jobs import World


def test_the_models_that_are_used_are_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job that opens them afterwards finds their digests."""
    read_ahead(world.job()).join()

    def refuse(path: pathlib.Path, *_: str) -> None:
        raise AssertionError(f"{path} is read again")

    monkeypatch.setattr(pathlib.Path, "open", refuse)
    for name in ("small", "large"):
        assert len(file_digest(world.folder / f"{name}.gguf")) == 64


def test_nothing_is_said_of_a_file_that_is_not_there(world: World) -> None:
    """Who opens it says so, with the key of the job file."""
    local = world.job().models["small"].model_dump(mode="json")
    absent = {name: {**local, "source": "nowhere.gguf"} for name in ("small", "large")}

    read_ahead(world.job(models=absent)).join()


def test_nothing_is_fetched_ahead(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A download shows its progress and its errors where it is waited for."""
    local = world.job().models["small"].model_dump(mode="json")
    remote = {name: {**local, "source": "memory://nowhere/model.gguf"} for name in ("small", "large")}
    fetched: list[str] = []
    monkeypatch.setattr("transforms.model_files.fetch_model", lambda name, _: fetched.append(name))

    read_ahead(world.job(models=remote)).join()

    assert fetched == []
