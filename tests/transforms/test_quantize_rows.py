"""Weights as 8-bit integers, activations rounded row by row: on a small model made by hand."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from transforms.activation_ranges import measure_ranges
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
    products = kinds.count("MatMulIntegerToFloat")
    assert (kinds.count("QuantizeLinear"), products, kinds.count("MatMul")) == (1, 2, 0)


def outlying_model(*, gain_of_one: float = 30.0) -> onnx.ModelProto:
    """One channel is far larger than the others and counts little, as in encoders; its product has a bias."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(_WORDS, _WIDTH)).astype(np.float32)
    gain = np.where(np.arange(_WIDTH) == 3, gain_of_one, 1.0).astype(np.float32)
    matrix = (rng.normal(size=(_WIDTH, _OUT)) / gain[:, None]).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["even"]),
        helper.make_node("Mul", ["even", "gain"], ["vectors"]),
        helper.make_node("MatMul", ["vectors", "matrix"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["biased"]),
        helper.make_node("Gelu", ["biased"], ["sum"]),
        helper.make_node("Shape", ["attention_mask"], ["shape"]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    arrays = {
        "table": table,
        "gain": gain,
        "matrix": matrix,
        "bias": rng.normal(size=_OUT).astype(np.float32),
    }
    outputs = [
        helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["texts", "tokens", _OUT]),
        helper.make_tensor_value_info("shape", TensorProto.INT64, [2]),
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in arrays.items()]
    graph = helper.make_graph(nodes, "outlying", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def compute(model: onnx.ModelProto, ids: list[list[int]]) -> np.ndarray:
    """What the model with a mask computes."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    tokens = np.array(ids, np.int64)
    return np.asarray(session.run(["sum"], {"input_ids": tokens, "attention_mask": tokens})[0])


def test_measured_ranges_make_outlying_channels_cheap() -> None:
    """Scales that are fixed for each channel are nearer to the plain model than one for each row."""
    plain, by_row, fixed = outlying_model(), outlying_model(), outlying_model()
    ranges = measure_ranges(plain, [[at, at + 1, at + 2] for at in range(0, _WORDS - 2, 3)])
    quantize_rows(by_row)
    quantize_rows(fixed, ranges)
    ids = [[1, 2, 3], [700, 800, 900]]
    wanted = compute(plain, ids)

    assert set(ranges) == {"vectors"}
    off = [float(np.abs(compute(model, ids) - wanted).mean()) for model in (by_row, fixed)]
    assert off[1] < 0.7 * off[0]
    assert [node.op_type for node in fixed.graph.node if node.op_type in {"ReduceMax", "Add"}] == []
    onnx.checker.check_model(fixed)


def test_fixed_scales_know_of_no_other_text() -> None:
    """To the last bit, as with rows; a value beyond what was measured is cut off, not wrapped."""
    model = outlying_model()
    quantize_rows(model, measure_ranges(outlying_model(), [[5, 6, 7]]))

    together = compute(model, [[1, 2, 3], [700, 800, 900]])
    assert compute(model, [[700, 800, 900]])[0].tolist() == together[1].tolist()
    assert np.isfinite(together).all()


def test_what_gelu_gives_is_rounded_by_row_without_losing_half_of_the_range() -> None:
    """It is never far below zero."""
    plain = outlying_model(gain_of_one=1.0)
    matrix = np.random.default_rng(1).normal(size=(_OUT, _OUT)).astype(np.float32)
    plain.graph.initializer.append(numpy_helper.from_array(matrix, "last"))
    plain.graph.node[4].output[0] = "gelu"
    plain.graph.node.append(helper.make_node("MatMul", ["gelu", "last"], ["sum"]))
    rounded = onnx.ModelProto()
    rounded.CopyFrom(plain)
    quantize_rows(rounded)
    ids = [[1, 2, 3], [700, 800, 900]]
    wanted = compute(plain, ids)

    assert np.abs(compute(rounded, ids) - wanted).max() < 0.03 * np.abs(wanted).max()
    assert [node.op_type for node in rounded.graph.node].count("Abs") == 1
