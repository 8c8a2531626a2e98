"""Memory of a process with all that it started."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from transforms import process_memory
from transforms.process_memory import PeakMemory, descendants, running


def test_descendants_are_those_of_the_process_alone() -> None:
    """1 started 2 and 5, 2 started 3; 4 is another's."""
    processes = {1: (0, 10), 2: (1, 20), 3: (2, 30), 4: (0, 40), 5: (1, 50)}

    assert descendants(processes, 2) == {2: 20, 3: 30}
    assert descendants(processes, 1) == {1: 10, 2: 20, 3: 30, 5: 50}
    assert descendants(processes, 9) == {}


@pytest.mark.parametrize("source", ["_from_proc", "_from_ps"])
def test_this_process_is_among_those_that_run(source: str) -> None:
    """With its parent, and more than a megabyte of memory, whichever way the system tells it."""
    try:
        found = getattr(process_memory, source)()
    except FileNotFoundError as error:
        pytest.skip(f"this system has none: {error.filename}")

    parent, resident = found[os.getpid()]

    assert parent == os.getppid()
    assert resident > 1 << 20


def test_the_peak_counts_what_a_child_holds() -> None:
    """A child fills 64 MiB, waits until it was seen, and lets go."""
    code = "held = bytes([1]) * (64 << 20); print('held', flush=True); input(); del held"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        with PeakMemory(os.getpid()) as memory:
            child.stdout.readline()
            own = running()[os.getpid()][1] / (1 << 20)
            while memory.most_processes < 2 or memory.peak_mib < own + 60:
                time.sleep(0.02)
            child.communicate("\n")

    assert memory.most_processes >= 2
    assert memory.peak_mib > own + 60
