"""Asking about the pilot's records before the main pass."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from apache_beam.testing.util import assert_that, equal_to

from router.identity import text_key
from router.job import LlamaCppModel
from router.records import Route, Work
from tests.fake_models import FakeHandler
from tests.router.work_examples import SENTIMENT, record, work
from tests.transforms.local_pipeline import local_pipeline
from transforms.ask_pilot import AskModels
from transforms.journal import Journal, JournalOf, JournalPlace
from transforms.local_scorer import LocalModel
from transforms.progress import read_progress

if TYPE_CHECKING:
    import pathlib


def handler(url: str) -> tuple[FakeHandler, JournalOf]:
    """A model and its journal at a URL."""
    of = JournalOf(JournalPlace(url), "slm", "small", {SENTIMENT.name: "aa"})
    model = LlamaCppModel(engine="llama_cpp", source="nowhere.gguf")
    return FakeHandler(LocalModel("small", model, 1, Decimal(0)), {SENTIMENT.name: SENTIMENT}, of), of


@pytest.mark.parametrize("place", ["disk", "store"])
def test_the_answers_are_there_when_the_pipeline_ends(place: str, tmp_path: pathlib.Path) -> None:
    """On an object store too, where a journal holds lines back for a while."""
    url = str(tmp_path) if place == "disk" else f"memory://{tmp_path.name}"
    asked, of = handler(url)
    one = work(task=SENTIMENT.name)

    with local_pipeline() as pipeline:
        assert_that(pipeline | AskModels({"small": asked}, {"small": [one]}, url), equal_to([]))

    with contextlib.closing(Journal(of)) as journal:
        assert journal.find(SENTIMENT.name, text_key(one.record.text, SENTIMENT.name)) is not None


def test_what_went_wrong_comes_out_once_for_each_model(tmp_path: pathlib.Path) -> None:
    """Hundreds of records fail for one reason."""
    asked, _ = handler(str(tmp_path))
    failing = [Work(record(f"!engine {n}"), Route("en", "mood", "small", None)) for n in range(3)]

    with local_pipeline() as pipeline:
        found = pipeline | AskModels({"small": asked}, {"small": failing}, str(tmp_path))
        assert_that(found, equal_to([("small", "llama.cpp failed on this batch")]))

    assert read_progress(str(tmp_path)) == {"asked": 3}
