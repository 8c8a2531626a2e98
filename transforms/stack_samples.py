"""Where a process spends its time: what its threads are at, looked at many times a second.

A profiler that notes every call makes small functions look dear; looking now and then changes nothing. What
waits (for a lock, a queue, another process) is left out.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transforms.background import BackgroundWatch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

_SECONDS = 0.005
_WAITING = ("threading", "queue", "selectors", "concurrent", "socket", "subprocess", "grpc")
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Stages:
    """Which stage a stack belongs to: the innermost function whose module has one decides."""

    of: Mapping[str, str]
    """By the name of a module, or of a package around it."""
    whole: frozenset[str] = frozenset()
    """Stages to which all belongs that they call."""
    waiting: frozenset[str] = frozenset()
    """Modules whose threads do nothing but wait."""


class StackSamples(BackgroundWatch):
    """A context manager that counts samples of running threads by stage."""

    def __init__(self, stages: Stages) -> None:
        """Look at nothing yet."""
        super().__init__()
        self._stages = stages
        self.counts: Counter[str] = Counter()

    def shares(self) -> dict[str, float]:
        """The stages' parts of all samples, the greatest first; empty where nothing was seen."""
        total = self.counts.total()
        return {stage: count / total for stage, count in self.counts.most_common()}

    def _watch(self) -> None:
        mine = threading.get_ident()
        while not self._stop.wait(_SECONDS):
            # Documented for debuggers and profilers, in spite of its name.
            frames = sys._current_frames()  # noqa: SLF001
            for thread, frame in frames.items():
                if thread != mine and not waits(frame, self._stages):
                    self.counts[stage_of(frame, self._stages)] += 1


def waits(frame: FrameType, stages: Stages) -> bool:
    """Whether a thread's innermost function is one that waits for others."""
    module = _module(frame)
    return module in stages.waiting or module.partition(".")[0] in _WAITING


def stage_of(frame: FrameType, stages: Stages) -> str:
    """The stage of the stack whose innermost frame this is."""
    found: str | None = None
    at: FrameType | None = frame
    while at is not None:
        stage = _stage(_module(at), stages.of)
        if stage in stages.whole:
            return str(stage)
        found = found or stage
        at = at.f_back
    return found or OTHER


def _stage(module: str, stages: Mapping[str, str]) -> str | None:
    while module:
        if module in stages:
            return stages[module]
        module = module.rpartition(".")[0]
    return None


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
