"""What the tests of whole jobs share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.fake_models import FakeScorer, fake_handler
from tests.pipelines.jobs import World

if TYPE_CHECKING:
    import pathlib


@pytest.fixture
def world(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A folder for a job whose local models are fake."""
    monkeypatch.setattr("pipelines.open_models.LlamaCppModelHandler", fake_handler)
    return World(tmp_path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts that local models were asked about, in order."""
    texts: list[str] = []
    score = FakeScorer.score

    def noting(self: FakeScorer, task: str, text: str) -> Any:
        texts.append(text)
        return score(self, task, text)

    monkeypatch.setattr(FakeScorer, "score", noting)
    return texts
