"""A job as Dataflow's service would get it, made without asking anyone: for `--dry_run`."""

from __future__ import annotations

import json
import pathlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.options.pipeline_options import DebugOptions, GoogleCloudOptions
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.dataflow.internal import apiclient
from apache_beam.runners.internal.names import STAGED_PIPELINE_FILENAME
from google.protobuf import json_format

from pipelines.annotate import build_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from apache_beam.options.pipeline_options import PipelineOptions

    from pipelines.annotate import Plan

PIPELINE_SUFFIX = ".pipeline.json"
"""The pipeline that the request names, beside the file of the request."""


@dataclass(frozen=True, slots=True)
class Request:
    """What would be sent."""

    job: dict[str, Any]
    """The body of the request to create the job."""
    pipeline: beam_runner_api_pb2.Pipeline
    """Its steps, which the request names by an URL."""
    staged: dict[str, int]
    """Files that would be copied to the staging location first, with their sizes in bytes."""

    @property
    def steps(self) -> list[str]:
        """Full names of the steps that do something, sorted."""
        transforms = self.pipeline.components.transforms.values()
        return sorted(one.unique_name for one in transforms if not one.subtransforms and one.spec.urn)

    @property
    def images(self) -> list[str]:
        """The workers' container images."""
        payloads = [
            beam_runner_api_pb2.DockerPayload.FromString(one.payload)
            for one in self.pipeline.components.environments.values()
        ]
        return sorted({one.container_image for one in payloads})

    @property
    def min_ram_bytes(self) -> int | None:
        """Memory that each machine must have; None where no step says it."""
        hints = [one.resource_hints for one in self.pipeline.components.environments.values()]
        found = [int(one[_MIN_RAM]) for one in hints if _MIN_RAM in one]
        return max(found, default=None)


_MIN_RAM = common_urns.resource_hints.MIN_RAM_BYTES.urn


class _OfflineClient(apiclient.DataflowApplicationClient):
    """Beam's own client, which makes the request but copies nothing anywhere."""

    def __init__(self, options: PipelineOptions, staging: str) -> None:
        # Otherwise it looks for credentials, on the network too.
        options.view_as(GoogleCloudOptions).no_auth = True
        super().__init__(options, staging)  # type: ignore[no-untyped-call]
        self.staged: dict[str, int] = {}

    def stage_file(
        self,
        gcs_or_local_path: str,
        file_name: str,
        stream: IO[bytes],
        mime_type: str = "",
        total_size: int | None = None,
    ) -> None:
        del gcs_or_local_path, mime_type, total_size
        self.staged[file_name] = len(stream.read())

    def _gcs_file_copy(self, from_path: str, to_path: str, *_: object) -> None:
        self.staged[to_path.rpartition("/")[2]] = pathlib.Path(from_path).stat().st_size


def show_request(plan: Plan, options: PipelineOptions, tell: Callable[[str], None]) -> None:
    """Translate the job, tell what would be sent, and write it where the options say; change nothing else.

    Raises `ValueError` where the job's gate is not settled.
    """
    if plan.policy is None:
        raise ValueError(
            "--dry_run: the main pipeline follows from what the gate's pilot finds; give "
            "routing.gate.min_confidence to see one"
        )
    request = translate(plan, options)
    for line in describe_request(request):
        tell(line)
    for path in write_request(request, options):
        tell(f"written: {path}")
    tell("nothing was submitted, and nothing written to the output (--dry_run)")


def translate(plan: Plan, options: PipelineOptions) -> Request:
    """The request for a job whose gate is settled, with Beam's options set to `--dry_run`.

    Raises `ValueError` where Beam refuses the options.
    """
    pipeline = beam.Pipeline(options=options)
    build_pipeline(pipeline, plan)
    result: Any = pipeline.run()
    job = result.job
    client = _OfflineClient(options, job.root_staging_location)
    client.create_job_description(job)
    return Request(json.loads(job.json()), job.proto_pipeline, client.staged)


def write_request(request: Request, options: PipelineOptions) -> list[pathlib.Path]:
    """Write the request to the file that the options name, and its pipeline beside it."""
    named = options.view_as(DebugOptions).dataflow_job_file
    if named is None:
        return []
    body, steps = pathlib.Path(named), pathlib.Path(f"{named}{PIPELINE_SUFFIX}")
    body.parent.mkdir(parents=True, exist_ok=True)
    body.write_text(json.dumps(request.job, indent=1, sort_keys=True), encoding="utf-8")
    steps.write_text(json_format.MessageToJson(request.pipeline), encoding="utf-8")
    return [body, steps]


def describe_request(request: Request) -> list[str]:
    """The request in a few lines."""
    pool = request.job["environment"]["workerPools"][0]
    memory = "" if request.min_ram_bytes is None else f", at least {request.min_ram_bytes / (1 << 30):g} GiB"
    size = request.staged[STAGED_PIPELINE_FILENAME]
    others = sorted(set(request.staged) - {STAGED_PIPELINE_FILENAME})
    return [
        f"{request.job['name']}: {len(request.steps)} steps, {size:,} bytes",
        f"machines: {pool.get('machineType', 'as the service chooses')}{memory}",
        f"image: {', '.join(request.images)}",
        f"packages: {', '.join(others) or 'none'}",
    ]
