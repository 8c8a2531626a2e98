"""Running the pipeline: on this machine by default, on any Beam runner if the options name one."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import logging
import os
import re
import shlex
import sys
from typing import TYPE_CHECKING

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import (
    DirectOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.runners.runner import PipelineState, create_runner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from pipelines.annotate import build_pipeline
from pipelines.elsewhere import run_elsewhere
from pipelines.errors import CHATTY, JobFailedError
from pipelines.remote_job import noted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apache_beam.runners.runner import PipelineResult, PipelineRunner
    from apache_beam.transforms.environments import Environment

    from pipelines.annotate import Plan
    from router.job import Job

_LOCAL = ("directrunner", "fnapirunner")
# The text of an exception is tracebacks, each ended by a line "module.Class: message".
_ERROR_LINE = re.compile(r"^(?:[\w.]+\.)?(\w+): (.*)$", re.MULTILINE)
_STAGE = re.compile(r" \[while running '(.*?)'\]")
_OWN_ERRORS = (
    "LlmStop",
    "ModelFileError",
    "EngineError",
    "InputError",
    "LostRecordsError",
    "JournalError",
    "LedgerError",
)
_FULL = re.compile(r"No space left on device.*")
_JOB_SERVER = re.compile(r"Unable to fetch remote job server jar at \S+?([^/\s]+\.jar)")
_STRAY = "arguments_that_are_no_options"
# Beam wants a value here, unlike for its other switches.
_DRY_RUN = {"--dry_run": "--dry_run=True"}


def options_of(arguments: Sequence[str]) -> PipelineOptions:
    """Beam's options. Raises `ValueError` for an argument that Beam does not know or cannot read."""
    said = io.StringIO()
    try:
        # Beam parses with argparse, which prints its whole usage and ends the process.
        with contextlib.redirect_stderr(said):
            options = PipelineOptions([_DRY_RUN.get(one, one) for one in arguments])
            given = options.get_all_options(retain_unknown_options=True, add_extra_args_fn=_add_stray)
    except SystemExit as end:
        if not end.code:
            raise
        raise ValueError(f"Beam option: {said.getvalue().strip().rpartition('error: ')[2]}") from end
    stray = given.pop(_STRAY)
    # Other runners' servers know options of their own.
    known = _known()
    unknown = [f"--{name}" for name in given if name not in known] if is_local(options) else []
    if stray or unknown:
        wrong = [*unknown, *stray][0]
        near = difflib.get_close_matches(wrong, [f"--{name}" for name in known], n=1)
        hint = f"did you mean {near[0]}?" if near else "what follows -- goes to Beam unchanged"
        raise ValueError(f"unknown Beam option {wrong}: {hint}")
    if not is_local(options):
        create_runner(options.view_as(StandardOptions).runner)  # for its ValueError, before any work is done
        workers = options.view_as(WorkerOptions)
        # They log every request, and a runner keeps what its workers log.
        workers.sdk_harness_log_level_overrides = {
            **dict.fromkeys(CHATTY, "WARNING"),
            **(workers.sdk_harness_log_level_overrides or {}),
        }
    return options


