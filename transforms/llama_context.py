"""llama.cpp's context as the scorer needs it: a KV cache that can be rewound, and batches of sequences.

A part of the adapter, like `transforms.llama_adapter`. Reference: `llama.h` of llama.cpp (batch, memory and
sequence functions).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from transforms.llama_library import Batch, freed_with, library, log_tail
from transforms.llama_tap import EMBEDDING, STATE, Tap
from transforms.output_head import find_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from transforms.llama_adapter import LlamaModel
    from transforms.output_head import OutputHead

MAX_SEQUENCES = 256
"""The number of sequences llama.cpp allows in one context (LLAMA_MAX_SEQ)."""
ROWS_TOGETHER = 4
"""Runs are filled up to a multiple of this many tokens, for models that need it. Some of ggml's kernels take
so many rows at once, and what is left over one by one and rounded in another way: a text's result would
depend on what is beside it."""


class EngineError(RuntimeError):
    """llama.cpp refused or failed to evaluate a batch."""


@dataclass(frozen=True, slots=True)
class ContextConfig:
    """Size of a context: tokens it can hold, sequences, and tokens evaluated at once."""

    tokens: int
    sequences: int = 1
    batch_tokens: int = 512
    threads: int = 1
    apart: bool = False
    """Whether each sequence has a cache of its own, of an equal share of `tokens`. Else all share one."""


class LlamaContext:
    """A KV cache and the means to evaluate tokens into it."""

    def __init__(self, model: LlamaModel, weights: Any, config: ContextConfig) -> None:  # noqa: ANN401 - C
        """Use `LlamaModel.open_context`."""
        c = self._c = library()
        self._model = model  # The weights must outlive the context.
        self.config = config
        log_tail().last()
        self._tap = Tap()
        parameters = _parameters(config)
        parameters.cb_eval = self._tap.callback
        self._context = c.llama_init_from_model(weights, parameters)
        if not self._context:
            raise EngineError(
                f"llama.cpp could not open a context of {config.tokens} tokens ({log_tail().last()})"
            )
        self._free = freed_with(self, c.llama_free, self._context)
        self._memory = c.llama_get_memory(self._context)
        # llama.cpp takes no more at once than the context holds, and ends the process where it is given more.
        self._batch_tokens: int = c.llama_n_batch(self._context)
        self._batch = Batch(self._batch_tokens, config.sequences)
        self.rows_together: int | None = None
        """What runs are filled up to a multiple of; None: what the model needs."""

    def use_adapter(self, adapter: Any, scale: float) -> None:  # noqa: ANN401 - a C pointer
        """Add a LoRA adapter's matrices to the weights in this context (`transforms.lora_model`)."""
        adapters = (self._c.llama_adapter_lora_p_ctypes * 1)(adapter)
        if self._c.llama_set_adapters_lora(self._context, adapters, 1, (ctypes.c_float * 1)(scale)) != 0:
            raise EngineError(f"llama.cpp cannot use the adapter in this context ({log_tail().last()})")

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

    def head(self, tokens: npt.NDArray[np.int64], beginning: Sequence[int]) -> OutputHead | None:
        """Evaluate a prompt's beginning as sequence 0, and find the output head's rows of some tokens.

        None where they cannot be applied apart from the engine. Raises `EngineError` where llama.cpp fails.
        """
        rows = self._embeddings(tokens)
        whole = (len(beginning) - 1) // self._batch_tokens * self._batch_tokens
        if whole:
            self.decode_run(beginning[:whole], 0, want_last=False)
        self._tap.watch(STATE, goes_on=True)
        try:
            logits = self.decode_run(beginning[whole:], whole, want_last=True)
        finally:
            state = self._tap.take()
        if rows is None or state is None or logits is None or state.size != rows.shape[1]:
            return None
        return find_head(tokens, rows, state, logits)

    def _embeddings(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32] | None:
        """The embeddings of tokens, shape (tokens, width), or None; the cache must be empty and stays so."""
        found, size = [], min(self._batch_tokens, len(tokens))
        for begin in range(0, len(tokens), size):
            part = [int(token) for token in tokens[begin : begin + size]]
            self._tap.watch(EMBEDDING)
            try:
                self.decode_run(part, 0, want_last=False)
            finally:
                rows = self._tap.take()
                self.forget(0, 0)
            if rows is None or rows.size % len(part):
                return None
            found.append(rows.reshape(len(part), -1))
        return np.concatenate(found)

    def decode_wanted(
        self,
        runs: Sequence[Sequence[int]],
        start: int,
        tokens: npt.NDArray[np.int64],
        head: OutputHead | None,
    ) -> npt.NDArray[np.float32]:
        """Evaluate a run of tokens for each of the first sequences, from position `start` on, all at once.

        Returns the logits of some tokens after each run, shape (runs, tokens); `head` has their rows, if
        there is one. Runs are filled up to one length behind their last token, so what a sequence holds from
        there on is to be forgotten. A single run may be longer than what is evaluated at once.

        Raises `EngineError` where llama.cpp fails.
        """
        if not all(runs):
            raise EngineError("there are no tokens to evaluate")
        if len(runs) == 1:
            whole = (len(runs[0]) - 1) // self._batch_tokens * self._batch_tokens
            if whole:
                self.decode_run(runs[0][:whole], start, want_last=False)
            runs, start = [runs[0][whole:]], start + whole
        rows = self.rows_together or self._model.rows_together
        # The last layer sees the outputs only, and a single one is summed in another way than several.
        lasts = self._fill_batch(runs, start, rows, outputs=ROWS_TOGETHER if head is not None else 1)
        count = len(runs) * padded(max(map(len, runs)), rows)
        found = self._outputs(count, lasts, head)
        return np.stack([logits[tokens] for logits in found] if head is None else found)

    def _fill_batch(self, runs: Sequence[Sequence[int]], start: int, rows: int, *, outputs: int) -> list[int]:
        """Write runs into the batch, their length and the outputs multiples; return where each run ends."""
        batch, length = self._batch, padded(max(map(len, runs)), rows)
        count = len(runs) * length
        if count > self._batch_tokens:
            raise EngineError(f"{count} tokens in a batch, but the context evaluates {self._batch_tokens}")
        lasts = []
        batch.outputs[:count] = 0
        batch.counts[:count] = 1
        for sequence, run in enumerate(runs):
            begin, end = sequence * length, sequence * length + len(run)
            batch.tokens[begin:end] = run
            batch.tokens[end : begin + length] = run[-1]
            batch.positions[begin : begin + length] = np.arange(start, start + length)
            batch.members[begin : begin + length, 0] = sequence
            batch.outputs[end - 1] = 1
            lasts.append(end - 1)
        spare = np.flatnonzero(batch.outputs[:count] == 0)[: -len(runs) % outputs]
        batch.outputs[spare] = 1
        return lasts

    def decode_tree(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        sequences: Sequence[Sequence[int]],
        wanted: Sequence[bool],
        head: OutputHead | None = None,
    ) -> list[npt.NDArray[np.float32] | None]:
        """Evaluate tokens that may each belong to several sequences; at most `batch_tokens` of them.

        Returns for each token its logits (views that the next call overwrites) or None where not wanted; with
        a `head` the logits of its tokens only. Raises `EngineError` where llama.cpp fails.
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
        places = [index for index, want in enumerate(wanted) if want]
        found = dict(zip(places, self._outputs(count, places, head), strict=True))
        return [found.get(index) for index in range(count)]

    def _outputs(
        self, count: int, places: Sequence[int], head: OutputHead | None
    ) -> Sequence[npt.NDArray[np.float32]]:
        """Evaluate the batch; the logits at some of its outputs: all of them, or those of the head's rows."""
        if head is None or not places:
            self._decode(count)
            return [self._logits(place) for place in places]
        self._tap.watch(STATE)
        try:
            self._decode(count)
        finally:
            states = self._tap.take()
        if states is None:
            return [self._logits(place)[head.tokens] for place in places]
        row = np.cumsum(self._batch.outputs[:count]) - 1
        return list(head.logits(states.reshape(-1, head.rows.shape[1])[row[places]]))

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
    parameters.kv_unified = not config.apart
    # A sliding-window cache forgets the prefix that later records need.
    parameters.swa_full = True
    # On a CPU flash attention is slower where few tokens look back on many: by a tenth to a third for 20 to
    # 40 tokens after a prefix of 300 to 600. For long texts the two are alike.
    parameters.flash_attn_type = library().LLAMA_FLASH_ATTN_TYPE_DISABLED
    parameters.no_perf = True
    return parameters


def padded(length: int, rows: int = ROWS_TOGETHER) -> int:
    """The length that a run is filled up to."""
    return -(-length // rows) * rows
