"""What Google Cloud Dataflow needs of a job and of Beam's options, settled before anything is paid for."""

from __future__ import annotations

import hashlib
import importlib
import re
from typing import TYPE_CHECKING, Any

from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    SetupOptions,
    StandardOptions,
    TestOptions,
    WorkerOptions,
)

from pipelines.parallelism import PROCESS_BYTES
from pipelines.runner import sharers
from router.adapters import AdaptedModel
from router.job import LlamaCppModel, OpenAIModel
from transforms.adapter_files import fetch_adapter
from transforms.files import is_local as is_local_path
from transforms.llama_adapter import ModelFileError
from transforms.model_files import fetch_model

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apache_beam.options.pipeline_options import PipelineOptions

    from router.job import Job

ONE_PROCESS = "no_use_multiple_sdk_containers"
"""Experiment: one worker process a machine. Without it there is one for each vCPU."""
MANY_PROCESSES = "use_multiple_sdk_containers"

_GIB = 1 << 30
_JOB_NAME = 63
"""Characters that the service takes."""
_DIGEST = 8
_VCPUS = re.compile(r"-(\d+)(?:-\w+)?$")
_HERE = re.compile(r"https?://(localhost|127\.|\[::1\])")
_GUIDE = "docs/dataflow.md"


def is_dry_run(options: PipelineOptions) -> bool:
    """Whether the job is only to be translated."""
    # Beam takes any value of this option for yes, "False" too.
    return str(options.view_as(TestOptions).dry_run).lower() not in ("", "0", "false", "no")


def is_template(options: PipelineOptions) -> bool:
    """Whether the job is only to be written down, for another to submit it; flex templates' launchers do."""
    return options.view_as(GoogleCloudOptions).template_location is not None


def check_dataflow(options: PipelineOptions, job: Job) -> None:
    """Raise `ValueError` where the job could not run on Dataflow, with all reasons and what to do."""
    faults = [
        *_faults_of_this_machine(),
        *_faults_of_job(job, dry_run=is_dry_run(options)),
        *_faults_of_options(options),
        *_faults_of_template(options, job),
    ]
    if faults:
        raise ValueError("\n".join(f"DataflowRunner: {fault}" for fault in faults))


def _faults_of_this_machine() -> Iterable[str]:
    try:
        importlib.import_module("apache_beam.runners.dataflow.internal.apiclient")
    except ImportError as error:
        yield f"Google's clients are missing ({error}): pip install 'tekizai[dataflow]'"


def _faults_of_job(job: Job, *, dry_run: bool) -> Iterable[str]:
    there = "is on this machine's disk, which Dataflow's workers do not see: give a gs:// URL"
    # A dry run may read a sample from here.
    if is_local_path(job.input.path) and not dry_run:
        yield f"input.path: {job.input.path} {there} (or --input gs://…)"
    if is_local_path(job.output.path):
        yield f"output.path: {job.output.path} {there} (or --output gs://…); the journal is kept there too"
    if job.router.heads is not None and is_local_path(job.router.heads):
        yield f"router.heads: {job.router.heads} {there}"
    for name, model in job.models.items():
        if isinstance(model, OpenAIModel) and _HERE.match(model.base_url or ""):
            yield (
                f"models.{name}.base_url: {model.base_url} means the worker itself there: give one "
                "that workers reach"
            )


def _faults_of_options(options: PipelineOptions) -> Iterable[str]:
    setup, cloud = options.view_as(SetupOptions), options.view_as(GoogleCloudOptions)
    carriers = (
        options.view_as(WorkerOptions).sdk_container_image,
        setup.extra_packages,
        setup.setup_file,
        setup.requirements_file,
    )
    if not any(carriers):
        yield (
            "nothing brings Tekizai to the workers: give --sdk_container_image=IMAGE, made from "
            f"docker/worker.Dockerfile, or --extra_package=WHEEL; see {_GUIDE}"
        )
    if is_dry_run(options) and not (cloud.temp_location or "").startswith("gs://"):
        yield "--temp_location: give a gs:// URL; without one Beam would make a bucket"
    if options.view_as(StandardOptions).streaming:
        yield "--streaming: Tekizai's jobs are batch jobs; leave it out"


def _faults_of_template(options: PipelineOptions, job: Job) -> Iterable[str]:
    if not is_template(options):
        return
    if is_dry_run(options):
        yield "--template_location: --dry_run writes to --dataflow_job_file; give one of the two"
    gate = job.routing.gate
    if gate.target is not None or job.calibration.artefact is not None:
        what = "routing.gate.target" if gate.target is not None else "calibration.artefact"
        yield (
            f"{what}: it needs answers before the job is made, and with --template_location, or in a flex "
            "template, no job is waited for: submit it directly, or give routing.gate.min_confidence alone"
        )


