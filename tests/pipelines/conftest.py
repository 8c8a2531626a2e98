"""What the tests of whole jobs share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fake_models import fake_handler
from tests.pipelines.jobs import World

if TYPE_CHECKING:
    import pathlib


@pytest.fixture
def world(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A folder for a job whose local models are fake."""
    monkeypatch.setattr("pipelines.prepare.LlamaCppModelHandler", fake_handler)
    return World(tmp_path)
