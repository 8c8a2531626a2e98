"""The only module that touches llama.cpp: a typed adapter around the low-level API of llama-cpp-python.

The high-level `Llama` class keeps logits of every token and builds a Python object per token; what the scorer
needs is a KV cache it can rewind, batches in which a token may belong to several sequences, and the logits of
a few positions. Reference: `llama.h` of llama.cpp (batch, memory and sequence functions).
"""

from __future__ import annotations

import ctypes
import os
import pathlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

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
    with file.open("rb") as stream:
        magic = stream.read(4)
    if magic != _GGUF_MAGIC:
        raise ModelFileError(f"{file}: not a GGUF model (it begins with {magic!r}); give a .gguf file")


def _library() -> Any:  # noqa: ANN401 - the bindings are untyped
    # Busy-waiting OpenMP threads starve each other as soon as another process wants a core: one sixteenth of
    # the speed was measured. The variable must be set before the library is loaded; a user's own value wins.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import llama_cpp.llama_cpp as library  # noqa: PLC0415 - loading it takes 100 ms and only workers need it

    return library


class _LogTail:
    """Receives llama.cpp's log: keeps the last complaint for error messages and prints nothing."""

    def __init__(self, library: Any) -> None:  # noqa: ANN401 - the bindings are untyped
        self._lines: list[str] = []
        # ctypes frees a callback nobody holds; llama.cpp would then call into freed memory.
        self._callback = library.llama_log_callback(self._receive)
        library.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _receive(self, level: int, text: bytes, _data: object) -> None:
        error_level = 4
        if level == error_level:
            self._lines = [*self._lines[-2:], text.decode("utf-8", "replace").strip()]

    def last(self) -> str:
        return "; ".join(self._lines)


