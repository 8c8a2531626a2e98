"""Weights as 8-bit integers, activations rounded row by row: on a small model made by hand."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from transforms.quantize_rows import quantize_rows

_WORDS, _WIDTH, _OUT = 1_200, 16, 8


def small_model() -> onnx.ModelProto:
    """Looks up vectors, and multiplies them by two matrices."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(_WORDS, _WIDTH)).astype(np.float32)
    matrices = [rng.normal(size=(_WIDTH, _OUT)).astype(np.float32) for _ in range(2)]
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["vectors"]),
        helper.make_node("MatMul", ["vectors", "one"], ["first"]),
        helper.make_node("MatMul", ["vectors", "two"], ["second"]),
        helper.make_node("Add", ["first", "second"], ["sum"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["texts", "tokens"])],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["texts", "tokens", _OUT])],
        [
            numpy_helper.from_array(table, "table"),
            *(numpy_helper.from_array(m, name) for m, name in zip(matrices, ("one", "two"), strict=True)),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model: onnx.ModelProto, ids: list[list[int]]) -> np.ndarray:
    """What it computes."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    [found] = session.run(None, {"ids": np.array(ids, np.int64)})
    return np.asarray(found)


def test_what_is_computed_stays_nearly_the_same() -> None:
    """Within a hundredth of its size, at a quarter of the size of the file."""
    plain, rounded = small_model(), small_model()
    quantize_rows(rounded)
    ids = [[1, 2, 3], [700, 800, 900]]
    before, after = run(plain, ids), run(rounded, ids)

    assert np.abs(after - before).max() < 0.03 * np.abs(before).max()
    assert rounded.ByteSize() < 0.35 * plain.ByteSize()
    onnx.checker.check_model(rounded)


def test_a_row_does_not_depend_on_what_is_computed_with_it() -> None:
    """To the last bit: one scale a row."""
    rounded = small_model()
    quantize_rows(rounded)

    together = run(rounded, [[1, 2, 3], [700, 800, 900]])
    assert run(rounded, [[700, 800, 900]])[0].tolist() == together[1].tolist()


def test_an_activation_is_rounded_once_for_all_its_products() -> None:
    """Queries, keys and values are three products of one."""
    rounded = small_model()
    quantize_rows(rounded)

    kinds = [node.op_type for node in rounded.graph.node]
    assert (kinds.count("Round"), kinds.count("MatMulInteger"), kinds.count("MatMul")) == (1, 2, 0)
