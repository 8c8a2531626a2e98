"""The adapter around llama.cpp: files it refuses, tokens, and a cache that can be rewound."""

from __future__ import annotations

import gc
import pathlib

import numpy as np
import pytest

from tests.models import GEMMA, SMOLLM2, real_model
from transforms.llama_adapter import LlamaModel, ModelFileError, check_gguf
from transforms.llama_context import ContextConfig, EngineError
from transforms.llama_library import library


def test_missing_file(tmp_path: pathlib.Path) -> None:
    """A folder is no file either."""
    with pytest.raises(ModelFileError, match=r"none\.gguf: no such model file; give the path"):
        LlamaModel(tmp_path / "none.gguf")
    with pytest.raises(ModelFileError, match="no such model file"):
        check_gguf(tmp_path)


@pytest.mark.parametrize("content", [b"", b"GGU", b"PK\x03\x04 a zip", b"<html>not found</html>"])
def test_not_a_gguf(tmp_path: pathlib.Path, content: bytes) -> None:
    """The message shows how the file begins, which tells a web page from a model."""
    path = tmp_path / "model.gguf"
    path.write_bytes(content)

    with pytest.raises(ModelFileError, match="not a GGUF model") as caught:
        LlamaModel(path)
    assert repr(content[:4]) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"GGUF", id="magic only"),
        pytest.param(b"GGUF" + bytes(60), id="version 0"),
        pytest.param(b"GGUF\x03\x00\x00\x00" + b"\xff" * 60, id="absurd counts"),
    ],
)
def test_cut_off_gguf(tmp_path: pathlib.Path, content: bytes) -> None:
    """llama.cpp's own reason is in the message, in one line, and nothing is printed."""
    path = tmp_path / "model.gguf"
    path.write_bytes(content)

    with pytest.raises(ModelFileError, match=r"cannot load this model .*: fetch it again") as caught:
        LlamaModel(path)
    assert "\n" not in str(caught.value)
    assert "it gives no reason" not in str(caught.value)


def test_a_real_model_that_is_cut_off(tmp_path: pathlib.Path) -> None:
    """A download that broke off has a valid beginning."""
    with pathlib.Path(real_model(SMOLLM2).path).open("rb") as whole:
        (tmp_path / "model.gguf").write_bytes(whole.read(5_000_000))

    with pytest.raises(ModelFileError, match=r"cannot load this model .*; the file may be cut off"):
        LlamaModel(tmp_path / "model.gguf")


def test_other_models_live_on(tmp_path: pathlib.Path) -> None:
    """llama.cpp has one log for all: the models loaded before one that failed can still write to it."""
    model = real_model(SMOLLM2)
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(ModelFileError):
        LlamaModel(path)
    gc.collect()

    context = model.open_context(ContextConfig(tokens=256))
    context.decode_run([1, 2, 3], 0, want_last=False)

    with pytest.raises(EngineError, match=r"failed to evaluate 1 tokens .*positions"):
        context.decode_run([1], 100, want_last=False)
    context.close()


def test_what_a_model_says_of_itself() -> None:
    """SmolLM2 has a template and wants no BOS; Gemma (base) has none and wants one."""
    smollm2, gemma = real_model(SMOLLM2), real_model(GEMMA)

    assert (smollm2.vocabulary, smollm2.trained_context) == (49_152, 8_192)
    assert (gemma.vocabulary, gemma.trained_context) == (262_144, 32_768)
    assert (smollm2.begin_tokens, gemma.begin_tokens) == ([], [2])
    assert "<|im_start|>" in (smollm2.chat_template or "")
    assert gemma.chat_template is None
    assert (gemma.token_text("bos"), gemma.token_text("eos")) == ("<bos>", "<eos>")


def test_tokens() -> None:
    """The same characters are a turn of the template, or nothing but characters."""
    model = real_model(SMOLLM2)

    assert model.tokenize("<|im_start|>", special=True) == [1]
    assert len(model.tokenize("<|im_start|>", special=False)) == 7
    assert model.tokenize("", special=False) == []
    assert len(model.tokenize("a\x00b", special=False)) == 3


def test_half_a_surrogate_pair() -> None:
    """Not Unicode, so an error of this text."""
    with pytest.raises(EngineError, match="not Unicode: surrogates not allowed at character 1"):
        real_model(SMOLLM2).tokenize("a\udc00", special=False)