class LlamaModel:
    """The weights and the tokenizer of one GGUF model; contexts share it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Map the file into memory. Raises `ModelFileError` where it is not a model llama.cpp can load."""
        check_gguf(path)
        self.path = str(path)
        self._c = _library()
        self._log = _LogTail(self._c)
        self._c.llama_backend_init()
        parameters = self._c.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self._model = self._c.llama_model_load_from_file(self.path.encode(), parameters)
        if not self._model:
            raise ModelFileError(f"{path}: llama.cpp cannot load this model ({self._log.last()})")
        self._vocab = self._c.llama_model_get_vocab(self._model)
        self.vocabulary: int = self._c.llama_vocab_n_tokens(self._vocab)
        self.trained_context: int = self._c.llama_model_n_ctx_train(self._model)

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

    def token_text(self, kind: str) -> str:
        """Text of the `bos` or `eos` token, which chat templates ask for; empty where the model has none."""
        token = self._c.llama_vocab_bos(self._vocab) if kind == "bos" else self._c.llama_vocab_eos(self._vocab)
        if token < 0:
            return ""
        return bytes(self._c.llama_vocab_get_text(self._vocab, token)).decode("utf-8", "replace")

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Token ids of a text. With `special` false, `<|im_end|>` and its like are plain characters."""
        data = text.encode("utf-8")
        size = len(data) + 8
        buffer = (self._c.llama_token * size)()
        count = self._c.llama_tokenize(self._vocab, data, len(data), buffer, size, False, special)  # noqa: FBT003 - a C function
        if count < 0:
            raise EngineError(f"llama.cpp could not tokenise a text of {len(text)} characters")
        return list(buffer[:count])

    def open_context(self, config: ContextConfig) -> LlamaContext:
        """Make a context of its own KV cache on these weights."""
        return LlamaContext(self._c, self._model, self.vocabulary, config, self._log)

    def close(self) -> None:
        """Free the weights; contexts must be closed before."""
        if self._model:
            self._c.llama_model_free(self._model)
            self._model = None


class LlamaContext:
    """A KV cache and the means to evaluate tokens into it."""

    def __init__(self, library: Any, model: Any, vocabulary: int, config: ContextConfig, log: _LogTail) -> None:  # noqa: ANN401 - the bindings are untyped
        """Use `LlamaModel.open_context`. Raises `EngineError` where there is no memory for it."""
        self._c = library
        self._log = log
        self._vocabulary = vocabulary
        self.config = config
        parameters = library.llama_context_default_params()
        parameters.n_ctx = config.tokens
        parameters.n_batch = config.batch_tokens
        parameters.n_ubatch = config.batch_tokens
        parameters.n_seq_max = config.sequences
        parameters.n_threads = config.threads
        parameters.n_threads_batch = config.threads
        parameters.kv_unified = True
        # A sliding-window cache forgets the prefix that later records need.
        parameters.swa_full = True
        parameters.no_perf = True
        self._context = library.llama_init_from_model(model, parameters)
        if not self._context:
            raise EngineError(f"llama.cpp could not open a context of {config.tokens} tokens ({log.last()})")
        self._memory = library.llama_get_memory(self._context)
        self._batch = library.llama_batch_init(config.batch_tokens, 0, config.sequences)
        self._tokens = np.ctypeslib.as_array(self._batch.token, (config.batch_tokens,))
        self._positions = np.ctypeslib.as_array(self._batch.pos, (config.batch_tokens,))
        self._counts = np.ctypeslib.as_array(self._batch.n_seq_id, (config.batch_tokens,))
        self._outputs = np.ctypeslib.as_array(self._batch.logits, (config.batch_tokens,))
        self._sequences = [
            np.ctypeslib.as_array(self._batch.seq_id[i], (config.sequences,)) for i in range(config.batch_tokens)
        ]

    def decode_run(self, tokens: Sequence[int], start: int, *, want_last: bool) -> npt.NDArray[np.float32] | None:
        """Evaluate consecutive tokens of sequence 0 from position `start` on.

        Returns the logits after the last token, shape (vocabulary,), or None where they are not wanted. The
        array is a view that the next call overwrites.
        """
        size = self.config.batch_tokens
        for begin in range(0, len(tokens), size):
            part = tokens[begin : begin + size]
            count = len(part)
            self._tokens[:count] = part
            self._positions[:count] = np.arange(start + begin, start + begin + count)
            self._counts[:count] = 1
            self._outputs[:count] = 0
            for row in self._sequences[:count]:
                row[0] = 0
            last = begin + count == len(tokens)
            self._outputs[count - 1] = int(want_last and last)
            self._decode(count)
        return self._logits(len(tokens[begin:]) - 1) if want_last else None

    def decode_tree(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        sequences: Sequence[Sequence[int]],
        wanted: Sequence[bool],
    ) -> list[npt.NDArray[np.float32] | None]:
        """Evaluate tokens that may each belong to several sequences; at most `batch_tokens` of them.

        Returns for each token its logits (views that the next call overwrites) or None where not wanted.
        """
        count = len(tokens)
        if count > self.config.batch_tokens:
            raise EngineError(f"{count} tokens in one batch, but the context evaluates {self.config.batch_tokens}")
        self._tokens[:count] = tokens
        self._positions[:count] = positions
        self._outputs[:count] = wanted
        for index, members in enumerate(sequences):
            self._counts[index] = len(members)
            self._sequences[index][: len(members)] = members
        self._decode(count)
        return [self._logits(index) if want else None for index, want in enumerate(wanted)]

    def _decode(self, count: int) -> None:
        self._batch.n_tokens = count
        code = self._c.llama_decode(self._context, self._batch)
        if code != 0:
            raise EngineError(f"llama.cpp failed to evaluate {count} tokens (code {code}: {self._log.last()})")

    def _logits(self, index: int) -> npt.NDArray[np.float32]:
        pointer = self._c.llama_get_logits_ith(self._context, index)
        return np.ctypeslib.as_array(pointer, (self._vocabulary,))

    def copy_sequence(self, source: int, target: int) -> None:
        """Let `target` share all cells of `source`."""
        self._c.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def forget(self, sequence: int, start: int) -> None:
        """Remove the cells of a sequence (-1: of all) from position `start` on."""
        self._c.llama_memory_seq_rm(self._memory, sequence, start, -1)

    def close(self) -> None:
        """Free the cache."""
        if self._context:
            self._c.llama_batch_free(self._batch)
            self._c.llama_free(self._context)
            self._context = None