def settle_dataflow(options: PipelineOptions, job: Job, models: Iterable[str]) -> list[str]:
    """Set what the options leave open; returns what was chosen and why, in lines.

    Args:
        options: Beam's, to be changed.
        job: The checked job file.
        models: Names of the models that the routing names.
    """
    # Every class is in a module that the workers have; nothing of `__main__` needs to travel.
    options.view_as(SetupOptions).save_main_session = False
    used = {name: job.models[name] for name in models}
    local = {name: model for name, model in used.items() if isinstance(model, LlamaCppModel)}
    lines = [
        _settle_name(options, job),
        _settle_processes(options, local),
        _settle_memory(options, local),
        _unbounded(options),
    ]
    lines += [
        f"models.{name}: workers read {model.api_key_env or 'the key'} from their own environment ({_GUIDE})"
        for name, model in used.items()
        if isinstance(model, OpenAIModel) and (model.api_key_env or model.base_url is None)
    ]
    return [line for line in lines if line is not None]


def _settle_name(options: PipelineOptions, job: Job) -> str | None:
    """One name for all runs on an output, because Dataflow refuses a second job of a name that is running.

    The output's lock is held by this process, which may die while the job goes on.
    """
    cloud = options.view_as(GoogleCloudOptions)
    if cloud.job_name:
        return None
    digest = hashlib.sha256(job.output.path.rstrip("/").encode()).hexdigest()[:_DIGEST]
    name = re.sub(r"[^a-z0-9]+", "-", job.name.lower()).strip("-")
    cloud.job_name = f"tekizai-{name}"[: _JOB_NAME - _DIGEST - 1].rstrip("-") + f"-{digest}"
    return f"job name {cloud.job_name}: while it runs, Dataflow refuses another one on this output"


def _unbounded(options: PipelineOptions) -> str | None:
    workers = options.view_as(WorkerOptions)
    if workers.max_num_workers or workers.autoscaling_algorithm == "NONE":
        return None
    return "no --max_num_workers: Dataflow may rent as many as 2,000 machines"


def _settle_processes(options: PipelineOptions, local: dict[str, LlamaCppModel]) -> str | None:
    """One process a machine where a model is to use several threads."""
    debug = options.view_as(DebugOptions)
    given = debug.experiments or []
    threads = max((model.threads or 1 for model in local.values()), default=1)
    if threads == 1 or ONE_PROCESS in given or MANY_PROCESSES in given:
        return None
    debug.add_experiment(ONE_PROCESS)
    if not debug.number_of_worker_harness_threads:
        debug.number_of_worker_harness_threads = 1
    return (
        f"one process on each machine, because a model has {threads} threads: choose a --machine_type with "
        f"{threads} vCPUs, or leave `threads` out for one process on each vCPU"
    )


def processes_of(options: PipelineOptions) -> int | None:
    """Worker processes on each machine; None where the options do not tell."""
    if ONE_PROCESS in (options.view_as(DebugOptions).experiments or []):
        return 1
    found = _VCPUS.search(options.view_as(WorkerOptions).machine_type or "")
    return int(found[1]) if found else None


def budget_sharers(options: PipelineOptions, job: Job) -> int:
    """How many worker processes may share a budget on Dataflow.

    Raises `ValueError` where nothing bounds their number.
    """
    machines = sharers(options, job)
    if job.budget is not None and job.budget.workers is not None:
        return machines
    processes = processes_of(options)
    if processes is None:
        raise ValueError(
            "budget.max_usd: on Dataflow each vCPU has a worker process of its own, which gets a part, and "
            "nothing says how many there are: give --machine_type=n2-standard-4, say, or budget.workers"
        )
    return machines * processes


def _settle_memory(options: PipelineOptions, local: dict[str, LlamaCppModel]) -> str | None:
    """What the models need, as a hint for the whole pipeline.

    Not for single steps: steps that need different machines are not fused, and records would be written down
    between them.
    """
    standard: Any = options.view_as(StandardOptions)
    if not local or standard.resource_hints or options.view_as(GoogleCloudOptions).flexrs_goal:
        return None  # FlexRS takes no hints
    processes = processes_of(options) or 1
    try:
        # Their files are mapped: the processes of a machine share them.
        paths = {fetch_model(name, model) for name, model in local.items()}
        paths |= {fetch_adapter(model) for model in local.values() if isinstance(model, AdaptedModel)}
        files = sum(path.stat().st_size for path in paths)
    except (ModelFileError, OSError):
        return "min_ram is left open, because a model's file is not here: --resource_hints=min_ram=… says it"
    wanted = -(-(files + processes * PROCESS_BYTES) // _GIB)
    standard.resource_hints = [f"min_ram={wanted}GiB"]
    many = f"{processes} processes" if processes > 1 else "one process"
    return f"min_ram={wanted}GiB for each machine: models of {files / _GIB:.2f} GiB, {many}"
