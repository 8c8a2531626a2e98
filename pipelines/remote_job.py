"""A job that goes on elsewhere when the process that began it ends: a note in the output keeps others off.

Dataflow's jobs need nobody who waits for them. A second run would clear away what the first is writing.
"""

from __future__ import annotations

import contextlib
import json
import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import fsspec
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from apache_beam.runners.runner import PipelineState

from pipelines.errors import OutputError, OutputHeldError
from transforms.splits import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_LOGGER = logging.getLogger(__name__)

REMOTE = "remote.json"
"""In the state folder: the job that writes to the output."""


@contextlib.contextmanager
def noted(state: str, options: PipelineOptions, result: Any) -> Iterator[None]:  # noqa: ANN401 - Beam's, untyped
    """Keep a note of a submitted job as long as it is not known to be over.

    Args:
        state: URL of the output's state folder.
        options: Beam's options for the job.
        result: What Beam returned for it.
    """
    cloud = options.view_as(GoogleCloudOptions)
    filesystem, folder = fsspec.core.url_to_fs(state)
    note = {
        "job": result.job_id(),
        "name": cloud.job_name,
        "project": cloud.project,
        "region": cloud.region,
        "endpoint": cloud.dataflow_endpoint,
        "no_auth": cloud.no_auth,
        "since": datetime.now(tz=timezone.utc).isoformat(timespec="seconds"),
    }
    filesystem.makedirs(folder, exist_ok=True)
    filesystem.pipe_file(f"{folder}/{REMOTE}", json.dumps(note).encode())
    # Airflow looks for a line that begins so.
    page = f"https://console.cloud.google.com/dataflow/jobs/{note['region']}/{note['job']}"
    _LOGGER.info("Created job with id: [%s] (%s?project=%s)", note["job"], page, note["project"])
    try:
        yield
    finally:
        # The service may be out of reach just then; the next run asks it again.
        with contextlib.suppress(Exception):
            if PipelineState.is_terminal(result.state):
                filesystem.rm_file(f"{folder}/{REMOTE}")


def noted_job(output: str) -> dict[str, Any] | None:
    """The job that an output's note tells of; None where there is no note."""
    filesystem, folder = fsspec.core.url_to_fs(output)
    filesystem.invalidate_cache()
    try:
        found: dict[str, Any] = json.loads(filesystem.cat_file(f"{folder}/state/{REMOTE}"))
    except FileNotFoundError:
        return None
    return found


def check_over(output: str, ask: Callable[[Mapping[str, Any]], str] | None = None) -> None:
    """Make sure that no job that was noted in an output is still writing to it.

    Args:
        output: URL of the folder.
        ask: Gives the state of a noted job, as the service names it; None: ask Dataflow.

    Raises:
        OutputHeldError: There is one; the message tells how to stop it.
        OutputError: Nobody could say.
    """
    note = noted_job(output)
    if note is None:
        return
    filesystem, folder = fsspec.core.url_to_fs(output)
    try:
        state = (ask or _ask_dataflow)(note)
    # Google's clients have many exception types, and here all of them mean that it is not known.
    except Exception as error:
        raise OutputError(
            f"output.path: {describe(note)} may be writing to {output}, and its state cannot be asked for "
            f"({one_line(error)}); if it is over, remove {folder}/state/{REMOTE}"
        ) from error
    if state not in _OVER:
        raise OutputHeldError(
            f"output.path: {output} is being written by {describe(note)} ({state}); wait for it, or stop it: "
            f"gcloud dataflow jobs cancel {note['job']} --region={note['region']} --project={note['project']}"
        )
    filesystem.rm_file(f"{folder}/state/{REMOTE}")


def describe(note: Mapping[str, Any]) -> str:
    """The noted job in words."""
    return f"the Dataflow job {note['name']} ({note['job']}, since {note['since']})"


_OVER = frozenset(
    f"JOB_STATE_{name}" for name in ("DONE", "FAILED", "CANCELLED", "UPDATED", "DRAINED", "STOPPED")
)


def _ask_dataflow(note: Mapping[str, Any]) -> str:
    from apache_beam.runners.dataflow.internal import apiclient  # noqa: PLC0415 - an extra, and slow to load

    options = PipelineOptions(
        project=note["project"],
        region=note["region"],
        dataflow_endpoint=note["endpoint"],
        no_auth=note["no_auth"],
    )
    job = apiclient.DataflowApplicationClient(options, "").get_job(note["job"])
    return str(job.current_state.name)
