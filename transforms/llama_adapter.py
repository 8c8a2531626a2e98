"""The only module that touches llama.cpp: a typed adapter around the low-level API of llama-cpp-python.

The high-level `Llama` class keeps logits of every token and builds a Python object per token; what the scorer
needs is a KV cache it can rewind, batches in which a token may belong to several sequences, and the logits of
a few positions. Reference: `llama.h` of llama.cpp (batch, memory and sequence functions).
"""

from __future__ import annotations

import os
import pathlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from transforms.llama_library import Batch, freed_with, library, log_tail

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

_GGUF_MAGIC = b"GGUF"
MAX_SEQUENCES = 256
"""The number of sequences llama.cpp allows in one context (LLAMA_MAX_SEQ)."""


class ModelFileError(ValueError):
    """The model file cannot be used; the message says what to do."""


class EngineError(RuntimeError):
    """llama.cpp refused or failed to evaluate a batch."""


@dataclass(frozen=True, slots=True)
class ContextConfig:
    """Size of a context: tokens it can hold, sequences, and tokens evaluated at once."""

    tokens: int
    sequences: int = 1
    batch_tokens: int = 512
    threads: int = 1


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
        if c.llama_model_is_recurrent(self._model) or c.llama_model_is_hybrid(self._model):
            raise ModelFileError(f"{path}: a recurrent model cannot go back to its prompt; use a transformer")
        if c.llama_model_has_encoder(self._model):
            raise ModelFileError(f"{path}: an encoder model cannot continue a text; use a decoder-only model")
        self._vocab = c.llama_model_get_vocab(self._model)
        self.vocabulary: int = c.llama_vocab_n_tokens(self._vocab)
        self.trained_context: int = c.llama_model_n_ctx_train(self._model)

    @property
    def layer_parameters(self) -> int:
        """Number of weights without the table of the tokens' embeddings, which is looked up, not multiplied.

        A model whose output matrix is that same table (Gemma, SmolLM2) multiplies it once a record, where the
        logits are wanted; here it is not counted.
        """
        table = self._c.llama_model_n_embd(self._model) * self.vocabulary
        return int(self._c.llama_model_n_params(self._model) - table)

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

    def open_context(self, config: ContextConfig) -> LlamaContext:
        """Make a context of its own KV cache on these weights. Raises `EngineError` where memory lacks."""
        return LlamaContext(self, self._model, config)

    def close(self) -> None:
        """Free the weights; contexts must be closed before."""
        self._free()


class LlamaContext:
    """A KV cache and the means to evaluate tokens into it."""

    def __init__(self, model: LlamaModel, weights: Any, config: ContextConfig) -> None:  # noqa: ANN401 - C
        """Use `LlamaModel.open_context`."""
        c = self._c = library()
        self._model = model  # The weights must outlive the context.
        self.config = config
        log_tail().last()
        self._context = c.llama_init_from_model(weights, _parameters(config))
        if not self._context:
            raise EngineError(
                f"llama.cpp could not open a context of {config.tokens} tokens ({log_tail().last()})"
            )
        self._free = freed_with(self, c.llama_free, self._context)
        self._memory = c.llama_get_memory(self._context)
        # llama.cpp takes no more at once than the context holds, and ends the process where it is given more.
        self._batch_tokens: int = c.llama_n_batch(self._context)
        self._batch = Batch(self._batch_tokens, config.sequences)

    def decode_run(
        self, tokens: Sequence[int], start: int, *, want_last: bool
    ) -> npt.NDArray[np.float32] | None:
        """Evaluate consecutive tokens of sequence 0 from position `start` on.

        Returns the logits after the last token, shape (vocabulary,), or None where they are not wanted. The
        array is a view that the next call overwrites. Raises `EngineError` where llama.cpp fails.
        """
        if not tokens:
            raise EngineError("there are no tokens to evaluate")
        batch, size = self._batch, self._batch_tokens
        for begin in range(0, len(tokens), size):
            part = tokens[begin : begin + size]
            count = len(part)
            batch.tokens[:count] = part
            batch.positions[:count] = np.arange(start + begin, start + begin + count)
            batch.counts[:count] = 1
            batch.members[:count, 0] = 0
            batch.outputs[:count] = 0
            batch.outputs[count - 1] = want_last and begin + count == len(tokens)
            self._decode(count)
        return self._logits(count - 1) if want_last else None

    def decode_tree(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        sequences: Sequence[Sequence[int]],
        wanted: Sequence[bool],
    ) -> list[npt.NDArray[np.float32] | None]:
        """Evaluate tokens that may each belong to several sequences; at most `batch_tokens` of them.

        Returns for each token its logits (views that the next call overwrites) or None where not wanted.
        Raises `EngineError` where llama.cpp fails.
        """
        batch, count = self._batch, len(tokens)
        if count > self._batch_tokens:
            raise EngineError(f"{count} tokens in a batch, but the context evaluates {self._batch_tokens}")
        batch.tokens[:count] = tokens
        batch.positions[:count] = positions
        batch.outputs[:count] = wanted
        for index, members in enumerate(sequences):
            batch.counts[index] = len(members)
            batch.members[index, : len(members)] = members
        self._decode(count)
        return [self._logits(index) if want else None for index, want in enumerate(wanted)]

    def _decode(self, count: int) -> None:
        self._batch.c.n_tokens = count
        log_tail().last()
        code = self._c.llama_decode(self._context, self._batch.c)
        if code != 0:
            raise EngineError(
                f"llama.cpp failed to evaluate {count} tokens (code {code}: {log_tail().last()})"
            )

    def _logits(self, index: int) -> npt.NDArray[np.float32]:
        pointer = self._c.llama_get_logits_ith(self._context, index)
        if not pointer:
            raise EngineError(f"llama.cpp gives no logits for token {index} ({log_tail().last()})")
        return np.ctypeslib.as_array(pointer, (self._model.vocabulary,))

    def copy_sequence(self, source: int, target: int) -> None:
        """Let `target` share all cells of `source`; it must not share any yet."""
        self._c.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def keep_only(self, sequence: int) -> None:
        """Remove all other sequences."""
        self._c.llama_memory_seq_keep(self._memory, sequence)

    def forget(self, sequence: int, start: int) -> None:
        """Remove the cells of a sequence from position `start` on. Raises `EngineError` where it cannot."""
        if not self._c.llama_memory_seq_rm(self._memory, sequence, start, -1):
            raise EngineError("llama.cpp cannot take tokens back from this model's memory")

    def close(self) -> None:
        """Free the cache."""
        self._free()


def _parameters(config: ContextConfig) -> Any:  # noqa: ANN401 - the bindings are untyped
    parameters = library().llama_context_default_params()
    parameters.n_ctx = config.tokens
    parameters.n_batch = config.batch_tokens
    parameters.n_ubatch = config.batch_tokens
    parameters.n_seq_max = config.sequences
    parameters.n_threads = config.threads
    parameters.n_threads_batch = config.threads
    parameters.kv_unified = True
    # A sliding-window cache forgets the prefix that later records need.
    parameters.swa_full = True
    # On a CPU flash attention is slower where few tokens look back on many: by a tenth to a third for 20 to
    # 40 tokens after a prefix of 300 to 600. For long texts the two are alike.
    parameters.flash_attn_type = library().LLAMA_FLASH_ATTN_TYPE_DISABLED
    parameters.no_perf = True
    return parameters
