"""`tekizai route`: what the router finds in each line, and which model a job would choose."""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import fsspec

from router.findings import Wanted
from router.records import Position, Record
from router.rules import choose_model, decisive, why_matched
from transforms.route_records import BATCH, LoadedRouter, RouterPlace, load_router, place_router
from transforms.splits import InputError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from router.job import Job


def lines_of(source: str) -> Iterator[bytes]:
    """The lines of a file or URL; `-` is standard input. Raises `InputError`."""
    if source == "-":
        yield from sys.stdin.buffer
        return
    try:
        with fsspec.open(source, "rb", compression="infer") as stream:
            yield from stream
    # Every filesystem has exception types of its own, and here all of them mean the same to the user.
    except Exception as error:
        raise InputError(
            f"{source}: cannot be read ({one_line(error)}); give a JSONL file, or - for stdin"
        ) from error


def route_lines(lines: Iterable[bytes], job: Job | None) -> Iterator[dict[str, Any]]:
    """A route for each line that is not blank, in order; a line that cannot be routed has an `error`.

    With a job, its rules choose a model; without, `model` and `rule` are None.
    """
    router = load_router(RouterPlace() if job is None else place_router(job))
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    while batch := list(itertools.islice(numbered, BATCH)):
        parsed = [(number, _row(line, job)) for number, line in batch]
        rows = [row for _, row in parsed if not isinstance(row, str)]
        routed = iter(_routed(rows, router, job))
        for number, row in parsed:
            yield {"line": number, "error": row} if isinstance(row, str) else next(routed)


def _row(line: bytes, job: Job | None) -> dict[str, Any] | str:
    """The fields of a line, or why there are none."""
    column = "text" if job is None else job.input.text
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"not JSON: {one_line(error)}"
    if not isinstance(row, dict):
        return 'not an object; give {"text": ...}'
    if not isinstance(row.get(column), str):
        return f"no text in {column!r}"
    return row


def _routed(rows: list[dict[str, Any]], router: LoadedRouter, job: Job | None) -> Iterator[dict[str, Any]]:
    column = "text" if job is None else job.input.text
    texts = [row[column] for row in rows]
    wanted = Wanted() if job is None else Wanted(task=decisive(job).task)
    sorted_tasks = router.sort(texts) if router.sort is not None and texts else [None] * len(texts)
    for row, text, task, found in zip(
        rows, texts, sorted_tasks, router.router.find(texts, wanted), strict=True
    ):
        known = {} if row.get("id") is None else {"id": row["id"]}
        if job is None:
            yield {**known, **asdict(found), "model": None, "rule": None}
            continue
        name = task or (row.get(job.input.task) if job.input.task else None) or job.tasks[0].name
        record = Record(Position(0, 0), "", text, str(name), None, b"")
        route = choose_model(record, found, job.routing, job.models)
        met = "" if route.rule is None else why_matched(job.routing.rules[route.rule].when, record, route)
        yield {
            **known,
            **asdict(found),
            "task": route.task,
            "model": route.model,
            "rule": route.rule,
            "because": met,
        }
