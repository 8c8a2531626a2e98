"""The machine and the versions that a benchmark's figures are of."""

from __future__ import annotations

import os
import pathlib
import platform
from importlib import metadata
from typing import Any

from transforms.cpus import usable_cpus
from transforms.llama_library import build_features

_VERSIONED = ("tekizai", "apache-beam", "llama-cpp-python", "numpy", "onnxruntime", "openai", "pyarrow")
_CPUINFO = pathlib.Path("/proc/cpuinfo")
_GIB = 1 << 30
_BUSY = 0.25
"""Other work on this part of the cores is worth a note: it moves every figure."""


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, memory, system, and how busy the machine is by now."""
    cores = len(usable_cpus())
    return {
        "processor": _processor(),
        "cores": cores,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB, 1),
        "system": " ".join(part for part in (platform.system(), *platform.libc_ver()) if part),
        "load_average": round(os.getloadavg()[0], 2),
        "llama_cpp": build_features(),
    }


def versions() -> dict[str, str]:
    """Of Python and of what does the work."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _VERSIONED}}


def notes(found: dict[str, Any]) -> list[str]:
    """What a reader of the figures should know of the machine."""
    load, cores = found["load_average"], found["cores"]
    if load <= _BUSY * cores:
        return []
    said = f"the machine was busy when this began (load average {load:g} on {cores} cores)"
    return [f"{said}: trust the ratios, which were measured by turns, more than the rates"]


def _processor() -> str:
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return f"{value.strip()} ({platform.machine()})"
    return platform.processor() or platform.machine()
