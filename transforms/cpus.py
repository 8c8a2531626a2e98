"""The processors that this process may use."""

from __future__ import annotations

import os
import pathlib

_CPUS = pathlib.Path("/sys/devices/system/cpu")
_QUOTA = pathlib.Path("/sys/fs/cgroup/cpu.max")


def usable_cpus() -> list[int]:
    """Their numbers, in order; where the system does not say, as many as the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def usable_cores() -> int:
    """How many models evaluate beside each other at full speed: physical cores, within a container's quota.

    Two threads on one core evaluate no faster than one.
    """
    cores = len({_core_of(cpu) for cpu in usable_cpus()})
    quota = _quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def _core_of(cpu: int) -> str:
    """The processors that share a core with this one, itself among them."""
    try:
        return (_CPUS / f"cpu{cpu}/topology/thread_siblings_list").read_text(encoding="ascii")
    except OSError:
        return str(cpu)


def _quota() -> float | None:
    """Processors' time that a container may use, in processors; None where it is not bounded."""
    try:
        most, _, period = _QUOTA.read_text(encoding="ascii").partition(" ")
        return int(most) / int(period)
    except (OSError, ValueError):
        return None
