"""The rows of a model's output head that the labels need, applied to the state before the head.

A record needs the logits of a few labels and of a fixed slice of the vocabulary, about a thousand rows. The
engine knows the whole head only: for a vocabulary of 262,144 that is a third of a record's time. So the
evaluation ends before the head, and the rows are applied here, in the arithmetic the engine would use: what
it gives for its own prompt must come out the same, or the whole head is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    Rounding: TypeAlias = Literal["q8_0", "bf16", "f16", "none"]

_BLOCK = 32
"""Numbers that share a scale in ggml's Q8_0."""
TOLERANCE = 1e-3
"""How far a logit may be off; a probability is then off by at most half of that."""


@dataclass(frozen=True, slots=True, eq=False)
class OutputHead:
    """Rows of the output head."""

    tokens: npt.NDArray[np.int64]
    """The tokens whose rows these are, rising, shape (rows,)."""
    rows: npt.NDArray[np.float32]
    """Shape (rows, width of the state)."""
    rounding: Rounding
    """The number format that the engine rounds the state to before it applies a row."""

    def logits(self, states: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Logits of the rows' tokens, shape (states, rows), for states of shape (states, width)."""
        seen = _ROUNDINGS[self.rounding](states)
        # Not by BLAS: it sums in an order that depends on how many states there are, and its threads wait
        # busily for each other, beside another process for 70 ms where this takes 0.1.
        return np.stack([np.einsum("rw,w->r", self.rows, state) for state in seen])


def find_head(
    tokens: npt.NDArray[np.int64],
    rows: npt.NDArray[np.float32],
    state: npt.NDArray[np.float32],
    logits: npt.NDArray[np.float32],
) -> OutputHead | None:
    """The head that makes of a state what the engine made of it; None where no known arithmetic does.

    Args:
        tokens: the tokens wanted, rising.
        rows: the embeddings of those tokens. Models whose head is another matrix, or that change the logits
            afterwards, do not pass the test.
        state: a state before the head, shape (width,).
        logits: what the engine gave for it, shape (vocabulary,).
    """
    off: dict[Rounding, float] = {}
    for rounding in _ROUNDINGS:
        if rounding == "q8_0" and rows.shape[1] % _BLOCK:
            continue
        found = OutputHead(tokens, rows, rounding).logits(state[np.newaxis])[0]
        off[rounding] = float(np.abs(found - logits[tokens]).max())
    nearest = min(off, key=off.__getitem__)
    return OutputHead(tokens, rows, nearest) if off[nearest] <= TOLERANCE else None


def round_to_8_bits(states: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What is left of states in ggml's Q8_0: 8-bit numbers, and a 16-bit scale for each block of 32."""
    blocks = states.reshape(-1, _BLOCK)
    peak = np.abs(blocks).max(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        steps = np.where(peak > 0.0, np.float32(127.0) / peak, np.float32(0.0))
    scale = (peak / np.float32(127.0)).astype(np.float16).astype(np.float32)
    return np.asarray(np.rint(blocks * steps) * scale, np.float32).reshape(states.shape)


def round_to_bf16(states: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The nearest numbers with 8 bits for the digits; of two equally near ones the even one."""
    bits = states.view(np.uint32)
    half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return np.asarray((bits + half) & np.uint32(0xFFFF0000), np.uint32).view(np.float32)


def round_to_f16(states: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The nearest numbers of 16 bits; what is too large for them becomes infinite."""
    with np.errstate(over="ignore"):
        return states.astype(np.float16).astype(np.float32)


_ROUNDINGS: Mapping[Rounding, Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]] = {
    "q8_0": round_to_8_bits,
    "bf16": round_to_bf16,
    "f16": round_to_f16,
    "none": np.asarray,
}
"""What engines make of a state, by the format of the head's weights."""
