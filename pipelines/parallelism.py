"""How many worker processes a job gets on this machine, where the user does not say."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apache_beam.options.pipeline_options import DirectOptions

from pipelines.runner import is_local
from router.job import LlamaCppModel
from transforms.cpus import usable_cores
from transforms.files import find_files, is_dataset

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from apache_beam.options.pipeline_options import PipelineOptions

    from router.job import Job

WORTH_BYTES = 256 << 10
"""From so much input on: a thousand or two short texts, minutes of a small model's time on one core."""
WORTH_RECORDS = 1_000
"""The same where the number of records is limited."""
PILOT_FACTOR = 4
"""With a target, so many times as much: every step of the pilot starts the processes anew."""
PROCESS_BYTES = 1 << 30
"""Memory that a process may need beside the models' files, which all processes share."""

_OPTIONS = ("--direct_num_workers", "--direct_running_mode")
_MEMORY = pathlib.Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to share out."""

    cores: int
    """Physical ones that this process may use: two threads on one core evaluate no faster than one."""
    free_bytes: int | None
    """Memory; None where it cannot be told."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How many processes, and why."""

    processes: int
    why: str


def choose_processes(
    machine: Machine,
    threads: Sequence[int | None],
    input_bytes: int | None,
    limit: int | None,
    *,
    pilot: bool = False,
) -> Choice:
    """One process a core where that pays: small models gain little from a second thread.

    Args:
        machine: What there is.
        threads: Of each local model as the job file has it; None where it does not say.
        input_bytes: Size of the input; None where it is not known.
        limit: How many records are wanted; None for all.
        pilot: Whether small pipelines run before the job, to certify its gate.
    """
    factor = PILOT_FACTOR if pilot else 1
    if not threads:
        return Choice(1, "no model runs here")
    if limit is not None and limit < WORTH_RECORDS * factor:
        return Choice(1, f"{limit:,} records are answered before another process has started")
    if input_bytes is not None and input_bytes < WORTH_BYTES * factor:
        return Choice(1, f"an input of {input_bytes:,} bytes is read before another process has started")
    wanted = max(1, machine.cores // max(one or 1 for one in threads))
    if machine.free_bytes is None:
        return Choice(wanted, f"{machine.cores} cores")
    room = max(1, machine.free_bytes // PROCESS_BYTES)
    if room < wanted:
        return Choice(room, f"{machine.free_bytes / PROCESS_BYTES:.1f} GiB of memory are free")
    return Choice(
        wanted, f"{machine.cores} cores, {machine.free_bytes / PROCESS_BYTES:.1f} GiB of memory free"
    )


def settle_workers(
    options: PipelineOptions, arguments: Iterable[str], job: Job, limit: int | None
) -> str | None:
    """Set the options of Beam's local runner where its arguments leave that open.

    Returns what was chosen and why, in words; None where there was nothing to choose, or one process stays.
    Options of other runners are left alone; one that slows local models is named.
    """
    if not is_local(options):
        return _in_the_way(options, job)
    if any(one.split("=")[0] in _OPTIONS for one in arguments):
        return None
    models = [job.models[name] for name in job.used_models]
    threads = [one.threads for one in models if isinstance(one, LlamaCppModel)]
    pilot = job.routing.gate.target is not None and job.calibration.artefact is None
    choice = choose_processes(this_machine(), threads, _input_bytes(job), limit, pilot=pilot)
    if choice.processes == 1:
        return None
    direct = options.view_as(DirectOptions)
    direct.direct_num_workers = choice.processes
    direct.direct_running_mode = "multi_processing"
    return (
        f"{choice.processes} worker processes share the input ({choice.why}); "
        "`-- --direct_num_workers=1` makes it one"
    )


def _in_the_way(options: PipelineOptions, job: Job) -> str | None:
    """What keeps several slots of another runner from being faster than one; None where nothing does."""
    given = options.get_all_options(drop_default=True, retain_unknown_options=True)
    slots = str(given.get("parallelism", ""))
    here = given.get("environment_type") == "LOOPBACK" and slots.isdecimal() and int(slots) > 1
    if not here or not any(isinstance(job.models[name], LlamaCppModel) for name in job.used_models):
        return None
    return (
        f"the workers of all {slots} slots are in this process (LOOPBACK) and share each local model: they "
        "are no faster than one; PROCESS or EXTERNAL makes processes of them (docs/flink.md)"
    )


def this_machine() -> Machine:
    """The cores that this process may use, and the memory that is free."""
    return Machine(usable_cores(), _free_bytes())


def _free_bytes() -> int | None:
    try:
        lines = _MEMORY.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _input_bytes(job: Job) -> int | None:
    if is_dataset(job.input.path):
        return None
    sizes = [file.size for file in find_files(job.input.path)]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None
