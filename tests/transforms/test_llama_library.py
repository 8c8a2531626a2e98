"""Loading llama.cpp."""

from __future__ import annotations

from typing import Any

import pytest

from transforms.llama_library import _load_kernels, build_features


class Function:
    """A C function."""

    def __init__(self, result: int = 0) -> None:
        """It returns always the same."""
        self.result, self.calls = result, list[tuple[Any, ...]]()

    def __call__(self, *arguments: Any) -> int:
        """Remember the call."""
        self.calls.append(arguments)
        return self.result


class Library:
    """A build of llama.cpp that comes with so many backends."""

    _name = "/opt/llama_cpp/lib/libllama.so"

    def __init__(self, backends: int) -> None:
        """Nothing was asked of it yet."""
        self.ggml_backend_reg_count = Function(backends)
        self.ggml_backend_load_all_from_path = Function()


class Bindings:
    """The bindings to such a build."""

    def __init__(self, backends: int) -> None:
        """See `Library`."""
        self._lib = Library(backends)
        self.llama_log_set = Function()
        self.llama_log_callback = Function()


@pytest.mark.parametrize(
    ("backends", "calls"),
    [
        pytest.param(1, [], id="built for one processor"),
        pytest.param(0, [(b"/opt/llama_cpp/lib",)], id="kernels in files of their own"),
    ],
)
def test_kernels_are_loaded_from_where_the_library_is(backends: int, calls: list[tuple[Any, ...]]) -> None:
    """Only where the build has none in itself."""
    bindings = Bindings(backends)

    _load_kernels(bindings)

    assert bindings._lib.ggml_backend_load_all_from_path.calls == calls


def test_the_build_tells_what_it_uses() -> None:
    """In one line, without what is not there."""
    assert build_features().startswith("CPU : ")
    assert "= " not in build_features()
