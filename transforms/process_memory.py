"""Memory of a process and of all that it started, looked at while they run."""

from __future__ import annotations

import os
import pathlib
import subprocess
from collections import defaultdict
from typing import TYPE_CHECKING

from transforms.background import BackgroundWatch

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS = 0.1
_PROC = pathlib.Path("/proc")
_MIB = 1 << 20
Processes = dict[int, tuple[int, int]]
"""By process id: the parent's id, and resident bytes."""


class PeakMemory(BackgroundWatch):
    """A context manager that notes the most memory that a process and its descendants held at once.

    Resident memory is added up, so what processes share (a model's file, libraries) counts in each of them.
    """

    def __init__(self, process: int) -> None:
        """`process` is its id; nothing is looked at yet."""
        super().__init__()
        self._process = process
        self.peak_mib = 0.0
        self.most_processes = 0

    def _watch(self) -> None:
        while not self._stop.wait(_SECONDS):
            family = descendants(running(), self._process)
            self.peak_mib = max(self.peak_mib, sum(family.values()) / _MIB)
            self.most_processes = max(self.most_processes, len(family))


def descendants(processes: Mapping[int, tuple[int, int]], root: int) -> dict[int, int]:
    """Bytes of a process and of all that it started, by process id; empty where it has ended."""
    children = defaultdict(list)
    for process, (parent, _) in processes.items():
        children[parent].append(process)
    found: dict[int, int] = {}
    waiting = [root] if root in processes else []
    while waiting:
        process = waiting.pop()
        found[process] = processes[process][1]
        waiting += [child for child in children[process] if child not in found]
    return found


def running() -> Processes:
    """All processes that may be seen: from /proc, or from `ps` where there is none."""
    return _from_proc() if (_PROC / "self" / "stat").exists() else _from_ps()


def _from_proc() -> Processes:
    found: Processes = {}
    page = os.sysconf("SC_PAGE_SIZE")
    for folder in _PROC.iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            # The command's name stands in brackets and may hold anything.
            fields = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:
            continue  # It has ended meanwhile.
        parent, resident = int(fields[1]), int(fields[21])
        found[int(folder.name)] = (parent, resident * page)
    return found


def _from_ps() -> Processes:
    said = subprocess.run(
        ["ps", "-axo", "pid=,ppid=,rss="],  # noqa: S607 - where it lies differs between systems
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [list(map(int, line.split())) for line in said.stdout.splitlines()]
    return {process: (parent, kilobytes << 10) for process, parent, kilobytes in rows}
