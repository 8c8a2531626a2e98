"""`tekizai pack measure`: a pack's prompt against the plain one, on labelled rows and the same model."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipelines.models_bench import TURNS, parts_of
from pipelines.models_bench_data import read_labelled
from router.bias import estimate_bias
from router.evaluation import share
from router.job import Label, LlamaCppModel
from router.model_bench import read_said, read_truth, speed, turn_of
from transforms.model_figures import BenchModel, Scored, open_bench
from transforms.own_process import OwnProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipelines.model_source import FoundModel
    from router.domain_pack import FoundPack
    from router.job import Task
    from router.model_bench import Said
    from router.records import Answer, Record

_SAMPLE = 200
"""As many records as a job's label-free calibration looks at, where it says nothing."""

_Process = OwnProcess[tuple[str, ...], Scored]


@dataclass(frozen=True, slots=True)
class Rows:
    """Labelled rows to measure on."""

    path: str
    text: str
    label: str
    most: int


def plain_task(task: Task) -> Task:
    """The task as one would write it in a minute: labels' names and one line, no description, no example."""
    labels = tuple(Label(name=label.name) for label in task.labels)
    instruction = f"Classify the {task.name.replace('_', ' ')} of the text."
    return task.model_copy(update={"instruction": instruction, "labels": labels, "examples": ()})


def measure_pack(
    found: FoundPack, model: FoundModel, rows: Rows, *, threads: int, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Ask a model about the same rows with the plain prompt and with the pack's, by turns.

    Returns JSON values. Raises `InputError` for rows that do not fit, and what `open_bench` raises.
    """
    task = found.pack.task
    if task.kind == "generate":
        raise ValueError(f"pack {found.pack.name}: its task writes answers, which have no one right label")
    records = read_labelled(task, rows.path, rows.text, rows.label, rows.most)
    tasks = {"plain": plain_task(task), "pack": task}
    answers = _by_turns(model, tasks, records, threads, tell)
    truth = read_truth(records, task)
    said = {name: _readings(answers[name], tasks[name]) for name in tasks}
    turns = {name: [turn_of(turn) for turn in answers[name]] for name in tasks}
    return {
        "pack": found.pack.name,
        "digest": found.digest,
        "model": model.source,
        "model_sha256": model.file.sha256,
        "rows": {"path": rows.path, "records": len(records)},
        "prompts": {
            name: {
                "accuracy": {how: _right(one, truth) for how, one in said[name].items()},
                "records_per_second": speed(turns[name], turns["plain"])["records_per_second"],
                "times_plain": speed(turns[name], turns["plain"])["times_first"],
                "prefix_tokens": _prefix(answers[name]),
            }
            for name in tasks
        },
        "changed": {how: _changed(said["plain"][how], said["pack"][how], truth) for how in said["plain"]},
    }


def _by_turns(
    model: FoundModel,
    tasks: Mapping[str, Task],
    records: Sequence[Record],
    threads: int,
    tell: Callable[[str], None],
) -> dict[str, list[tuple[Answer, ...]]]:
    """What was answered to each part of the records, by prompt; who begins changes from part to part."""
    asked = BenchModel("model", LlamaCppModel(engine="llama_cpp", source=model.source), threads, {})
    parts = parts_of(tuple(record.text for record in records), TURNS)
    found: dict[str, list[tuple[Answer, ...]]] = {name: [] for name in tasks}
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(_Process(open_bench, asked, task)) for name, task in tasks.items()
        }
        for name, process in processes.items():
            tell(f"loading {model.given} with the {name} prompt")
            # Loading is not to be timed.
            process.ask(parts[0][:1])
        for number, part in enumerate(parts):
            tell(f"part {number + 1} of {len(parts)}")
            for name in sorted(tasks, reverse=bool(number % 2)):
                found[name].append(processes[name].ask(part).answers)
    return found


def _readings(turns: Sequence[tuple[Answer, ...]], task: Task) -> dict[str, list[Said | None]]:
    """The answers as a run without a calibration reads them, divided by their mean, and as they are."""
    answers = [answer for turn in turns for answer in turn]
    scores = [one.scores.probabilities for one in answers[:_SAMPLE] if one.scores is not None]
    bias = estimate_bias(answers[0].model, task.name, scores) if scores else None
    return {"as_they_are": read_said(answers, task, None), "label_free": read_said(answers, task, bias)}


def _right(said: Sequence[Said | None], truth: Sequence[str]) -> dict[str, Any]:
    right = sum(one is not None and one.label == gold for one, gold in zip(said, truth, strict=True))
    return asdict(share(right, len(truth)))


def _changed(
    plain: Sequence[Said | None], pack: Sequence[Said | None], truth: Sequence[str]
) -> dict[str, int]:
    """How many records only the pack's prompt gets right, and how many only the plain one."""
    before = [one is not None and one.label == gold for one, gold in zip(plain, truth, strict=True)]
    now = [one is not None and one.label == gold for one, gold in zip(pack, truth, strict=True)]
    return {
        "gained": sum(new and not old for old, new in zip(before, now, strict=True)),
        "lost": sum(old and not new for old, new in zip(before, now, strict=True)),
    }


def _prefix(turns: Sequence[tuple[Answer, ...]]) -> int:
    return max((one.usage.cached_tokens for turn in turns for one in turn), default=0)
