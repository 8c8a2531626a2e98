"""Weights of an ONNX encoder as 8-bit integers, and the activations that they are multiplied with.

ONNX Runtime's own dynamic quantisation rounds a whole batch with one scale, so that a text's vector depends
on the texts it is read with. Here it never does. An activation whose ranges are known (`ActivationRange`) is
rounded with scales that are fixed for each channel, part of which moves into the weights (SmoothQuant, Xiao
et al., 2023, arXiv 2211.10438, equation 4). Where that would be coarser, and where nothing was measured, each
row (one token of one text) has its own scale (LLM.int8() without its outliers, Dettmers et al., 2022, arXiv
2208.07339, section 2.1). Needs the package `onnx`, which only this and the export use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from transforms.fixed_scales import fixed_scales, row_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from transforms.activation_ranges import ActivationRange
    from transforms.fixed_scales import FixedScales

_LARGEST = 127.0
_ZERO_POINT = 128
_GELU_LARGEST, _GELU_ZERO_POINT, _GELU_LEAST = 230.0, 25, 1.6
"""Gelu is never below -.17: with rows of 1.6 at least, 25 of 255 steps are enough for what is negative."""
_LEAST = 1e-12
_LEAST_TABLE_ROWS = 1_000
"""A table of so many rows that is looked up is the vocabulary's."""
_ALLOWED = 2.0
"""Fixed scales take less time; they may cost so much more of the expected error."""
_RUNTIME = "com.microsoft"
_FLOAT = 1
"""Of `onnx.TensorProto`."""


