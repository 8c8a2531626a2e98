"""What ships tells nothing of the machine that it was exported on."""

from __future__ import annotations

import re

import pytest

from router.assets import asset_path
from transforms.strip_onnx import strip_traces
from transforms.text_encoder import ENCODER


def test_the_shipped_encoder_names_no_file_of_the_machine_it_was_made_on() -> None:
    """PyTorch's exporter writes paths of source files into every node."""
    graph = (asset_path(ENCODER) / "model.onnx").read_bytes()

    assert not re.search(rb"[\w-]\.py\b", graph)


def test_notes_go_and_what_is_computed_stays() -> None:
    """Of nodes, functions and graphs inside of nodes, too."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    node = helper.make_node("Relu", ["x"], ["y"], doc_string="somewhere.py:3")
    node.metadata_props.add(key="stack_trace", value="somewhere.py:3")
    model = helper.make_model(helper.make_graph([node], "g", [value], [result]), doc_string="somewhere.py")

    strip_traces(model)

    assert b".py" not in model.SerializeToString()
    assert [one.op_type for one in model.graph.node] == ["Relu"]
