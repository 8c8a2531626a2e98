"""A local model that answers in no time, so that a benchmark sees what everything around it costs."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from router.records import LabelScores, Usage
from transforms.slm_handler import LlamaCppModelHandler

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping

    from router.job import Task

_FEATURES = np.zeros(1, dtype=np.float32)
_TOKENS = Usage(input_tokens=60, cached_tokens=30)
_MOST = 1 << 32


class InstantScorer:
    """Stands in for `LocalScorer`: the first label of a task is as likely as a digest of the text says."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        """Load nothing."""
        self._tasks = tasks

    def score(self, task: str, text: str) -> tuple[LabelScores, Usage]:
        """Probabilities that are the same for the same text; they take no seconds."""
        first = zlib.crc32(text.encode("utf-8", "replace")) / _MOST
        others = len(self._tasks[task].labels) - 1
        shares = np.array([first, *[(1.0 - first) / others] * others], dtype=np.float64)
        return LabelScores(shares, _FEATURES), _TOKENS


class InstantHandler(LlamaCppModelHandler):
    """The project's own handler, journal and all, around a model that answers in no time."""

    def load_scorer(self) -> InstantScorer:  # type: ignore[override]  # it stands in for the real one
        """Load nothing."""
        return InstantScorer(self._tasks)


def no_model(folder: pathlib.Path, name: str) -> pathlib.Path:
    """A file that begins as a model does: all that is looked at before a model is loaded."""
    path = folder / f"{name}.gguf"
    # Another name is another model, with answers of its own in the journal.
    path.write_bytes(b"GGUF" + name.encode() + bytes(64))
    return path
