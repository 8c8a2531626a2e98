"""LoRA adapters for tests: random ones of low rank, written for a model that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from transforms.gguf_header import read_header
from transforms.write_adapter import Lora, LoraPair, write_adapter

if TYPE_CHECKING:
    import pathlib

RANK = 4


def random_lora(base: pathlib.Path, *, seed: int = 0, strength: float = 0.02, blocks: int = 4) -> Lora:
    """Random matrices on the queries and the feed-forward layers of the first blocks.

    At this strength the probabilities of labels change visibly, and stay probabilities.
    """
    header, chance = read_header(base), np.random.default_rng(seed)
    kinds = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "mlp.up_proj": "ffn_up"}
    layers = {}
    for block in range(blocks):
        for ours, theirs in kinds.items():
            inputs, outputs = header.tensors[f"blk.{block}.{theirs}.weight"].shape
            layers[f"model.layers.{block}.{ours}"] = LoraPair(
                chance.normal(0.0, strength, (RANK, inputs)).astype(np.float32),
                chance.normal(0.0, 1.0, (outputs, RANK)).astype(np.float32),
            )
    return Lora(layers, float(RANK))


def adapter_file(folder: pathlib.Path, base: pathlib.Path, name: str = "made", **how: float) -> pathlib.Path:
    """A file with such an adapter for the model of another file."""
    path = folder / f"{name}.gguf"
    write_adapter(path, random_lora(base, **how), base)  # type: ignore[arg-type]
    return path
