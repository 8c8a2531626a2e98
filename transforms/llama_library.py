"""Loading llama.cpp, its log, and the memory shared with it; only `transforms.llama_adapter` uses this."""

from __future__ import annotations

import ctypes
import functools
import os
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

_ERROR_LEVEL = 4
"""GGML_LOG_LEVEL_ERROR"""
_ONE_AT_A_TIME = threading.Lock()


@functools.cache
def library() -> Any:  # noqa: ANN401 - the bindings are untyped
    """The low-level bindings, loaded and ready."""
    # Busy-waiting OpenMP threads starve each other as soon as another process wants a core: one sixteenth of
    # the speed was measured. The variable must be set before the library is loaded; a user's own value wins.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from llama_cpp import llama_cpp  # noqa: PLC0415 - loading it takes 100 ms and only workers need it

    llama_cpp.llama_backend_init()
    _load_kernels(llama_cpp)
    return llama_cpp


def _load_kernels(bindings: Any) -> None:  # noqa: ANN401 - the bindings are untyped
    """Load the best kernels for this processor, where the build has some for each (GGML_CPU_ALL_VARIANTS)."""
    ggml = bindings._lib  # noqa: SLF001 - the bindings leave these functions out
    ggml.ggml_backend_reg_count.restype = ctypes.c_size_t
    if ggml.ggml_backend_reg_count() > 0:
        return
    ggml.ggml_backend_load_all_from_path.argtypes = [ctypes.c_char_p]
    silent = bindings.llama_log_callback(lambda *_: None)
    bindings.llama_log_set(silent, None)
    ggml.ggml_backend_load_all_from_path(os.fsencode(os.path.dirname(ggml._name)))  # noqa: PTH120, SLF001
    bindings.llama_log_set(bindings.llama_log_callback(), None)


def build_features() -> str:
    """What this build of llama.cpp uses of the processor, in its own words."""
    said: bytes = library().llama_print_system_info()
    return " ".join(said.decode("utf-8", "replace").replace("|", " ").replace(" = 1", "").split())


class LogTail:
    """Receives llama.cpp's log: keeps the last complaints for error messages and prints nothing."""

    def __init__(self) -> None:
        """Replace the receiver that was there."""
        self._lines: deque[str] = deque(maxlen=3)
        # ctypes frees a callback nobody holds; llama.cpp would then call into freed memory.
        self._callback = library().llama_log_callback(self._receive)
        library().llama_log_set(self._callback, ctypes.c_void_p(0))

    def _receive(self, level: int, text: bytes, _data: object) -> None:
        if level == _ERROR_LEVEL:
            self._lines.append(" ".join(text.decode("utf-8", "replace").split()))

    def last(self) -> str:
        """The complaints since the last call, which are forgotten then."""
        lines = "; ".join(self._lines)
        self._lines.clear()
        return lines


def log_tail() -> LogTail:
    """The receiver of llama.cpp's log, which is one for all models and must outlive each of them."""
    with _ONE_AT_A_TIME:
        return _log_tail()


@functools.cache
def _log_tail() -> LogTail:
    return LogTail()


def freed_with(owner: object, free: Callable[[Any], None], pointer: object) -> weakref.finalize[..., Any]:
    """A callable that frees C memory once: when called, or when `owner` is collected."""
    finalizer = weakref.finalize(owner, free, pointer)
    # At the end of the process another thread may still be evaluating; the system takes the memory anyway.
    finalizer.atexit = False
    return finalizer


class Batch:
    """llama.cpp's batch on arrays of our own, which can be filled without a loop over tokens."""

    def __init__(self, tokens: int, sequences: int) -> None:
        """Make room for that many tokens, each in up to that many sequences."""
        self.tokens: npt.NDArray[np.int32] = np.zeros(tokens, np.int32)
        self.positions: npt.NDArray[np.int32] = np.zeros(tokens, np.int32)
        self.counts: npt.NDArray[np.int32] = np.ones(tokens, np.int32)
        self.outputs: npt.NDArray[np.int8] = np.zeros(tokens, np.int8)
        self.members: npt.NDArray[np.int32] = np.zeros((tokens, sequences), np.int32)
        integers = ctypes.POINTER(ctypes.c_int32)
        self._rows = (integers * tokens)(*(row.ctypes.data_as(integers) for row in self.members))
        self.c = library().llama_batch(
            token=self.tokens.ctypes.data_as(integers),
            pos=self.positions.ctypes.data_as(integers),
            n_seq_id=self.counts.ctypes.data_as(integers),
            seq_id=self._rows,
            logits=self.outputs.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )
