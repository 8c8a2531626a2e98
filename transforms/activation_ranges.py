"""How far the activations of an ONNX encoder go on sample texts: what rounding with fixed scales needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from transforms.quantize_rows import is_product

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    _Sums = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64], float, int]
    """Lowest, highest and sum of squares of the channels; sum of the rows' squared peaks; rows."""


@dataclass(frozen=True, slots=True, eq=False)
class ActivationRange:
    """One activation on all tokens that were looked at."""

    lowest: npt.NDArray[np.float64]
    """Of each channel."""
    highest: npt.NDArray[np.float64]
    power: npt.NDArray[np.float64]
    """Mean square of each channel."""
    peak_power: float
    """Mean square of the rows' largest absolute values."""


def measure_ranges(model: Any, samples: Iterable[Sequence[int]]) -> dict[str, ActivationRange]:  # noqa: ANN401 - onnx is not always there
    """The ranges of all that a model (`onnx.ModelProto`) multiplies by a constant matrix, by name.

    Each sample is the tokens of a text; its inputs are `input_ids` and `attention_mask`.
    """
    import onnx  # noqa: PLC0415 - belongs to the extra `encoders`
    import onnxruntime  # noqa: PLC0415 - as in `TextEncoder`

    weights = {one.name: one for one in model.graph.initializer}
    names = sorted({node.input[0] for node in model.graph.node if is_product(node, weights)})
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    known = {one.name for one in shown.graph.output}
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    session = onnxruntime.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    found: dict[str, list[_Sums]] = {name: [] for name in names}
    for sample in samples:
        ids = np.array([sample], np.int64)
        values = session.run(names, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        for name, value in zip(names, values, strict=True):
            rows = value.reshape(-1, value.shape[-1]).astype(np.float64)
            peaks = np.square(np.abs(rows).max(axis=1)).sum()
            found[name].append(
                (rows.min(axis=0), rows.max(axis=0), np.square(rows).sum(axis=0), peaks, len(rows))
            )
    return {name: _together(parts) for name, parts in found.items() if parts}


def _together(parts: Sequence[_Sums]) -> ActivationRange:
    lowest, highest, squares, peaks, counts = zip(*parts, strict=True)
    count = sum(counts)
    return ActivationRange(
        np.min(lowest, axis=0), np.max(highest, axis=0), np.sum(squares, axis=0) / count, sum(peaks) / count
    )
