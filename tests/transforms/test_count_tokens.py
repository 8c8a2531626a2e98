"""Counted tokens are those that a real model evaluates."""

from __future__ import annotations

from decimal import Decimal

from router.job import LlamaCppModel, Task
from router.records import Position, Record
from tests.models import SMOLLM2, real_model
from transforms.count_tokens import count_tokens
from transforms.slm_handler import LocalModel, LocalScorer

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
