"""Local models that answer at once from what the text says, in place of a model of a few hundred megabytes.

A text steers its own answer: `"great =positive:0.9"` gives the label `positive` a probability of .9
and shares the rest among the other labels; in a multi_label task each `=LABEL:P` sets that label's own
probability and the others get .1. `!engine` makes the engine fail on the record. A model's own part of the
steering stands after its name, `small=positive:0.6 large=negative:0.9`, and is heeded by that model only.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.generated import Generated
from router.records import LabelScores, Usage
from transforms.llama_context import EngineError
from transforms.slm_handler import LlamaCppModelHandler

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping, Sequence

    from router.job import Task
    from router.retrieval import Found
    from transforms.journal import JournalOf
    from transforms.local_scorer import LocalModel

INPUT_TOKENS = 10
CACHED_TOKENS = 6
SECONDS = 0.5
"""What every record takes, so that at 3.6 dollars an hour it costs 0.0005 dollars."""

FEATURES = np.zeros(4, dtype=np.float32)
"""They say nothing."""

_WRITTEN = re.compile(r"([\w+]*)=\[([^\]]*)\]:([0-9.]+)")
_STEERED = re.compile(r"([\w+]*)=(\w+):([0-9.]+)")


@dataclass
class FakeScorer:
    """Stands in for `LocalScorer`."""

    name: str
    tasks: Mapping[str, Task]
    asked: int = 0

    def score(self, task: str, text: str) -> tuple[LabelScores, Usage]:
        """Probabilities as the text says."""
        self.asked += 1
        if "!engine" in text:
            raise EngineError("llama.cpp failed on this batch")
        wanted = self.tasks[task]
        steered = {
            label: float(value)
            for model, label, value in _STEERED.findall(text)
            if model in ("", self.name) and label in wanted.label_names
        }
        usage = Usage(INPUT_TOKENS, CACHED_TOKENS, 0, SECONDS)
        return LabelScores(_probabilities(wanted, steered), FEATURES), usage

    def score_with(self, task: str, text: str, found: Found) -> tuple[LabelScores, Usage, Found]:
        """What `score` gives; everything that was found has room."""
        return *self.score(task, text), found

    def generate(self, task: str, text: str, found: Found) -> tuple[Generated, Usage, Found]:
        """The answer that the text gives this model as `NAME=[answer]:PROBABILITY`; else `nothing`, at .1."""
        self.asked += 1
        if "!engine" in text:
            raise EngineError("llama.cpp failed on this batch")
        steered = [found for found in _WRITTEN.findall(text) if found[0] in ("", self.name)]
        _, answer, sure = steered[0] if steered else ("", "nothing", "0.1")
        log = math.log(float(sure))
        cut = answer.endswith("…")
        said = Generated(answer, "en", len(answer.split()), log, 2.0 * log, None, cut)
        return said, Usage(INPUT_TOKENS, CACHED_TOKENS, said.tokens, SECONDS), found

    def score_many(self, task: str, texts: Sequence[str]) -> list[tuple[LabelScores, Usage] | EngineError]:
        """What `score` gives for each."""

        def one(text: str) -> tuple[LabelScores, Usage] | EngineError:
            try:
                return self.score(task, text)
            except EngineError as error:
                return error

        return [one(text) for text in texts]


def _probabilities(task: Task, steered: Mapping[str, float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    names = task.label_names
    if task.kind == "multi_label":
        return np.array([steered.get(name, 0.1) for name in names], dtype=np.float64)
    rest = (1.0 - sum(steered.values())) / max(1, len(names) - len(steered))
    return np.array([steered.get(name, rest) for name in names], dtype=np.float64)


class BlindEncoder:
    """Stands in for `TextEncoder`, which would read the steering."""

    def encode(self, _: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """The same for every text."""
        return FEATURES


class FakeHandler(LlamaCppModelHandler):
    """The project's own handler with a fake scorer: all but the engine is real."""

    def load_scorer(self) -> FakeScorer:  # type: ignore[override]  # it stands in for the real one
        return FakeScorer(self._local.name, self._tasks)

    def load_encoder(self) -> BlindEncoder:  # type: ignore[override]  # it stands in for the real one
        return BlindEncoder()


def fake_handler(
    local: LocalModel, tasks: Mapping[str, Task], journal: JournalOf | None = None
) -> FakeHandler:
    """Take the place of `LlamaCppModelHandler` in `pipelines.prepare`."""
    return FakeHandler(local, tasks, journal)


def gguf_file(folder: pathlib.Path, name: str = "model.gguf") -> pathlib.Path:
    """A file that begins as a model does, which is all that is looked at before a model is loaded."""
    path = folder / name
    # Files of different names are different models, with journals of their own.
    path.write_bytes(b"GGUF" + name.encode() + bytes(64))
    return path
