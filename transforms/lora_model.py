"""A loaded model with a LoRA adapter on it: the same weights in memory, and contexts of its own.

llama.cpp adds an adapter's matrices in the contexts that ask for it, so models with and without adapters can
be asked by turns, and nothing is loaded or computed anew.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

from transforms.llama_adapter import LlamaModel, ModelFileError
from transforms.llama_context import ContextConfig, LlamaContext
from transforms.llama_library import library, log_tail

if TYPE_CHECKING:
    import pathlib


class LoraModel(LlamaModel):
    """`LlamaModel` with an adapter in all its contexts."""

    def __init__(self, base: LlamaModel, path: str | os.PathLike[str], scale: float) -> None:
        """Load the adapter. Raises `ModelFileError` where llama.cpp cannot put it on these weights."""
        # Of the base, all but what a trial evaluation has found: an adapter's products are rounded too.
        vars(self).update({name: value for name, value in vars(base).items() if name != "rows_together"})
        # The weights must outlive the adapter, which llama.cpp frees with them.
        self._base = base
        self._scale = scale
        self._lora = _loaded(base, path)

    def _new_context(self, config: ContextConfig) -> LlamaContext:
        context = super()._new_context(config)
        context.use_adapter(self._lora, self._scale)
        return context

    def close(self) -> None:
        """Leave the weights to the base: others have them too."""


def _loaded(base: LlamaModel, path: str | os.PathLike[str]) -> Any:  # noqa: ANN401 - a C pointer
    """An adapter in memory, where it stays as long as the weights do: so it is loaded once."""
    now = os.stat(path)  # noqa: PTH116 - it goes to C as it is
    key = (os.fspath(path), now.st_ino, now.st_size, now.st_mtime_ns)
    with _LOADING:
        if key not in base.adapters:
            log_tail().last()
            found = library().llama_adapter_lora_init(base.weights, os.fsencode(path))
            if not found:
                raise ModelFileError(
                    f"{path}: llama.cpp cannot put this adapter on {base.path} "
                    f"({log_tail().last() or 'it gives no reason'}); use one that was made for this model"
                )
            base.adapters[key] = found
        return base.adapters[key]


_LOADING = threading.Lock()
_LOADED: weakref.WeakValueDictionary[tuple[object, ...], LlamaModel] = weakref.WeakValueDictionary()


def shared_model(path: pathlib.Path) -> LlamaModel:
    """The model of a file, loaded once for all in this process that have it at the same time.

    Raises `ModelFileError` where it cannot be loaded.
    """
    now = path.stat()
    key = (str(path), now.st_ino, now.st_size, now.st_mtime_ns)
    with _LOADING:
        model = _LOADED.get(key)
        if model is None:
            model = _LOADED[key] = LlamaModel(path)
        return model
