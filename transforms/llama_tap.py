"""Reading what flows between the steps of an evaluation, and ending it early.

llama.cpp lets a program watch its graph (`cb_eval` in `llama.h`): the function is asked of each step whether
its result is wanted, then shown the result, and says whether to go on.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from transforms.llama_library import library

if TYPE_CHECKING:
    import numpy.typing as npt

EMBEDDING = b"embd"
"""Name of the step that looks up the tokens' embeddings."""
STATE = b"result_norm"
"""Name of the step before the output head: its result has a row for each token whose output is wanted."""
_SHIFT = 16
"""By how many steps a graph may be shorter than the last one before names are looked at too late; the
evaluation then goes to its end, which costs time only."""


class Tap:
    """Keeps the result of one step of an evaluation, and ends the evaluation there or lets it go on."""

    def __init__(self) -> None:
        """Watch nothing yet. Raises `AttributeError` where the library does not show its steps."""
        self._ggml = _accessors()
        self._name: bytes | None = None
        self._goes_on = False
        self._steps = 0
        self._from = 0
        self._places: dict[bytes, int] = {}
        self._found: npt.NDArray[np.float32] | None = None
        # ctypes frees a callback nobody holds; llama.cpp would then call into freed memory.
        self.callback = _callback_type()(self._look)

    def watch(self, name: bytes, *, goes_on: bool = False) -> None:
        """Keep the result of the next evaluation's step of this name; `goes_on`: do not end there."""
        self._name, self._goes_on = name, goes_on
        self._steps, self._found = 0, None
        # A graph has a thousand steps: asking each for its name would take a twentieth of a record's time.
        self._from = self._places.get(name, 0) - _SHIFT

    def take(self) -> npt.NDArray[np.float32] | None:
        """The result, flat; None where the step was not met. The tap watches nothing afterwards."""
        self._name = None
        return self._found

    def _look(self, tensor: int, ask: bool, _data: object) -> bool:  # noqa: FBT001 - C
        if self._name is None:
            return False
        if not ask:
            size = self._ggml.ggml_nelements(tensor)
            numbers = ctypes.cast(self._ggml.ggml_get_data(tensor), ctypes.POINTER(ctypes.c_float))
            self._found = np.ctypeslib.as_array(numbers, (size,)).copy() if size else None
            self._name = None
            return self._goes_on
        self._steps += 1
        if self._steps < self._from or self._ggml.ggml_get_name(tensor) != self._name:
            return False
        self._places[self._name] = self._steps
        return True


def _callback_type() -> Any:  # noqa: ANN401 - the bindings are untyped
    return dict(library().llama_context_params._fields_)["cb_eval"]


def _accessors() -> Any:  # noqa: ANN401 - the bindings are untyped
    ggml = library()._lib  # noqa: SLF001 - the bindings leave these functions out
    ggml.ggml_get_name.restype, ggml.ggml_get_name.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
    ggml.ggml_get_data.restype, ggml.ggml_get_data.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    ggml.ggml_nelements.restype, ggml.ggml_nelements.argtypes = ctypes.c_int64, [ctypes.c_void_p]
    return ggml
