"""What `tekizai models bench` asks about: a task with labelled records, from a job file or from options."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from router.calibration import ChosenPrompt
from router.identity import text_key
from router.job import ExampleSource
from router.job_generation import GENERATE
from router.job_loading import load_job, parse_job
from router.job_wording import suggestion
from router.model_bench import read_truth
from router.prompt_search import DRAWS, FIRST_COUNT, draw_examples
from router.records import Record
from router.sampling import SmallestKeys
from transforms.files import read_file
from transforms.read_columns import told_columns
from transforms.read_examples import read_examples
from transforms.read_records import Reader, read_validated
from transforms.reading import plan_input
from transforms.splits import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.job import Job, Task

_OPTIONS = {"input.path": "--data", "input.text": "--text", "input.gold": "--gold"}
_INSTRUCTION = "Which label fits the text?"


@dataclass(frozen=True)
class BenchOptions:
    """What the command line says of the task and the records; None where it says nothing."""

    job: str | None = None
    sets: Mapping[str, str] = field(default_factory=dict)
    task: str | None = None
    data: str | None = None
    text: str | None = None
    gold: str | None = None
    labels: str | None = None
    instruction: str | None = None
    records: int = 300


@dataclass(frozen=True)
class BenchTask:
    """A task and the records to ask about."""

    job: Job
    task: Task
    records: tuple[Record, ...]
    """In the order in which a run would draw its sample from them; each has a true label and its own text."""
    truth: tuple[str, ...]
    """The true label of each, in the form of `router.model_bench.Said.label`."""
    chosen: ChosenPrompt | None
    """The examples, where they come from a file of their own."""


def read_bench(options: BenchOptions) -> BenchTask:
    """The task, and as many records as are wanted of those that have a true label.

    They are drawn by their texts' digests: a file may be sorted. Raises `ValueError` with what to do.
    """
    job, task = _job_and_task(options)
    try:
        records = _records(job, task, options.records)
        return BenchTask(job, task, records, tuple(read_truth(records, task)), _examples(job, task))
    except ValueError as error:
        raise InputError(_in_options(str(error), _OPTIONS)) from error


def _job_and_task(options: BenchOptions) -> tuple[Job, Task]:
    if options.job is None:
        return _from_options(options)
    if options.labels is not None or options.instruction is not None:
        raise ValueError("--job says the labels and the instruction; leave --labels and --instruction out")
    job = load_job(options.job, sets=options.sets, read=read_file)
    task = _task_of(job, options.task)
    given = {"path": options.data, "text": options.text, "gold": options.gold}
    source = job.input.model_copy(update={name: value for name, value in given.items() if value is not None})
    if source.gold is None:
        raise ValueError(f"{options.job}: names no column with true labels; give --gold COLUMN")
    return job.model_copy(update={"input": source, "tasks": (task,)}), task


def _task_of(job: Job, wanted: str | None) -> Task:
    names = [task.name for task in job.tasks]
    if wanted is None and len(names) > 1:
        raise ValueError(f"the job has {len(names)} tasks; give --task with one of {', '.join(names)}")
    name = names[0] if wanted is None else wanted
    if name not in names:
        raise ValueError(f"--task: {name!r} is no task of the job; {suggestion(name, names)}")
    task = job.tasks[names.index(name)]
    if task.kind == GENERATE:
        raise ValueError(f"task {name!r} is of kind generate; this compares models that choose labels")
    return task


def _from_options(options: BenchOptions) -> tuple[Job, Task]:
    if options.task is not None:
        raise ValueError("--task belongs to --job: without one the options describe the only task")
    needed = {"--data": options.data, "--gold": options.gold, "--labels": options.labels}
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise ValueError(f"{missing[0]} is missing; give it, or --job JOB.yaml, whose task is taken")
    labels = [name.strip() for name in (options.labels or "").split(",")]
    source = {"path": options.data, "text": options.text or "text", "gold": options.gold}
    said = {
        "name": "bench",
        "input": source,
        "output": {"path": "out"},
        "tasks": [
            {
                "name": options.gold,
                "instruction": options.instruction or _INSTRUCTION,
                "labels": [{"name": name} for name in labels],
            }
        ],
        "models": {"bench": {"engine": "llama_cpp", "source": "bench.gguf"}},
        "routing": {"default": "bench"},
    }
    # A dollar sign of an option is one, and no place for a value of the environment.
    job = parse_job(json.dumps(said).replace("${", "$${"), name="--labels")
    return job, job.tasks[0]


def _records(job: Job, task: Task, most: int) -> tuple[Record, ...]:
    plan = plan_input(job.input)
    reader = Reader(job, plan.schema)
    kept = SmallestKeys[Record](most, lambda record: record.position)
    for split in plan.splits:
        for row in read_validated(split, reader, with_payload=False):
            if isinstance(row, Record) and row.gold is not None:
                kept.offer(text_key(row.text, task.name), row)
    found = tuple(record for _, record in kept.items())
    if not found:
        raise InputError(
            f"input.gold: no row of {job.input.path} that can be annotated has a {job.input.gold!r}; "
            f"{told_columns(job.input, plan, job.input.gold)}: name the one with the true labels"
        )
    return found


def read_labelled(task: Task, path: str, text: str, label: str, most: int) -> tuple[Record, ...]:
    """Rows of a file that have a text and a true label of the task, drawn by their texts' digests.

    Raises `InputError` where there is none, and `ValueError` for a label that the task does not have.
    """
    options = BenchOptions(data=path, text=text, gold=label, labels="a,b")
    job = _from_options(options)[0].model_copy(update={"tasks": (task,)})
    try:
        records = _records(job, task, most)
        read_truth(records, task)
    except ValueError as error:
        raise InputError(_in_options(str(error), {**_OPTIONS, "input.gold": "--label"})) from error
    return records


def _in_options(said: str, options: Mapping[str, str]) -> str:
    for theirs, ours in options.items():
        said = said.replace(theirs, ours)
    return said


def _examples(job: Job, task: Task) -> ChosenPrompt | None:
    """Drawn as a run draws them."""
    if not isinstance(task.examples, ExampleSource):
        return None
    pool = read_examples(job, task, task.examples)
    return ChosenPrompt(None, draw_examples(pool, task.label_names, FIRST_COUNT, DRAWS[0]))
