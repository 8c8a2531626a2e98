"""A model with adapters on it: what they change, and what they leave alone."""

from __future__ import annotations

import mmap
import pathlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.adapters import adapter_file
from tests.models import GEMMA, SMOLLM2, model_path, probabilities, short_prompt, task_of
from transforms.label_scorer import LabelScorer, ScorerConfig
from transforms.llama_adapter import ModelFileError
from transforms.lora_model import LoraModel, shared_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from router.records import LabelScores, Usage
    from transforms.llama_adapter import LlamaModel

TEXTS = (
    "The bank lent me money.",
    "The team won two games.",
    "A truce was signed, the fighting stopped today.",
)
ONE_TOKEN = (" sport", " money", " war")
TREE = (" bank card", " bank account", " sport")


def resident_bytes() -> int:
    """Memory of this process, pages of mapped files included."""
    try:
        pages = int(pathlib.Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        pytest.skip("only Linux tells what memory a process has")
    return pages * mmap.PAGESIZE


def scores_of(
    model: LlamaModel,
    answers: Sequence[str],
    texts: Sequence[str],
    *,
    pack: int = 1,
    context: int | None = None,
) -> list[tuple[LabelScores, Usage]]:
    """What a scorer of its own says of texts."""
    config = ScorerConfig(pack=pack, context=context)
    scorer = LabelScorer(model, task_of(answers), short_prompt(answers), config)
    found = scorer.score_many(texts)
    scorer.close()
    assert not any(isinstance(one, Exception) for one in found)
    return found  # type: ignore[return-value]


@pytest.fixture(params=[SMOLLM2, GEMMA])
def base(request: pytest.FixtureRequest) -> pathlib.Path:
    """The file of each small model."""
    return model_path(request.param)


@pytest.mark.parametrize("answers", [ONE_TOKEN, TREE])
def test_an_adapter_changes_answers_and_no_other_model_s(
    base: pathlib.Path, tmp_path: pathlib.Path, answers: Sequence[str]
) -> None:
    """Beside two adapters, and in turn with them, the plain model says to the last bit what it says alone."""
    plain = shared_model(base)
    alone = scores_of(plain, answers, TEXTS)
    first = LoraModel(plain, adapter_file(tmp_path, base, "first"), 1.0)
    second = LoraModel(plain, adapter_file(tmp_path, base, "second", seed=1), 1.0)
    scorers = [
        LabelScorer(model, task_of(answers), short_prompt(answers), ScorerConfig())
        for model in (plain, first, second)
    ]
    for text, before in zip(TEXTS, alone, strict=True):
        said = [scorer.score(text) for scorer in scorers]
        assert np.array_equal(probabilities(said[0]), probabilities(before))
        assert np.array_equal(said[0][0].features, before[0].features)
        logs = [np.log(probabilities(one)) for one in (before, said[1], said[2])]
        assert np.abs(logs[1] - logs[0]).max() > 0.01
        assert np.abs(logs[1] - logs[2]).max() > 0.01
        assert not np.array_equal(said[1][0].features, before[0].features)


def test_at_scale_0_an_adapter_changes_nothing(base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """And at half the scale something between."""
    plain, file = shared_model(base), adapter_file(tmp_path, base)
    expected = [probabilities(one) for one in scores_of(plain, ONE_TOKEN, TEXTS)]

    none, half, whole = (
        [probabilities(one) for one in scores_of(LoraModel(plain, file, scale), ONE_TOKEN, TEXTS)]
        for scale in (0.0, 0.5, 1.0)
    )

    assert np.array_equal(none, expected)
    assert not np.array_equal(half, expected)
    assert not np.array_equal(half, whole)


def test_records_are_packed_with_an_adapter_as_without(base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Four together give the very numbers that each gives alone, long texts too."""
    model = LoraModel(shared_model(base), adapter_file(tmp_path, base), 1.0)
    texts = [*TEXTS, "Rates rose again. " * 40]

    alone = [scores_of(model, ONE_TOKEN, [text])[0] for text in texts]
    packed = scores_of(model, ONE_TOKEN, texts, pack=4)

    for one, other in zip(alone, packed, strict=True):
        assert np.array_equal(probabilities(one), probabilities(other))
        assert np.array_equal(one[0].features, other[0].features)


def test_a_text_over_the_context_is_cut_with_an_adapter_too(tmp_path: pathlib.Path) -> None:
    """Its parts are averaged."""
    base = model_path(SMOLLM2)
    model = LoraModel(shared_model(base), adapter_file(tmp_path, base), 1.0)

    [(scores, _)] = scores_of(model, ONE_TOKEN, ["Rates rose again today. " * 200], context=512)

    assert scores.parts > 1
    assert scores.probabilities.sum() == pytest.approx(1.0)


def test_the_weights_are_in_memory_once(tmp_path: pathlib.Path) -> None:
    """Ten adapters cost their own size and their caches, a tenth of what ten models would."""
    base = model_path(GEMMA)
    plain = shared_model(base)
    scores_of(plain, ONE_TOKEN, TEXTS[:1])
    files = [adapter_file(tmp_path, base, f"number{number}", seed=number) for number in range(10)]
    before = resident_bytes()

    models = [LoraModel(shared_model(base), file, 1.0) for file in files]

    assert all(model.weights == plain.weights for model in models)
    assert resident_bytes() - before < base.stat().st_size / 10
    assert LoraModel(plain, files[0], 0.5)._lora == models[0]._lora


def test_what_does_not_fit_is_told_in_one_line(tmp_path: pathlib.Path) -> None:
    """Where nobody looked before: llama.cpp's own words, and what to do."""
    file = adapter_file(tmp_path, model_path(GEMMA))

    with pytest.raises(
        ModelFileError, match=r"^[^\n]*made\.gguf: llama.cpp cannot put this adapter on [^\n]*$"
    ):
        LoraModel(shared_model(model_path(SMOLLM2)), file, 1.0)