def quantize_rows(model: Any, ranges: Mapping[str, ActivationRange] | None = None) -> None:  # noqa: ANN401 - onnx has partial types, and is not always there
    """Replace the weights of a model (`onnx.ModelProto`) in place; what it computes stays nearly the same.

    Every product with a constant matrix becomes one of 8-bit integers, and every large table of vectors is
    kept as such. A table's rows and a matrix's columns have a scale each. `ranges` holds what
    `measure_ranges` found, by the activation's name.
    """
    from onnx import helper, numpy_helper  # noqa: PLC0415 - belongs to the extra `encoders`

    graph = model.graph
    rewrite = _Rewrite(graph, helper, numpy_helper, ranges or {})
    nodes: list[Any] = []
    for node in graph.node:
        if node.output[0] in rewrite.done:
            continue
        if is_product(node, rewrite.weights):
            nodes += rewrite.product(node)
        elif node.op_type == "Gather" and _is_table(rewrite.weights.get(node.input[0])):
            nodes += rewrite.lookup(node, rewrite.weights[node.input[0]])
        else:
            nodes.append(node)
    used = {name for node in nodes for name in node.input}
    kept = [one for one in graph.initializer if one.name in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    if all(one.domain != _RUNTIME for one in model.opset_import):
        model.opset_import.append(helper.make_opsetid(_RUNTIME, 1))


def is_product(node: Any, weights: Mapping[str, Any]) -> bool:  # noqa: ANN401 - see `quantize_rows`
    """Whether a node multiplies an activation by a constant matrix."""
    if node.op_type != "MatMul" or node.input[1] not in weights:
        return False
    return len(weights[node.input[1]].dims) == 2  # noqa: PLR2004 - a matrix


def _is_table(weight: Any) -> bool:  # noqa: ANN401 - see `quantize_rows`
    return weight is not None and weight.dims[0] >= _LEAST_TABLE_ROWS


@dataclass(frozen=True, slots=True)
class _Rounded:
    """An activation as integers."""

    integers: str
    scale: str
    """One number for all of it; where each row has its own as well, the scale of what 1 stands for."""
    zero: str
    row: str | None
    """Each row's largest value; None: the scale is the same for all rows."""
    channels: npt.NDArray[np.float32] | None = None
    """What each channel was divided by, to be made good in the weights."""


class _Rewrite:
    """Makes the nodes that stand for one product or lookup."""

    def __init__(self, graph: Any, helper: Any, arrays: Any, ranges: Mapping[str, ActivationRange]) -> None:  # noqa: ANN401 - modules
        self._graph = graph
        self._helper = helper
        self._arrays = arrays
        self._ranges = ranges
        self._rounded: dict[str, _Rounded] = {}
        self.weights = {one.name: one for one in graph.initializer}
        self.done: set[str] = set()
        """Outputs that a node made here gives already."""
        self._names: set[str] = set()
        self._from = {name: node for node in graph.node for name in node.output}
        self._readers: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def product(self, node: Any) -> Iterator[Any]:  # noqa: ANN401 - see `quantize_rows`
        """Integers times integers, scaled back by the activation's and the column's scale."""
        source = node.input[0]
        if source not in self._rounded:
            # Queries, keys and values look at the same activation.
            yield from self._round(source)
        rounded = self._rounded[source]
        values = self._arrays.to_array(self.weights[node.input[1]])
        if rounded.channels is not None:
            values = values * rounded.channels[:, None]
        integers, scales = _as_integers(values, axis=0)
        name, out = f"q8_{node.output[0]}", node.output[0]
        self._constant(f"{name}_w", integers)
        self._constant(f"{name}_s", scales[0])
        inputs = [rounded.integers, f"{name}_w", rounded.scale, f"{name}_s", rounded.zero]
        make = self._helper.make_node
        if rounded.row is None:
            bias = self._bias(node)
            if bias is not None:
                vector, out = bias
                self.done.add(out)
                inputs += ["", vector]
            yield make("MatMulIntegerToFloat", inputs, [out], domain=_RUNTIME)
            return
        yield make("MatMulIntegerToFloat", inputs, [f"{name}_c"], domain=_RUNTIME)
        yield make("Mul", [f"{name}_c", rounded.row], [out])

    def _bias(self, node: Any) -> tuple[str, str] | None:  # noqa: ANN401 - see `quantize_rows`
        """The vector that is added to a product, and the name of the sum."""
        readers = self._readers.get(node.output[0], [])
        if len(readers) != 1 or readers[0].op_type != "Add":
            return None
        [vector] = [name for name in readers[0].input if name != node.output[0]]
        if vector not in self.weights or len(self.weights[vector].dims) != 1:
            return None
        return vector, readers[0].output[0]

    def lookup(self, node: Any, weight: Any) -> Iterator[Any]:  # noqa: ANN401 - see `quantize_rows`
        """Rows of integers, each times its scale."""
        integers, scales = _as_integers(self._arrays.to_array(weight), axis=1)
        name, out = f"q8_{weight.name}", f"q8_{node.output[0]}"
        self._constant(f"{name}_w", integers)
        self._constant(f"{name}_s", scales)
        make, ids = self._helper.make_node, node.input[1]
        yield make("Gather", [f"{name}_w", ids], [f"{out}_i"])
        yield make("Cast", [f"{out}_i"], [f"{out}_f"], to=_FLOAT)
        yield make("Gather", [f"{name}_s", ids], [f"{out}_s"])
        yield make("Mul", [f"{out}_f", f"{out}_s"], [node.output[0]])

    def _round(self, source: str) -> Iterator[Any]:
        """With fixed scales where they lose no more than a scale for each row does."""
        matrix = np.concatenate(
            [
                self._arrays.to_array(self.weights[node.input[1]])
                for node in self._readers[source]
                if is_product(node, self.weights)
            ],
            axis=1,
        )
        found = self._ranges.get(source)
        if found is not None:
            fixed = fixed_scales(found, matrix)
            largest = _GELU_LARGEST if self._is_gelu(source) else _LARGEST
            if fixed.error <= _ALLOWED * row_error(found, matrix, largest):
                yield from self._round_channels(source, fixed)
                return
        yield from self._round_row(source)

    def _is_gelu(self, source: str) -> bool:
        node = self._from.get(source)
        return node is not None and node.op_type == "Gelu"

    def _round_channels(self, source: str, fixed: FixedScales) -> Iterator[Any]:
        to, make = f"q8_{source}", self._helper.make_node
        self._constant(f"{to}_c", (1.0 / fixed.channels).astype(np.float32))
        self._constant(f"{to}_p", np.float32(fixed.step))
        self._constant(f"{to}_z", np.uint8(fixed.zero))
        yield make("Mul", [source, f"{to}_c"], [f"{to}_x"])
        yield make("QuantizeLinear", [f"{to}_x", f"{to}_p", f"{to}_z"], [f"{to}_q"])
        self._rounded[source] = _Rounded(f"{to}_q", f"{to}_p", f"{to}_z", None, fixed.channels)

    def _round_row(self, source: str) -> Iterator[Any]:
        to, make = f"q8_{source}", self._helper.make_node
        gelu = self._is_gelu(source)
        kind = "gelu" if gelu else "any"
        largest, least = (_GELU_LARGEST, _GELU_LEAST) if gelu else (_LARGEST, _LEAST)
        self._constant(f"q8_{kind}_largest", np.float32(largest))
        self._constant(f"q8_{kind}_least", np.float32(least))
        self._constant(f"q8_{kind}_zero", np.uint8(_GELU_ZERO_POINT if gelu else _ZERO_POINT))
        self._constant(f"q8_{kind}_scale", np.float32(1.0 / largest))
        self._constant("q8_one", np.float32(1.0))
        self._constant("q8_axes", np.array([-1], np.int64))
        size = source
        if not gelu:
            size = f"{to}_a"
            yield make("Abs", [source], [size])
        yield make("ReduceMax", [size, "q8_axes"], [f"{to}_p"], keepdims=1)
        yield make("Max", [f"{to}_p", f"q8_{kind}_least"], [f"{to}_m"])
        yield make("Div", [f"q8_{kind}_largest", f"{to}_m"], [f"{to}_r"])
        yield make("Mul", [source, f"{to}_r"], [f"{to}_x"])
        yield make("QuantizeLinear", [f"{to}_x", "q8_one", f"q8_{kind}_zero"], [f"{to}_q"])
        self._rounded[source] = _Rounded(f"{to}_q", f"q8_{kind}_scale", f"q8_{kind}_zero", f"{to}_m")

    def _constant(self, name: str, value: npt.ArrayLike) -> None:
        if name not in self._names:
            self._names.add(name)
            self._graph.initializer.append(self._arrays.from_array(np.asarray(value), name))


def _as_integers(
    values: npt.NDArray[np.float32], *, axis: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """The nearest multiples of a scale that the rows (axis 1) or columns (axis 0) have each."""
    scales = np.maximum(np.abs(values).max(axis=axis, keepdims=True) / _LARGEST, _LEAST).astype(np.float32)
    return np.round(values / scales).astype(np.int8), scales
