"""What the commands do, apart from reading their arguments."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import fsspec

from pipelines.console import ProgressLine, print_summary, say
from pipelines.errors import OutputError
from pipelines.output_folder import claim_output, clear_output
from pipelines.prepare import prepare, used_models
from pipelines.runner import is_local, local_workers, options_of, run_plan
from transforms.write_report import write_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from router.job import Job


def run_job(
    job: Job, beam_options: Sequence[str], *, limit: int | None, fresh: bool, console: Console
) -> int:
    """Run a job to its end and show what came out; returns the exit code (0, or 3: too many dead letters).

    Raises `JobFailedError` where the job began and could not end (nothing half-written is left), and what
    `prepare` and `claim_output` raise before it begins.
    """
    options = options_of(beam_options)
    if job.budget is not None and not is_local(options):
        raise ValueError(
            "budget.max_usd: can only be kept on this machine so far; remove it, or run without --runner"
        )
    plan = prepare(job, workers=local_workers(options), limit=limit)
    output = plan.ending.output
    if claim_output(output, plan.ending.manifest["job_digest"], fresh=fresh):
        say(console, f"{output} is finished already; nothing to do (--fresh starts over)")
        return 0
    with contextlib.ExitStack() as cleaning:
        cleaning.callback(clear_output, output)
        with ProgressLine(plan.state, console) if is_local(options) else contextlib.nullcontext():
            run_plan(plan, options)
        cleaning.pop_all()
    summary = read_summary(output)
    print_summary(summary, output, console)
    if not too_many_dead(summary, job.limits.max_dead_letter_fraction):
        return 0
    records = summary["records"]
    say(
        console,
        f"{records['dead_lettered']:,} of {records['read']:,} records are dead letters, more than "
        f"limits.max_dead_letter_fraction ({job.limits.max_dead_letter_fraction:g}) allows: see "
        "dead_letters-*",
    )
    return 3


def too_many_dead(summary: dict[str, Any], allowed: float) -> bool:
    """Whether more of the records read became dead letters than the job file allows."""
    records = summary["records"]
    return bool(records["dead_lettered"] > allowed * records["read"])


def read_summary(output: str) -> dict[str, Any]:
    """The summary of a finished output. Raises `FileNotFoundError` where there is none."""
    filesystem, folder = fsspec.core.url_to_fs(output)
    summary: dict[str, Any] = json.loads(filesystem.cat_file(f"{folder}/summary.json"))
    return summary


def report_output(output: str, console: Console) -> None:
    """Write `report.html` of a finished output anew. Raises `OutputError` where there is no such output."""
    filesystem, folder = fsspec.core.url_to_fs(output.rstrip("/"))
    if not filesystem.exists(f"{folder}/summary.json"):
        raise OutputError(f"{output}: there is no summary.json; give the output folder of a finished job")
    state = f"{folder}/state/manifest.json"
    manifest = json.loads(filesystem.cat_file(state)) if filesystem.exists(state) else {}
    review = [
        line
        for path in sorted(filesystem.glob(f"{folder}/review-*.jsonl"))
        for line in filesystem.cat_file(path).splitlines()
    ]
    write_report(filesystem, folder, read_summary(output), manifest, review)
    say(console, f"wrote {output.rstrip('/')}/report.html")


def check_job(job: Job, console: Console) -> None:
    """Do all that `run` does before it asks a model, and say what was found."""
    plan = prepare(job, workers=1)
    say(console, f"{job.name}: {len(plan.splits)} split(s) of {job.input.path} to read")
    if plan.reader.schema is not None:
        say(console, f"columns: {', '.join(plan.reader.schema.names)}")
    say(console, f"models: {', '.join(used_models(job))}. The job file is right.")
