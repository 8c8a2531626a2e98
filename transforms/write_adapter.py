"""Writing a LoRA adapter as a GGUF file, with the `gguf` package (the extra `train`).

The layers' names are those of PyTorch's models. llama.cpp has names of its own, and in the architecture
`llama` it has the rows of queries and keys in another order, as its converter writes them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from transforms.adapter_files import BASE_DIGEST, norms_digest
from transforms.gguf_header import read_header
from transforms.llama_adapter import ModelFileError

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping

    import numpy.typing as npt

    from transforms.gguf_header import GgufHeader

_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""llama.cpp's names of the layers of a block, by PyTorch's."""
_LAYER = re.compile(r"model\.layers\.(\d+)\.([a-z_.]+)")
_HEADS = {"attn_q": "head_count", "attn_k": "head_count_kv"}
_REORDERED = "llama"
ARCHITECTURES = ("gemma3", "llama", "qwen2", "qwen3")
"""Those whose blocks have just these layers."""


@dataclass(frozen=True, slots=True, eq=False)
class LoraPair:
    """What is added to a layer's weights: `b @ a`, times alpha / rank."""

    a: npt.NDArray[np.float32]
    """Shape (rank, the layer's inputs)."""
    b: npt.NDArray[np.float32]
    """Shape (the layer's outputs, rank)."""


@dataclass(frozen=True, slots=True, eq=False)
class Lora:
    """An adapter: what is added to layers, by PyTorch's names such as `model.layers.0.mlp.up_proj`."""

    layers: Mapping[str, LoraPair]
    alpha: float


def write_adapter(path: pathlib.Path, lora: Lora, base: pathlib.Path, name: str = "") -> None:
    """Write an adapter for a base, which is named in it with a digest of what quantising leaves alone.

    Raises `ModelFileError` for a base of another architecture or a layer that has no name here, and where the
    file cannot be written.
    """
    import gguf  # noqa: PLC0415 - belongs to the extra

    header = read_header(base)
    architecture = header.text("general.architecture") or ""
    if architecture not in ARCHITECTURES:
        raise ModelFileError(
            f"{base}: of the architecture {architecture!r}, whose adapters cannot be written here (but for "
            f"{', '.join(ARCHITECTURES)}); convert the adapter with llama.cpp's convert_lora_to_gguf.py"
        )
    tensors = as_tensors(lora.layers, header)
    try:
        writer = gguf.GGUFWriter(path, architecture)
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", lora.alpha)
        writer.add_name(name or path.stem)
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, header.text("general.name") or base.stem)
        writer.add_string(BASE_DIGEST, norms_digest(base, header))
        for tensor, values in tensors.items():
            writer.add_tensor(tensor, values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be written ({error.strerror or error})") from error


def as_tensors(layers: Mapping[str, LoraPair], base: GgufHeader) -> dict[str, npt.NDArray[np.float32]]:
    """The matrices under llama.cpp's names and in its order. Raises `ModelFileError` for an unknown layer."""
    architecture = base.text("general.architecture") or ""
    found: dict[str, npt.NDArray[np.float32]] = {}
    for layer, pair in layers.items():
        parts = _LAYER.fullmatch(layer)
        kind = None if parts is None else _NAMES.get(parts[2])
        if parts is None or kind is None:
            raise ModelFileError(f"{layer}: no layer that an adapter can be on; known: {', '.join(_NAMES)}")
        rows = np.asarray(pair.b, np.float32)
        if architecture == _REORDERED and kind in _HEADS:
            heads = base.number(f"{architecture}.attention.{_HEADS[kind]}")
            rows = reordered(rows, heads or base.number(f"{architecture}.attention.head_count") or 1)
        name = f"blk.{parts[1]}.{kind}.weight"
        found[f"{name}.lora_a"] = np.ascontiguousarray(pair.a, np.float32)
        found[f"{name}.lora_b"] = np.ascontiguousarray(rows, np.float32)
    return found


def reordered(rows: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    """Rows of queries or keys as llama.cpp has them: a head's two halves, which turn together, by turns."""
    size = rows.shape[0] // heads
    halves = rows.reshape(heads, 2, size // 2, *rows.shape[1:])
    return np.asarray(halves.swapaxes(1, 2).reshape(rows.shape), np.float32)
