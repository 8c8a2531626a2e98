"""Several records in one evaluation, each after a copy of the prompt's beginning in a cache of its own.

Apart, because a cache that all share puts a record's tokens where its neighbours left room. The places decide
in which order a sum is rounded, and a model whose numbers are 8 bits wide makes of that a probability that is
off by some hundredths. In a cache of its own a record gives the very numbers that it gives alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transforms.llama_adapter import ROWS_TOGETHER, ContextConfig, padded

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from transforms.llama_adapter import LlamaContext, LlamaModel
    from transforms.output_head import OutputHead

MOST_RECORDS = 16
"""More at once gained nothing: a few hundred tokens keep a CPU's kernels busy."""
BATCH_TOKENS = 512
_LEAST_ROOM = 128
"""Tokens that a record may have after the prompt's beginning, at least."""
_CELLS = 8192
"""Tokens that the caches may hold together: 150 MB for Gemma 3 270M, 190 MB for SmolLM2 135M."""
_PADDING = 256
"""llama.cpp makes the caches of sequences multiples of this."""


@dataclass(frozen=True, slots=True)
class PackSize:
    """How many records are evaluated together, and how long they may be."""

    records: int
    cells: int
    """Size of each record's cache in tokens, the prompt's beginning included."""


def pack_size(wanted: int, beginning: int) -> PackSize:
    """As many records as are wanted, unless their caches would be too large.

    Args:
        wanted: the most records to evaluate together.
        beginning: tokens of the prompt's beginning, which each cache holds.
    """
    cells = -(-(beginning + _LEAST_ROOM) // _PADDING) * _PADDING
    return PackSize(min(wanted, max(_CELLS // cells, 1)), cells)


def bundles(lengths: Sequence[int], records: int) -> list[list[int]]:
    """Which runs are evaluated together: their indices, shortest first, so that little is filled up.

    Args:
        lengths: tokens of each run, at most `BATCH_TOKENS`.
        records: the most runs in a bundle.
    """
    found: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        together = len(found[-1]) + 1 if found else records + 1
        if together > records or together * padded(lengths[index]) > BATCH_TOKENS:
            found.append([])
        found[-1].append(index)
    return found


class PackedContext:
    """As many copies of the prompt's beginning as records are evaluated together."""

    def __init__(self, model: LlamaModel, beginning: Sequence[int], size: PackSize, threads: int) -> None:
        """Evaluate the beginning and copy it. Raises `EngineError` where memory lacks."""
        self._start = len(beginning)
        self.room = min((size.cells - self._start) // ROWS_TOGETHER * ROWS_TOGETHER, BATCH_TOKENS)
        self._context: LlamaContext = model.open_context(
            ContextConfig(size.cells * size.records, size.records, BATCH_TOKENS, threads=threads, apart=True)
        )
        self._context.decode_run(beginning, 0, want_last=False)
        for sequence in range(1, size.records):
            self._context.copy_sequence(0, sequence)

    def decode(
        self, runs: Sequence[Sequence[int]], tokens: npt.NDArray[np.int64], head: OutputHead | None
    ) -> npt.NDArray[np.float32]:
        """Logits of some tokens after each run, shape (runs, tokens); see `LlamaContext.decode_wanted`."""
        try:
            return self._context.decode_wanted(runs, self._start, tokens, head)
        finally:
            for sequence in range(len(runs)):
                self._context.forget(sequence, self._start)

    def close(self) -> None:
        """Free the caches."""
        self._context.close()
