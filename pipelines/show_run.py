"""What a finished run came to: its summary, shown, and the exit code that follows from it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import fsspec

from pipelines.console import print_summary, say
from pipelines.errors import DONE, TOO_MANY_DEAD
from pipelines.output_folder import waiting_records

if TYPE_CHECKING:
    from rich.console import Console

    from router.job import Job


def show_run(job: Job, output: str, console: Console) -> int:
    """Show what a finished run came to; returns its exit code (0, or 3: too many dead letters)."""
    summary = read_summary(output)
    print_summary(summary, output, console)
    waiting = waiting_records(summary)
    if waiting:
        say(
            console,
            f"{waiting:,} records wait for a model that was not available: the same command asks again",
        )
    allowed = job.limits.max_dead_letter_fraction
    if not too_many_dead(summary, allowed):
        return DONE
    records = summary["records"]
    say(
        console,
        f"{records['dead_lettered']:,} of {records['read']:,} records are dead letters, more than "
        f"limits.max_dead_letter_fraction ({allowed:g}) allows: see dead_letters-*",
    )
    return TOO_MANY_DEAD


def too_many_dead(summary: dict[str, Any], allowed: float) -> bool:
    """Whether more of the records read became dead letters than the job file allows."""
    records = summary["records"]
    return bool(records["dead_lettered"] > allowed * records["read"])


def read_summary(output: str) -> dict[str, Any]:
    """The summary of a finished output. Raises `FileNotFoundError` where there is none."""
    filesystem, folder = fsspec.core.url_to_fs(output)
    summary: dict[str, Any] = json.loads(filesystem.cat_file(f"{folder}/summary.json"))
    return summary
