"""A typed adapter around llama-cpp-python's low-level API; but for `quantize_model`, none knows llama.cpp.

With `llama_context`, `llama_library`, `llama_tap` and `llama_grammar`, its parts.

The high-level `Llama` class keeps logits of every token and builds a Python object per token; what the scorer
needs is a KV cache it can rewind, batches in which a token may belong to several sequences, and the logits of
a few positions. Reference: `llama.h` of llama.cpp (batch, memory and sequence functions).
"""

from __future__ import annotations

import functools
import os
import pathlib
from typing import Any, Literal

import numpy as np

from transforms.llama_context import ROWS_TOGETHER, ContextConfig, EngineError, LlamaContext
from transforms.llama_grammar import Tokens
from transforms.llama_library import freed_with, library, log_tail

_GGUF_MAGIC = b"GGUF"
_TRIAL_TOKENS = 2 * ROWS_TOGETHER - 1
_TRIAL_LOGITS = 256


class ModelFileError(ValueError):
    """The model file cannot be used; the message says what to do."""


def check_gguf(path: str | os.PathLike[str]) -> None:
    """Raise `ModelFileError` unless the file exists and begins as a GGUF file does."""
    file = pathlib.Path(path)
    if not file.is_file():
        raise ModelFileError(f"{file}: no such model file; give the path of a .gguf file")
    try:
        with file.open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        raise ModelFileError(
            f"{file}: cannot be read ({error.strerror}); check the file's permissions"
        ) from error
    if magic != _GGUF_MAGIC:
        raise ModelFileError(f"{file}: not a GGUF model (it begins with {magic!r}); give a .gguf file")


class LlamaModel:
    """The weights and the tokenizer of one GGUF model; contexts share it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Map the file into memory. Raises `ModelFileError` where llama.cpp cannot load it or rewind it."""
        check_gguf(path)
        self.path = str(path)
        c = self._c = library()
        log_tail().last()
        parameters = c.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self._model = c.llama_model_load_from_file(os.fsencode(path), parameters)
        if not self._model:
            raise ModelFileError(
                f"{path}: llama.cpp cannot load this model ({log_tail().last() or 'it gives no reason'}); "
                "the file may be cut off or of an unknown kind: fetch it again, or use another model"
            )
        self._free = freed_with(self, c.llama_model_free, self._model)
        self.adapters: dict[tuple[object, ...], Any] = {}
        """Adapters loaded for these weights, which llama.cpp frees with them (`transforms.lora_model`)."""
        if c.llama_model_is_recurrent(self._model) or c.llama_model_is_hybrid(self._model):
            raise ModelFileError(f"{path}: a recurrent model cannot go back to its prompt; use a transformer")
        if c.llama_model_has_encoder(self._model):
            raise ModelFileError(f"{path}: an encoder model cannot continue a text; use a decoder-only model")
        self._vocab = c.llama_model_get_vocab(self._model)
        self.vocabulary: int = c.llama_vocab_n_tokens(self._vocab)
        self.trained_context: int = c.llama_model_n_ctx_train(self._model)

    @property
    def weights(self) -> Any:  # noqa: ANN401 - a C pointer
        """llama.cpp's own model."""
        return self._model

    @property
    def layer_parameters(self) -> int:
        """Number of weights without the table of the tokens' embeddings, which is looked up, not multiplied.

        A model whose output matrix is that same table (Gemma, SmolLM2) multiplies it once a record, where the
        logits are wanted; here it is not counted.
        """
        table = self._c.llama_model_n_embd(self._model) * self.vocabulary
        return int(self._c.llama_model_n_params(self._model) - table)

    @functools.cached_property
    def tokens(self) -> Tokens:
        """What its tokens are, for writing answers."""
        return Tokens(self._vocab)

    @property
    def chat_template(self) -> str | None:
        """The Jinja chat template that the file carries, or None (base models)."""
        template = self._c.llama_model_chat_template(self._model, None)
        return None if template is None else template.decode("utf-8", "replace")

    @property
    def begin_tokens(self) -> list[int]:
        """The tokens every prompt must begin with: BOS where the model wants it, else none."""
        if self._c.llama_vocab_get_add_bos(self._vocab):
            return [int(self._c.llama_vocab_bos(self._vocab))]
        return []

    def token_text(self, kind: Literal["bos", "eos"]) -> str:
        """Text of a token that chat templates ask for; empty where the model has none."""
        find = self._c.llama_vocab_bos if kind == "bos" else self._c.llama_vocab_eos
        token = find(self._vocab)
        if token < 0:
            return ""
        return bytes(self._c.llama_vocab_get_text(self._vocab, token)).decode("utf-8", "replace")

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Token ids of a text. With `special` false, `<|im_end|>` and its like are plain characters.

        Raises `EngineError` for a text that is not Unicode (it has half a surrogate pair).
        """
        try:
            data = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise EngineError(
                f"the text is not Unicode: {error.reason} at character {error.start}"
            ) from error
        size = len(data) + 8
        buffer = (self._c.llama_token * size)()
        add_special = False
        count = self._c.llama_tokenize(self._vocab, data, len(data), buffer, size, add_special, special)
        if count < 0:
            raise EngineError(f"llama.cpp could not tokenise a text of {len(text)} characters")
        tokens: list[int] = buffer[:count]
        return tokens

    @functools.cached_property
    def rows_together(self) -> int:
        """What runs must be filled up to a multiple of: 1, unless a run with tokens left over says otherwise.

        Raises `EngineError` where llama.cpp fails.
        """
        context = self._new_context(ContextConfig(tokens=256))
        run = [self.vocabulary // 2 + number for number in range(_TRIAL_TOKENS)]
        seen = np.arange(min(self.vocabulary, _TRIAL_LOGITS))
        found = []
        for rows in (1, ROWS_TOGETHER):
            context.rows_together = rows
            found.append(context.decode_wanted([run], 0, seen, None))
            context.forget(0, 0)
        context.close()
        return 1 if np.array_equal(found[0], found[1]) else ROWS_TOGETHER

    def open_context(self, config: ContextConfig) -> LlamaContext:
        """Make a context of its own KV cache on these weights. Raises `EngineError` where memory lacks."""
        return self._new_context(config)

    def _new_context(self, config: ContextConfig) -> LlamaContext:
        return LlamaContext(self, self._model, config)

    def close(self) -> None:
        """Free the weights; contexts must be closed before."""
        self._free()
