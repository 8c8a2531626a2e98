"""A local model in a process of its own, asked as in a run; it tells what memory it takes."""

from __future__ import annotations

import dataclasses
import pathlib
import resource
import sys
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from router.records import Answer, Failure, Usage
from transforms.llama_context import EngineError
from transforms.local_scorer import LocalModel, LocalScorer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from router.calibration import ChosenPrompt
    from router.job import LlamaCppModel, Task

_KIB = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a process holds in memory, the mapped model file included."""

    resident: int
    peak: int

    def beyond(self, before: Memory) -> Memory:
        """What came on top of what was resident before."""
        return Memory(max(0, self.resident - before.resident), max(0, self.peak - before.resident))


@dataclass(frozen=True, slots=True)
class Scored:
    """Answers to some texts, in their order, and the memory that the model has taken so far."""

    answers: tuple[Answer, ...]
    memory: Memory


@dataclass(frozen=True, slots=True)
class BenchModel:
    """A local model as it is to be asked."""

    name: str
    model: LlamaCppModel
    threads: int
    prompts: Mapping[str, ChosenPrompt]
    """How it is asked about the tasks whose examples come from a file."""


def open_bench(wanted: BenchModel, task: Task) -> Callable[[Sequence[str]], Scored]:
    """Load a model, for `OwnProcess`; what is returned asks it about texts.

    Raises `ModelFileError` where it cannot be loaded, and `PromptTooLongError` where the task does not fit.
    """
    local = LocalModel(wanted.name, wanted.model, wanted.threads, Decimal(0), wanted.prompts)
    before = memory_now()
    scorer = LocalScorer(local, {task.name: task})

    def score(texts: Sequence[str]) -> Scored:
        answers = tuple(_answer(scorer, wanted.name, task.name, text) for text in texts)
        return Scored(answers, memory_now().beyond(before))

    return score


def _answer(scorer: LocalScorer, name: str, task: str, text: str) -> Answer:
    try:
        scores, usage = scorer.score(task, text)
    except EngineError as error:
        return Answer(name, Usage(), failure=Failure.ERROR, detail=str(error))
    return Answer(name, usage, scores=dataclasses.replace(scores, features=None))


def memory_now() -> Memory:
    """What this process holds now and held at most; where the system does not tell, the most for both."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss, which on Linux begins with what the process that started this one held.
        fields = dict(line.partition(":")[::2] for line in status.read_text(encoding="ascii").splitlines())
        return Memory(*(int(fields[name].split()[0]) * _KIB for name in ("VmRSS", "VmHWM")))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else _KIB)
    return Memory(most, most)
