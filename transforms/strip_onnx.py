"""Taking out of an ONNX graph what its exporter noted for debugging: names of files and lines, no weights."""

from __future__ import annotations

from typing import Any


def strip_traces(model: Any) -> None:  # noqa: ANN401 - onnx's own type, which only the extra has
    """Remove stack traces and other notes of a model's parts, in place; what it computes stays.

    PyTorch's exporter writes into each node which line of which file on this machine it came from.
    """
    del model.metadata_props[:]
    model.doc_string = ""
    for function in model.functions:
        _strip(function)
        _strip_nodes(function.node)
    _strip_graph(model.graph)


def _strip_graph(graph: Any) -> None:  # noqa: ANN401
    _strip(graph)
    for part in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        _strip(part)
    _strip_nodes(graph.node)


def _strip_nodes(nodes: Any) -> None:  # noqa: ANN401
    for node in nodes:
        _strip(node)
        for attribute in node.attribute:
            for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                _strip_graph(graph)


def _strip(part: Any) -> None:  # noqa: ANN401
    del part.metadata_props[:]
    part.doc_string = ""
