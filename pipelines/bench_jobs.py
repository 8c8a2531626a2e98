"""The sections of the benchmark that run whole jobs: what the pipeline costs, and how it grows."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from pipelines.bench_job import JobRun
from pipelines.errors import JobFailedError
from router.bench_figures import Spread, digits, ratio_of_turns
from transforms.bench_texts import job_rows
from transforms.process_memory import PeakMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MODELS = ("small", "other", "large")
_LEAST_SIZE = 1000
_TWO = 2


@dataclass(frozen=True, slots=True)
class JobSize:
    """How much is measured."""

    repeats: int
    records: int
    """Of the job; of the largest one where there are several."""
    tell: Callable[[str], None]


def bench_pipeline(size: JobSize, *, whole_router: bool = True) -> dict[str, Any]:
    """Jobs whose models take no time, and the same with all their answers in the journal.

    With what the rules need of the router, which is what the pipeline itself costs, and with the whole
    router, as jobs have it by default.
    """
    with tempfile.TemporaryDirectory() as name:
        place = _Place(pathlib.Path(name), size.records)
        ways = {"rules_only": _journaled(place, size, "needed")}
        if whole_router:
            ways["all_routes"] = _journaled(place, size, "all")
        size.tell("where the time goes")
        looked = place.run("looked", journal="needed-0", sample=True)
    return {
        "records": size.records,
        "outcome": {**looked["records"], **looked["status"]},
        "ways": ways,
        "stages": {
            "of": "rules_only, answers in the journal",
            "how": "what running threads were at, looked at 200 times a second, in a run of its own",
            "seconds": digits(looked["seconds"]),
            "shares": {stage: digits(share) for stage, share in looked["stages"].items()},
        },
    }


def _journaled(place: _Place, size: JobSize, find: str) -> dict[str, Any]:
    """Jobs that ask, and jobs that find all answers in the journal; with the whole, slow router one asks."""
    asked: list[dict[str, Any]] = []
    known: list[dict[str, Any]] = []
    for turn in range(size.repeats):
        said = f"turn {turn + 1} of {size.repeats}, router.find {find}: {size.records:,} records"
        if find == "needed" or not asked:
            size.tell(f"{said}, models that take no time")
            asked.append(place.run(f"{find}-{turn}", find=find))
        size.tell(f"{said}, answers in the journal")
        known.append(place.run(f"{find}-known-{turn}", journal=f"{find}-0", find=find))
    return {
        "models_take_no_time": _speed(asked, size.records),
        "answers_in_journal": _speed(known, size.records),
    }


def bench_scale(size: JobSize, source: str, model_records: int) -> dict[str, Any]:
    """One against two worker processes with a real model; then larger and larger jobs with none."""
    return {"processes": one_against_two(size, source, model_records), "sizes": growing(size)}


def growing(size: JobSize) -> list[dict[str, Any]]:
    """Jobs of 1,000 records and more whose models take no time: how long, and how much memory."""
    found = []
    for records in sizes_up_to(size.records):
        size.tell(f"{records:,} records, models that take no time")
        with tempfile.TemporaryDirectory() as name:
            run = _Place(pathlib.Path(name), records).run("out")
        speed = {"seconds": run["seconds"], "records_per_second": records / run["seconds"]}
        figures = {name: digits(value) for name, value in {**speed, "peak_mib": run["peak_mib"]}.items()}
        found.append({"records": records, **figures})
    return found


def sizes_up_to(most: int) -> list[int]:
    """1,000, ten times that, and so on, up to the largest one, which is always there."""
    found = []
    size = _LEAST_SIZE
    while size < most:
        found.append(size)
        size *= 10
    return [*found, most]


def one_against_two(size: JobSize, source: str, records: int) -> dict[str, Any]:
    """The same records with one and with two worker processes, each of one thread, by turns."""
    found: dict[int, list[dict[str, Any]]] = {1: [], _TWO: []}
    with tempfile.TemporaryDirectory() as name:
        place = _Place(pathlib.Path(name), records, source)
        for turn in range(size.repeats):
            for processes in (1, _TWO) if turn % 2 == 0 else (_TWO, 1):
                size.tell(f"turn {turn + 1} of {size.repeats}: {processes} worker process(es) of one thread")
                found[processes].append(place.run(f"{processes}-{turn}", processes=processes))
    rates = {count: [records / one["seconds"] for one in runs] for count, runs in found.items()}
    # What both spend before a model is loaded and after the last answer hides how the models get on together.
    answering = {
        count: [count * records / max(one["model_seconds"], 1e-9) for one in runs]
        for count, runs in found.items()
    }
    return {
        "model": source,
        "records": records,
        "records_per_second": {str(count): Spread.of(one).as_json() for count, one in rates.items()},
        "peak_mib": {
            str(count): digits(max(one["peak_mib"] for one in runs)) for count, runs in found.items()
        },
        "ratio": ratio_of_turns(rates[_TWO], rates[1]).as_json(),
        "ratio_while_answering": ratio_of_turns(answering[_TWO], answering[1]).as_json(),
    }


class _Place:
    """A folder with an input of so many records, in which jobs are run."""

    def __init__(self, folder: pathlib.Path, records: int, source: str | None = None) -> None:
        self._folder = folder
        self._run = JobRun(str(folder / "in.jsonl"), "", source)
        with (folder / "in.jsonl").open("w", encoding="utf-8") as stream:
            stream.writelines(_lines(records, plain=source is not None))
        if source is None:
            from transforms.bench_model import no_model  # noqa: PLC0415 - Beam takes seconds

            for model in _MODELS:
                no_model(folder, model)

    def run(self, name: str, *, journal: str | None = None, **how: Any) -> dict[str, Any]:  # noqa: ANN401
        """Run the job into a folder of its own, with the answers that another run left; `how` as `JobRun`."""
        output = self._folder / name
        if journal is not None:
            shutil.copytree(self._folder / journal / "state" / "journal", output / "state" / "journal")
        return run_apart(replace(self._run, output=str(output), **how))


def _lines(records: int, *, plain: bool) -> Iterator[str]:
    return (json.dumps(row, ensure_ascii=False) + "\n" for row in job_rows(records, plain=plain))


def run_apart(run: JobRun) -> dict[str, Any]:
    """Run a job in a process of its own; its figures, with the most memory that it and its workers held.

    Raises `JobFailedError` with what it said.
    """
    command = [sys.executable, "-m", "pipelines.bench_job"]
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)  # noqa: S603 - our own
    try:
        with PeakMemory(child.pid) as memory:
            said, trouble = child.communicate(json.dumps(asdict(run)))
    finally:
        child.kill()
        child.wait()
    if child.returncode:
        raise JobFailedError(f"the benchmark's job failed: {trouble.strip().rpartition(chr(10))[2]}")
    figures: dict[str, Any] = json.loads(said)
    return {**figures, "peak_mib": memory.peak_mib, "processes": memory.most_processes}


def _speed(runs: list[dict[str, Any]], records: int) -> dict[str, Any]:
    return {
        "records_per_second": Spread.of([records / one["seconds"] for one in runs]).as_json(),
        "seconds": Spread.of([one["seconds"] for one in runs]).as_json(),
        "cpu_seconds": Spread.of([one["cpu_seconds"] for one in runs]).as_json(),
        "peak_mib": digits(max(one["peak_mib"] for one in runs)),
    }
