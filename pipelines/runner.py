"""Running the pipeline: on this machine by default, on any Beam runner if the options name one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.portability.portable_runner import JobServiceHandle

from pipelines.annotate import build_pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apache_beam.runners.runner import PipelineRunner

    from pipelines.annotate import Plan

_LOCAL = ("directrunner", "fnapirunner")
# A worker's exception reaches the driver as text: the traceback, then "module.Class: message [while running …]".
_LAST_ERROR = re.compile(r"^(?:[\w.]+\.)?(\w+(?:Error|Stop|Exception)): (.*?)(?: \[while running '(.*?)'\])?$", re.M)
_OWN_ERRORS = ("LlmStop", "ModelFileError", "EngineError", "InputError", "LostRecordsError", "ValueError")


class JobFailedError(RuntimeError):
    """The job began but could not end; the message is the cause in one line."""


def options_of(arguments: Sequence[str]) -> PipelineOptions:
    """Beam's options. Raises `ValueError` for an argument that Beam does not know."""
    options = PipelineOptions(list(arguments))
    unknown = [name for name in options.get_all_options(retain_unknown_options=True) if name not in _known(options)]
    if unknown:
        raise ValueError(f"unknown Beam option --{unknown[0]}; what follows -- goes to Beam unchanged")
    return options


def _known(options: PipelineOptions) -> set[str]:
    return set(options.get_all_options())


def is_local(options: PipelineOptions) -> bool:
    """Whether the job runs on this machine, in Beam's own local runner."""
    runner = options.view_as(StandardOptions).runner
    return runner is None or runner.rpartition(".")[2].lower() in _LOCAL


def local_workers(options: PipelineOptions) -> int:
    """How many worker processes or threads the local runner uses."""
    if not is_local(options):
        return 1
    wanted = options.view_as(DirectOptions).direct_num_workers
    return int(wanted) if wanted and int(wanted) > 0 else 1


def run_plan(plan: Plan, options: PipelineOptions) -> None:
    """Build the pipeline and run it to its end. Raises `JobFailedError`."""
    runner = _local_runner(options) if is_local(options) else None
    pipeline = beam.Pipeline(runner=runner, options=options)
    build_pipeline(pipeline, plan)
    try:
        pipeline.run().wait_until_finish()
    except (RuntimeError, OSError, ValueError, TypeError) as error:
        raise JobFailedError(cause_of(error)) from error


def _local_runner(options: PipelineOptions) -> PipelineRunner:
    # What `DirectRunner` would choose in the end. It tries the Prism runner first, whose binary it downloads:
    # that fails, slowly, where there is no network.
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    info = fn_runner.ExtendedProvisionInfo(beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded))
    return fn_runner.FnApiRunner(provision_info=info)


def cause_of(error: BaseException) -> str:
    """The first line that matters in an error from a worker."""
    found: list[Any] = _LAST_ERROR.findall(str(error))
    for kind, message, stage in found:
        if kind in _OWN_ERRORS:
            return str(message) + (f" (in {stage})" if kind == "ValueError" and stage else "")
    if found:
        kind, message, stage = found[-1]
        return f"{kind}: {message}" + (f" (in {stage})" if stage else "")
    return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
