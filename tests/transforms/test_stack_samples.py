"""Samples of what threads are at, grouped by stage."""

from __future__ import annotations

import threading
import time
from types import FrameType, ModuleType

import pytest

from transforms.stack_samples import OTHER, StackSamples, Stages, stage_of, waits

STAGES = Stages(
    {"reading": "read", "reading.journal": "journal", "ending": "finish"},
    whole=frozenset({"finish"}),
    waiting=frozenset({"watching"}),
)


def frame_of(*modules: str) -> FrameType:
    """The innermost frame of calls through functions of modules of these names, the outermost first."""
    called = [ModuleType(name) for name in modules]
    for module, inner in zip(called, [*called[1:], None], strict=True):
        module.inner = inner  # type: ignore[attr-defined]
        exec("import sys\ndef call(): return inner.call() if inner else sys._getframe()", module.__dict__)
    found = called[0].call()
    assert isinstance(found, FrameType)
    return found


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        (["reading"], "read"),
        (["reading", "json"], "read"),
        (["reading", "reading.journal"], "journal"),
        (["reading.journal", "reading.lines"], "read"),
        (["ending", "reading"], "finish"),
        (["json"], OTHER),
    ],
)
def test_the_innermost_module_with_a_stage_decides(modules: list[str], expected: str) -> None:
    """Unless a stage further out owns all that it calls. A module without a stage is its package's."""
    assert stage_of(frame_of(*modules), STAGES) == expected


def test_a_thread_that_waits_is_known_by_the_function_it_is_in() -> None:
    """Waiting in `threading` is no work."""
    assert waits(frame_of("reading", "threading"), STAGES)
    assert waits(frame_of("watching"), STAGES)
    assert not waits(frame_of("threading", "reading"), STAGES)


def test_time_is_found_where_it_is_spent() -> None:
    """One thread computes in this module; another waits and is not counted.

    Nor is the one that reads from pytest's parent where tests run in several processes.
    """
    waiting = threading.Event()
    thread = threading.Thread(target=waiting.wait, daemon=True)
    thread.start()

    stages = Stages({__name__: "here"}, waiting=frozenset({"execnet.gateway_base"}))
    with StackSamples(stages) as samples:
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            sum(range(100))
    waiting.set()
    thread.join()

    assert samples.shares()["here"] > 0.8
