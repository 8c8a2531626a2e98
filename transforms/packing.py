"""Several records in one evaluation, each after a copy of the prompt's beginning in a cache of its own.

Apart, because a cache that all share puts a record's tokens where its neighbours left room. The places decide
in which order a sum is rounded, and a model whose numbers are 8 bits wide makes of that a probability that is
off by some hundredths. In a cache of its own a record gives the very numbers that it gives alone.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from transforms.llama_context import ROWS_TOGETHER, ContextConfig, EngineError, padded

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from router.records import LabelScores, Usage
    from transforms.llama_adapter import LlamaModel
    from transforms.llama_context import LlamaContext
    from transforms.output_head import OutputHead

    Result: TypeAlias = tuple[LabelScores, Usage]

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


@dataclass(frozen=True, slots=True, eq=False)
class PackedPrefix:
    """What all packed records have in common: the prompt's beginning, and what is wanted after them."""

    beginning: Sequence[int]
    size: PackSize
    tokens: npt.NDArray[np.int64]
    """Tokens whose logits are wanted."""
    head: OutputHead | None
    """Their rows of the output head."""


class PackedContext:
    """As many copies of the prompt's beginning as records are evaluated together."""

    def __init__(self, model: LlamaModel, prefix: PackedPrefix, threads: int) -> None:
        """Evaluate the beginning and copy it. Raises `EngineError` where memory lacks."""
        self._prefix, self._start = prefix, len(prefix.beginning)
        size = prefix.size
        self.room = min((size.cells - self._start) // ROWS_TOGETHER * ROWS_TOGETHER, BATCH_TOKENS)
        self._context: LlamaContext = model.open_context(
            ContextConfig(size.cells * size.records, size.records, BATCH_TOKENS, threads=threads, apart=True)
        )
        self._context.decode_run(prefix.beginning, 0, want_last=False)
        for sequence in range(1, size.records):
            self._context.copy_sequence(0, sequence)

    def decode(self, runs: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Logits of the wanted tokens after each run, shape (runs, tokens); raises `EngineError`."""
        try:
            return self._context.decode_wanted(runs, self._start, self._prefix.tokens, self._prefix.head)
        finally:
            for sequence in range(len(runs)):
                self._context.forget(sequence, self._start)

    def close(self) -> None:
        """Free the caches."""
        self._context.close()


class OneByOne(Protocol):
    """What scores texts one by one (`LabelScorer`)."""

    def score(self, text: str) -> Result:
        """Score a text alone; raises `EngineError`."""

    def run_of(self, text: str) -> list[int]:
        """The tokens to evaluate for a text."""

    def scores_after(self, logits: npt.NDArray[np.float32], run: Sequence[int], seconds: float) -> Result:
        """What `score` gives, from the logits of the wanted tokens after a run."""


@dataclass(frozen=True, slots=True)
class _Short:
    """A text that may be evaluated beside others."""

    index: int
    text: str
    run: list[int]
    seconds: float
    """What tokenising it took."""


class Packer:
    """Scores texts several at once, with what scores them one by one where that is not possible."""

    def __init__(self, scorer: OneByOne, model: LlamaModel, prefix: PackedPrefix, threads: int) -> None:
        """The caches are made when texts come."""
        self._scorer = scorer
        self._records = prefix.size.records
        self._open = functools.partial(PackedContext, model, prefix, threads)
        self._context: PackedContext | None = None

    def score_many(self, texts: Sequence[str]) -> list[Result | EngineError]:
        """Scores of each text, or why it failed."""
        results: list[Result | EngineError] = [EngineError("not scored")] * len(texts)
        short: list[_Short] = []
        for index, text in enumerate(texts):
            if (one := self._short(index, text)) is None:
                results[index] = self._alone(text)
            else:
                short.append(one)
        for chosen in bundles([len(one.run) for one in short], self._records):
            together = [short[number] for number in chosen]
            for one, result in zip(together, self._together(together), strict=True):
                results[one.index] = result
        return results

    def _alone(self, text: str) -> Result | EngineError:
        try:
            return self._scorer.score(text)
        except EngineError as error:
            return error

    def _short(self, index: int, text: str) -> _Short | None:
        if self._records == 1:
            return None
        started = time.perf_counter()
        try:
            if self._context is None:
                self._context = self._open()
            run = self._scorer.run_of(text)
        except EngineError:
            return None
        fits = len(run) <= self._context.room
        return _Short(index, text, run, time.perf_counter() - started) if fits else None

    def _together(self, chosen: Sequence[_Short]) -> list[Result | EngineError]:
        if len(chosen) == 1 or self._context is None:
            return [self._alone(one.text) for one in chosen]
        started = time.perf_counter()
        try:
            found = self._context.decode([one.run for one in chosen])
        except EngineError:
            return [self._alone(one.text) for one in chosen]
        each = (time.perf_counter() - started) / sum(len(one.run) for one in chosen)
        return [
            self._scorer.scores_after(logits, one.run, one.seconds + each * len(one.run))
            for one, logits in zip(chosen, found, strict=True)
        ]

    def close(self) -> None:
        """Free the caches."""
        if self._context is not None:
            self._context.close()
