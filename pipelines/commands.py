"""What the commands do, apart from reading their arguments."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import fsspec

from pipelines.console import ProgressLine, print_summary
from pipelines.prepare import check_output, clear_output, prepare, used_models
from pipelines.runner import is_local, local_workers, options_of, run_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from router.job import Job

_LOGGER = logging.getLogger(__name__)


def run_job(
    job: Job, beam_options: Sequence[str], *, limit: int | None, fresh: bool, console: Console
) -> int:
    """Run a job to its end and show what came out; returns the exit code (0, or 3: too many dead letters).

    Raises `JobFailedError` where the job began and could not end (nothing half-written is left), and what
    `prepare` and `check_output` raise before it begins.
    """
    options = options_of(beam_options)
    if job.budget is not None and not is_local(options):
        raise ValueError(
            "budget.max_usd: can only be kept on this machine so far; remove it, or run without --runner"
        )
    plan = prepare(job, workers=local_workers(options), limit=limit)
    if check_output(job, fresh=fresh) is not None:
        console.print(f"{job.output.path} is finished already; nothing to do (--fresh starts over)")
        return 0
    done = False
    try:
        if is_local(options):
            with ProgressLine(plan.state, console):
                run_plan(plan, options)
        else:
            run_plan(plan, options)
        done = True
    finally:
        if not done:
            clear_output(plan.ending.output)
    summary = read_summary(plan.ending.output)
    print_summary(summary, plan.ending.output, console)
    return 3 if too_many_dead(summary, job.limits.max_dead_letter_fraction) else 0


def too_many_dead(summary: dict[str, Any], allowed: float) -> bool:
    """Whether more of the records read became dead letters than the job file allows."""
    records = summary["records"]
    if records["dead_lettered"] <= allowed * records["read"]:
        return False
    _LOGGER.error(
        "%s of %s records are dead letters, more than limits.max_dead_letter_fraction (%g) allows: see dead_letters-*",
        records["dead_lettered"],
        records["read"],
        allowed,
    )
    return True


def read_summary(output: str) -> dict[str, Any]:
    """The summary of a finished output. Raises `FileNotFoundError` where there is none."""
    filesystem, folder = fsspec.core.url_to_fs(output)
    summary: dict[str, Any] = json.loads(filesystem.cat_file(f"{folder}/summary.json"))
    return summary


def check_job(job: Job, console: Console) -> None:
    """Do all that `run` does before it asks a model, and say what was found."""
    plan = prepare(job, workers=1)
    columns = plan.reader.schema.names if plan.reader.schema is not None else []
    console.print(f"{job.name}: {len(plan.splits)} split(s) of {job.input.path} to read", highlight=False)
    if columns:
        console.print(f"columns: {', '.join(columns)}", highlight=False)
    console.print(f"models: {', '.join(used_models(job))}. The job file is right.", highlight=False)
