"""Weights of an ONNX encoder as 8-bit integers, activations rounded row by row.

ONNX Runtime's own dynamic quantisation rounds a whole batch with one scale, so that a text's vector depends
on the texts it is read with. Here each row of each activation (one token of one text) has its own scale: a
text's vector is its own, and nearer to the unquantised one (scheme: LLM.int8() without its outliers, Dettmers
et al., 2022, arXiv 2208.07339, section 2.1). Needs the package `onnx`, which only this and the export use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

_LARGEST = 127.0
_ZERO_POINT = 128
_LEAST_TABLE_ROWS = 1_000
"""A table of so many rows that is looked up is the vocabulary's."""


def quantize_rows(model: Any) -> None:  # noqa: ANN401 - onnx has partial types, and is not always there
    """Replace the weights of a model (`onnx.ModelProto`) in place; what it computes stays nearly the same.

    Every product with a constant matrix becomes one of 8-bit integers, and every large table of vectors is
    kept as such. A table's rows and a matrix's columns have a scale each.
    """
    from onnx import helper, numpy_helper  # noqa: PLC0415 - belongs to the extra `encoders`

    graph = model.graph
    weights = {one.name: one for one in graph.initializer}
    rewrite = _Rewrite(graph, helper, numpy_helper)
    nodes: list[Any] = []
    for node in graph.node:
        place = {"MatMul": 1, "Gather": 0}.get(node.op_type)
        weight = None if place is None else weights.get(node.input[place])
        if weight is not None and node.op_type == "MatMul" and len(weight.dims) == 2:  # noqa: PLR2004 - a matrix
            nodes += rewrite.product(node, weight)
        elif weight is not None and node.op_type == "Gather" and weight.dims[0] >= _LEAST_TABLE_ROWS:
            nodes += rewrite.lookup(node, weight)
        else:
            nodes.append(node)
    used = {name for node in nodes for name in node.input}
    kept = [one for one in graph.initializer if one.name in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)


class _Rewrite:
    """Makes the nodes that stand for one product or lookup."""

    def __init__(self, graph: Any, helper: Any, numpy_helper: Any) -> None:  # noqa: ANN401 - modules
        self._graph = graph
        self._helper = helper
        self._arrays = numpy_helper
        self._rounded: dict[str, str] = {}
        self._constant("q8_largest", np.float32(_LARGEST))
        self._constant("q8_least", np.float32(1e-12))
        self._constant("q8_offset", np.float32(_ZERO_POINT))
        self._constant("q8_zero", np.uint8(_ZERO_POINT))
        self._constant("q8_axes", np.array([-1], np.int64))

    def product(self, node: Any, weight: Any) -> Iterator[Any]:  # noqa: ANN401 - see `quantize_rows`
        """Integers times integers, scaled back by the row's and the column's scale."""
        values = self._arrays.to_array(weight)
        integers, scales = _as_integers(values, axis=0)
        name = f"q8_{weight.name}"
        self._constant(f"{name}_w", integers)
        self._constant(f"{name}_s", scales[0] / np.float32(_LARGEST))
        source = node.input[0]
        if source not in self._rounded:
            # Queries, keys and values look at the same activation.
            self._rounded[source] = f"q8_{source}"
            yield from self._round(source, f"q8_{source}")
        rounded, out = self._rounded[source], f"q8_{node.output[0]}"
        make = self._helper.make_node
        yield make("MatMulInteger", [f"{rounded}_q", f"{name}_w", "q8_zero"], [f"{out}_i"])
        yield make("Cast", [f"{out}_i"], [f"{out}_f"], to=_FLOAT)
        yield make("Mul", [f"{out}_f", f"{name}_s"], [f"{out}_c"])
        yield make("Mul", [f"{out}_c", f"{rounded}_m"], [node.output[0]])

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

    def _round(self, source: str, to: str) -> Iterator[Any]:
        make = self._helper.make_node
        yield make("Abs", [source], [f"{to}_a"])
        yield make("ReduceMax", [f"{to}_a", "q8_axes"], [f"{to}_p"], keepdims=1)
        yield make("Max", [f"{to}_p", "q8_least"], [f"{to}_m"])
        yield make("Div", ["q8_largest", f"{to}_m"], [f"{to}_r"])
        yield make("Mul", [source, f"{to}_r"], [f"{to}_x"])
        yield make("Round", [f"{to}_x"], [f"{to}_n"])
        yield make("Add", [f"{to}_n", "q8_offset"], [f"{to}_o"])
        yield make("Cast", [f"{to}_o"], [f"{to}_q"], to=_UINT8)

    def _constant(self, name: str, value: npt.ArrayLike) -> None:
        if all(one.name != name for one in self._graph.initializer):
            self._graph.initializer.append(self._arrays.from_array(np.asarray(value), name))


_FLOAT, _UINT8 = 1, 2
"""Of `onnx.TensorProto`."""


def _as_integers(
    values: npt.NDArray[np.float32], *, axis: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """The nearest multiples of a scale that the rows (axis 1) or columns (axis 0) have each."""
    scales = np.maximum(np.abs(values).max(axis=axis, keepdims=True) / _LARGEST, 1e-12).astype(np.float32)
    return np.round(values / scales).astype(np.int8), scales
