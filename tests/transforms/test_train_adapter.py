"""Training with PEFT, where it is installed (the extra `train`)."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np
import pytest

from router.job import LlamaCppModel
from tests.models import SMOLLM2, model_path, probabilities, short_prompt, task_of
from transforms.adapter_rows import LabelledRow, training_texts
from transforms.label_scorer import LabelScorer, ScorerConfig
from transforms.lora_model import LoraModel, shared_model
from transforms.model_format import in_format
from transforms.train_adapter import LoraSettings, answer_logits, as_lora, load_weights, train_lora
from transforms.write_adapter import write_adapter

if TYPE_CHECKING:
    import pathlib

ANSWERS = (" sport", " money")
ROWS = [
    LabelledRow("The bank lent me money.", ("sport",)),
    LabelledRow("The team won two games.", ("money",)),
] * 8


@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="pip install 'tekizai[train]'")
@pytest.mark.filterwarnings("ignore")
def test_what_was_trained_is_what_answers(tmp_path: pathlib.Path) -> None:
    """The wrong way round on purpose: PEFT learns it, and llama.cpp says it with the same probabilities."""
    path = in_format(model_path(SMOLLM2), "bf16", tmp_path)
    model, task, prompt = shared_model(path), task_of(("sport", "money")), short_prompt(ANSWERS)
    texts = training_texts(model, task, prompt, ROWS)

    trained = train_lora(load_weights(path), texts, LoraSettings(epochs=4, batch=4), lambda _: None)
    write_adapter(tmp_path / "a.gguf", as_lora(trained, 16.0), path)
    scorer = LabelScorer(LoraModel(model, tmp_path / "a.gguf", 1.0), task, prompt, ScorerConfig())

    for row, text in zip(ROWS[:2], texts[:2], strict=True):
        said = probabilities(scorer.score(row.text))
        logits = answer_logits(trained, [text]).detach().numpy()[0, -2]
        first = [model.tokenize(answer, special=False)[0] for answer in ANSWERS]
        expected = np.exp(logits[first]) / np.exp(logits[first]).sum()
        assert said[task.label_names.index(row.labels[0])] > 0.9
        assert said == pytest.approx(expected, abs=0.01)


def test_a_model_can_be_named_without_the_extra() -> None:
    """Nothing that runs needs PyTorch."""
    one = {
        "engine": "llama_cpp",
        "source": "x.gguf",
        "adapters": [{"when": {"languages": ["en"]}, "path": "a"}],
    }

    assert LlamaCppModel.model_validate(one).adapters[0].title == "a"
