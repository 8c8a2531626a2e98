"""A model's weights in another format: larger, but with kernels that are faster on a CPU."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from transforms.llama_library import library, log_tail

if TYPE_CHECKING:
    import pathlib


def requantise(source: pathlib.Path, target: pathlib.Path, kind: Literal["q8_0", "bf16"]) -> None:
    """Write the model with its matrices as `kind`; takes some seconds for 100 million weights.

    Raises `ValueError` where llama.cpp cannot read, convert or write it.
    """
    c = library()
    log_tail().last()
    code = c.llama_model_quantize(os.fsencode(source), os.fsencode(target), _parameters(kind))
    if code != 0:
        raise ValueError(f"llama.cpp cannot convert it to {kind}: {log_tail().last() or f'code {code}'}")


def _parameters(kind: Literal["q8_0", "bf16"]) -> Any:  # noqa: ANN401 - the bindings are untyped
    c = library()
    parameters = c.llama_model_quantize_default_params()
    parameters.ftype = {"q8_0": c.LLAMA_FTYPE_MOSTLY_Q8_0, "bf16": c.LLAMA_FTYPE_MOSTLY_BF16}[kind]
    parameters.allow_requantize = True
    return parameters