def test_rewinding() -> None:
    """After `forget`, other tokens take the place, and the same ones give the same logits again."""
    context = real_model(SMOLLM2).open_context(ContextConfig(tokens=256))
    context.decode_run([504, 2365], 0, want_last=False)

    first = context.decode_run([1035, 325], 2, want_last=True)
    assert first is not None
    kept = first.copy()
    context.forget(0, 2)
    other = context.decode_run([99, 98], 2, want_last=True)
    assert other is not None
    assert np.abs(other - kept).max() > 1.0
    context.forget(0, 2)
    again = context.decode_run([1035, 325], 2, want_last=True)

    assert again is not None
    assert again.tolist() == pytest.approx(kept.tolist(), abs=1e-4)
    context.close()


def test_a_run_of_more_than_one_batch() -> None:
    """Tokens are evaluated `batch_tokens` at a time; logits are wanted of the very last one."""
    model = real_model(SMOLLM2)
    tokens = [504, 2365, 1035, 325, 99]
    whole = model.open_context(ContextConfig(tokens=256))
    pieces = model.open_context(ContextConfig(tokens=256, batch_tokens=2))

    expected = whole.decode_run(tokens, 0, want_last=True)
    found = pieces.decode_run(tokens, 0, want_last=True)

    assert expected is not None
    assert found is not None
    assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-2)
    assert pieces.decode_run([1, 2, 3], 5, want_last=False) is None
    whole.close()
    pieces.close()


def test_sequences_share_a_beginning() -> None:
    """Two branches after one beginning are evaluated together and do not see each other."""
    model = real_model(SMOLLM2)
    context = model.open_context(ContextConfig(tokens=256, sequences=3))
    alone = model.open_context(ContextConfig(tokens=256))
    context.decode_run([504, 2365], 0, want_last=False)
    context.copy_sequence(0, 1)
    context.copy_sequence(0, 2)

    rows = context.decode_tree([10, 20, 30], [2, 3, 3], [[1, 2], [1], [2]], [False, True, True])
    found = [None if row is None else row.copy() for row in rows]
    context.keep_only(0)
    context.forget(0, 2)
    run = context.decode_run([10, 30], 2, want_last=True)

    expected = alone.decode_run([504, 2365, 10, 30], 0, want_last=True)
    assert found[0] is None
    assert found[1] is not None
    assert found[2] is not None
    assert run is not None
    assert expected is not None
    assert np.abs(found[1] - expected).max() > 1.0
    assert np.abs(found[2] - expected).max() < 0.5  # The model's rounding (see `exact_model`).
    assert np.abs(run - expected).max() < 0.5
    context.close()
    alone.close()


def test_a_tree_of_more_than_a_batch() -> None:
    """Such a batch would write behind llama.cpp's arrays."""
    context = real_model(SMOLLM2).open_context(ContextConfig(tokens=256, batch_tokens=2))

    with pytest.raises(EngineError, match="3 tokens in a batch, but the context evaluates 2"):
        context.decode_tree([1, 2, 3], [0, 1, 2], [[0]] * 3, [False] * 3)
    with pytest.raises(EngineError, match="there are no tokens to evaluate"):
        context.decode_run([], 0, want_last=True)
    context.close()


def test_more_tokens_than_the_cache_holds() -> None:
    """The engine's refusal is an error, and the cache can be used after it."""
    context = real_model(SMOLLM2).open_context(ContextConfig(tokens=256))

    with pytest.raises(EngineError, match="failed to evaluate 44 tokens"):
        context.decode_run([5] * 300, 0, want_last=False)
    context.forget(0, 0)
    assert context.decode_run([5], 0, want_last=True) is not None
    context.close()


def test_memory_is_freed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By `close`, or when nobody holds the context any more; never twice."""
    model = real_model(SMOLLM2)
    freed: list[object] = []
    real = library().llama_free

    def free(context: object) -> None:
        freed.append(context)
        real(context)

    monkeypatch.setattr(library(), "llama_free", free)

    closed, dropped = (model.open_context(ContextConfig(tokens=256)) for _ in range(2))
    closed.close()
    closed.close()
    assert len(freed) == 1
    del closed, dropped
    gc.collect()
    assert len(freed) == 2
