"""Counted tokens are those that a real model evaluates."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from router.job import LlamaCppModel, Task
from router.records import Position, Record
from router.reference import ReferenceRow, digest_rows
from router.retrieval import ReferenceSet, Retrieval
from tests.models import SMOLLM2, real_model
from transforms.count_tokens import count_tokens
from transforms.local_scorer import LocalModel, LocalScorer
from transforms.reference_rows import write_rows
from transforms.retriever import Retriever

if TYPE_CHECKING:
    import pathlib

    import pytest

TEXTS = ("It broke.", "Does what it should, and the battery lasts for two days.", "音が悪い。")


def test_as_many_are_counted_as_are_evaluated() -> None:
    """Labels of several tokens count with their branches; the cached prompt does not count."""
    real_model(SMOLLM2)
    labels = [{"name": "negative"}, {"name": "positive"}, {"name": "neither of the two"}]
    task = Task.model_validate({"name": "mood", "instruction": "Judge the mood.", "labels": labels})
    model = LlamaCppModel(engine="llama_cpp", source=f"pypi://{SMOLLM2}", threads=1)
    local = LocalModel("small", model, 1, Decimal(0))
    scorer = LocalScorer(local, {"mood": task})
    usages = [scorer.score("mood", text)[1] for text in TEXTS]
    records = [Record(Position(0, n), str(n), text, "mood", None, b"") for n, text in enumerate(TEXTS)]

    counted = count_tokens(local, {"mood": task}, records)

    assert counted == [usage.input_tokens - usage.cached_tokens for usage in usages]


def test_what_is_retrieved_is_counted(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its labels, as it is evaluated with each record."""
    monkeypatch.setenv("TEKIZAI_CACHE", str(tmp_path / "cache"))
    real_model(SMOLLM2)
    rows = [ReferenceRow("1", "It fell apart.", "negative"), ReferenceRow("2", "A joy.", "positive")]
    (tmp_path / "rows.jsonl").write_bytes(write_rows(rows))
    sets = ReferenceSet(str(tmp_path / "rows.jsonl"), digest_rows(rows), 2)
    retrieval = {"mood": Retrieval(sets, None, None, "")}
    labels = [{"name": "negative"}, {"name": "positive"}]
    task = Task.model_validate({"name": "mood", "instruction": "Judge the mood.", "labels": labels})
    model = LlamaCppModel(engine="llama_cpp", source=f"pypi://{SMOLLM2}", threads=1)
    local = LocalModel("small", model, 1, Decimal(0), retrieval=retrieval)
    records = [Record(Position(0, n), str(n), text, "mood", None, b"") for n, text in enumerate(TEXTS)]
    scorer, retriever = LocalScorer(local, {"mood": task}), Retriever(retrieval)
    usages = [scorer.score_with("mood", one.text, retriever.find(one))[1] for one in records]

    counted = count_tokens(local, {"mood": task}, records)

    assert counted == [usage.input_tokens - usage.cached_tokens for usage in usages]