def _add_stray(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(_STRAY, nargs="*")


def _known() -> set[str]:
    return set(PipelineOptions([]).get_all_options())


def is_local(options: PipelineOptions) -> bool:
    """Whether the job runs on this machine, in Beam's own local runner."""
    runner = options.view_as(StandardOptions).runner
    return runner is None or runner.rpartition(".")[2].lower() in _LOCAL


def is_dataflow(options: PipelineOptions) -> bool:
    """Whether the job is for Google Cloud Dataflow."""
    runner = options.view_as(StandardOptions).runner or ""
    return runner.rpartition(".")[2].lower() in ("dataflowrunner", "dataflow")


def local_workers(options: PipelineOptions) -> int:
    """How many worker processes or threads the local runner uses."""
    if not is_local(options):
        return 1
    # Beam takes 0 for one worker a core.
    wanted = int(options.view_as(DirectOptions).direct_num_workers)
    return wanted if wanted > 0 else os.cpu_count() or 1


def run_plan(plan: Plan, options: PipelineOptions) -> None:
    """Build the job's pipeline and run it to its end. Raises `JobFailedError`."""

    def noting(result: PipelineResult) -> contextlib.AbstractContextManager[None]:
        return noted(plan.state, options, result)

    submitted = is_dataflow(options) and options.view_as(GoogleCloudOptions).template_location is None
    began = noting if submitted else None
    run_pipeline(lambda pipeline: build_pipeline(pipeline, plan), options, began)


def run_pipeline(
    build: Callable[[beam.Pipeline], object],
    options: PipelineOptions,
    began: Callable[[PipelineResult], contextlib.AbstractContextManager[None]] | None = None,
) -> PipelineResult:
    """Run the pipeline that `build` makes to its end; its result has the metrics. Raises `JobFailedError`.

    What `began` gives for the result is held while the pipeline runs.
    """
    direct = options.view_as(DirectOptions)
    mode = direct.direct_running_mode
    runner = _local_runner(options) if is_local(options) else None
    pipeline = beam.Pipeline(runner=runner, options=options)
    # The next pipeline is to run as this one does.
    direct.direct_running_mode = mode
    build(pipeline)
    try:
        # A job on Dataflow goes on without this process, and is not cancelled with it.
        if is_local(options) or is_dataflow(options):
            result = pipeline.run()
            with contextlib.nullcontext() if began is None else began(result):
                state = result.wait_until_finish()
        else:
            result, state = run_elsewhere(pipeline)
    except Exception as error:  # whatever a worker raised
        raise JobFailedError(cause_of(error)) from error
    if state in (PipelineState.FAILED, PipelineState.CANCELLED):
        raise JobFailedError(f"the runner says that the job is {state}")
    return result


def _local_runner(options: PipelineOptions) -> PipelineRunner:
    # What `DirectRunner` would choose in the end. It tries the Prism runner first, whose binary it downloads:
    # that fails, slowly, where there is no network.
    quiet = not logging.getLogger("apache_beam").isEnabledFor(logging.ERROR)
    workers, direct = options.view_as(WorkerOptions), options.view_as(DirectOptions)
    if quiet and workers.default_sdk_harness_log_level is None:
        # They log dozens of lines each; errors reach the driver anyway.
        workers.default_sdk_harness_log_level = "CRITICAL"
    environment = None
    if direct.direct_running_mode == "multi_processing":
        # For its own name of this mode the runner would put its own command in the place of this one.
        direct.direct_running_mode = "in_memory"
        environment = _worker_process(quiet=quiet)
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    info = fn_runner.ExtendedProvisionInfo(beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded))
    return fn_runner.FnApiRunner(default_environment=environment, provision_info=info)


def _worker_process(*, quiet: bool) -> Environment:
    """Worker processes that end when this one does."""
    # `exec`, because the runner starts a shell, and the worker looks for its parent.
    command = f"exec {shlex.quote(sys.executable)} -m pipelines.local_worker"
    return SubprocessSDKEnvironment.from_command_string(
        command_string=command + (" --quiet" if quiet else "")
    )


def sharers(options: PipelineOptions, job: Job) -> int:
    """How many worker processes may share a budget on a runner that is not local.

    Raises `ValueError` where nothing bounds their number.
    """
    if job.budget is not None and job.budget.workers is not None:
        return job.budget.workers
    given = options.get_all_options(drop_default=True, retain_unknown_options=True)
    for name in ("max_num_workers", "max_workers", "parallelism"):
        if str(given.get(name, "")).isdecimal() and int(given[name]) > 0:
            return int(given[name]) * int(given.get("sdk_worker_parallelism") or 1)
    raise ValueError(
        "budget.max_usd: on this runner the workers share no counter, so each gets an equal part, and "
        "nothing says how many there can be: give budget.workers (docs/budget.md)"
    )


def _lost(error: grpc.RpcError) -> str:
    # What a call ends with has both; the class that is raised for it promises neither.
    said = [getattr(error, name, lambda: None)() for name in ("code", "details")]
    why = ": ".join(" ".join(str(one).split()) for one in said if one)
    return f"the runner's job service does not answer any more ({why or 'no reason given'}); see its own log"


def cause_of(error: BaseException) -> str:
    """The line that matters in a worker's error: what this project raised, else what was raised last."""
    if isinstance(error, grpc.RpcError):
        return _lost(error)
    # From a worker in this process the exception comes as it is, from another one as text.
    text = str(error.args[0]) if error.args else ""
    if type(error).__name__ == "DataflowRuntimeException" and "Traceback " not in text:
        text = " ".join(text.split())  # what the service says stands on the second line
    if not text.startswith("Traceback "):
        text = f"{type(error).__name__}: {text}"
    stage = _STAGE.search(text)
    found: list[tuple[str, str]] = _ERROR_LINE.findall(_STAGE.sub("", text))
    own = [message for kind, message in found if kind in _OWN_ERRORS]
    if own:
        return own[0]
    if full := _FULL.search(text):
        return f"the disk is full ({full[0]}): make space and run the same command, which continues"
    if jar := _JOB_SERVER.search(text):
        return (
            f"Beam's job server for Flink cannot be fetched ({jar[1]}); bring the jar and name it with "
            "--flink_job_server_jar=JAR, give the cluster's version with --flink_version, or run "
            "`make flink` (docs/flink.md)"
        )
    line = ": ".join(found[-1]) if found else text.strip().rpartition("\n")[2]
    return line + (f" (in {stage[1]})" if stage else "")
