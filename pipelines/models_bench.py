"""`tekizai models bench`: size, memory, speed and quality of model files on the same records."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from dataclasses import asdict
from importlib import metadata
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pipelines.errors import JobFailedError
from router.assets import asset_path
from router.bias import LEAST_SAMPLE, estimate_bias
from router.catalogue import load_catalogue
from router.journal import local_fingerprint
from router.model_bench import read_said, speed, turn_of, worth
from transforms.label_scorer import PromptTooLongError
from transforms.llama_adapter import ModelFileError
from transforms.model_figures import BenchModel, Scored, open_bench
from transforms.own_process import OwnProcess, ProcessDiedError
from transforms.text_encoder import ENCODER, read_card

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipelines.model_source import FoundModel
    from pipelines.models_bench_data import BenchTask
    from router.bias import LabelBias
    from router.model_bench import Said
    from router.records import Answer

TURNS = 10
"""Into so many parts the records are cut; each part is answered by one model after the other."""

_Process = OwnProcess[tuple[str, ...], Scored]


def bench_models(
    models: Sequence[FoundModel], bench: BenchTask, threads: int, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Ask every model about the records, by turns and each in a process of its own; returns JSON values.

    `tell` gets a few words whenever something else begins.
    Raises `ModelFileError` or `PromptTooLongError` for a model that cannot be asked, and `JobFailedError`
    where its process dies.
    """
    wanted = [_wanted(number, found, bench, threads) for number, found in enumerate(models, 1)]
    replies = _ask_by_turns(models, wanted, bench, tell)
    said = [_said(one, bench) for one in replies]
    turns = [[turn_of(reply.answers) for reply in one] for one in replies]
    multi = bench.task.kind == "multi_label"
    return {
        "task": bench.task.model_dump(mode="json"),
        "data": _data(bench),
        "threads": threads,
        "label_free": _sample(bench),
        "versions": {name: metadata.version(name) for name in ("tekizai", "llama-cpp-python")},
        "models": [
            {
                **_about(found, asked, bench),
                "memory": asdict(one[-1].memory),
                "speed": speed(own, turns[0]),
                **worth(read, said[0], bench.truth, multi=multi),
            }
            for found, asked, one, own, read in zip(models, wanted, replies, turns, said, strict=True)
        ],
    }


def _about(found: FoundModel, asked: BenchModel, bench: BenchTask) -> dict[str, Any]:
    """Which model it is; its fingerprint is what a run's journal calls it with this task."""
    entry = load_catalogue(asset_path("configs/models.yaml")).entry(found.source)
    encoder, digest = read_card(asset_path(ENCODER)).digest, found.file.sha256
    return {
        "given": found.given,
        "source": found.source,
        "file": {**asdict(found.file), "lineage": found.file.lineage},
        "fingerprint": local_fingerprint(
            bench.task, asked.model, digest, entry, bench.chosen, encoder=encoder
        ),
    }


def _wanted(number: int, found: FoundModel, bench: BenchTask, threads: int) -> BenchModel:
    prompts = {} if bench.chosen is None else {bench.task.name: bench.chosen}
    return BenchModel(str(number), found.model, threads, prompts)


def parts_of(texts: tuple[str, ...], count: int) -> list[tuple[str, ...]]:
    """The texts in order, in at most so many parts whose sizes differ by one at most; none is empty."""
    parts = min(count, len(texts))
    ends = [number * len(texts) // parts for number in range(parts + 1)]
    return [texts[begin:end] for begin, end in pairwise(ends)]


def _ask_by_turns(
    models: Sequence[FoundModel],
    wanted: Sequence[BenchModel],
    bench: BenchTask,
    tell: Callable[[str], None],
) -> list[list[Scored]]:
    """What each model said of each part. The model that begins changes from part to part."""
    parts = parts_of(tuple(record.text for record in bench.records), TURNS)
    replies: list[list[Scored]] = [[] for _ in models]
    with ExitStack() as stack:
        processes = [stack.enter_context(_Process(open_bench, one, bench.task)) for one in wanted]
        for found, process in zip(models, processes, strict=True):
            tell(f"loading {found.given}")
            # Loading, and the pages that are touched for the first time, are not to be timed.
            _ask(found, process, parts[0][:1])
        for number, part in enumerate(parts):
            tell(f"turn {number + 1} of {len(parts)}")
            for place in range(len(models)):
                which = (number + place) % len(models)
                replies[which].append(_ask(models[which], processes[which], part))
    return replies


def _ask(found: FoundModel, process: _Process, texts: tuple[str, ...]) -> Scored:
    try:
        return process.ask(texts)
    except ProcessDiedError as error:
        raise JobFailedError(
            f"{found.given}: {error}; if memory is short, give fewer models at once"
        ) from error
    except ModelFileError as error:
        raise ModelFileError(f"{found.given}: {str(error).partition(': ')[2]}") from error
    except PromptTooLongError as error:
        raise PromptTooLongError(f"{found.given}: {error}") from error


def _sample(bench: BenchTask) -> int:
    """How many records the mean prediction is taken over; 0 where scores are taken as they are."""
    settings = bench.job.calibration
    size = min(settings.sample, len(bench.records))
    return size if settings.label_free and size >= LEAST_SAMPLE else 0


def _said(replies: Sequence[Scored], bench: BenchTask) -> list[Said | None]:
    answers = [answer for reply in replies for answer in reply.answers]
    return read_said(answers, bench.task, _bias(answers[: _sample(bench)], bench))


def _bias(sample: Sequence[Answer], bench: BenchTask) -> LabelBias | None:
    scores = [answer.scores.probabilities for answer in sample if answer.scores is not None]
    return estimate_bias(sample[0].model, bench.task.name, scores) if scores else None


def _data(bench: BenchTask) -> dict[str, Any]:
    rows = [[record.text, gold] for record, gold in zip(bench.records, bench.truth, strict=True)]
    source = bench.job.input
    return {
        "path": source.path,
        "text": source.text,
        "gold": source.gold,
        "records": len(rows),
        "sha256": hashlib.sha256(json.dumps(rows).encode()).hexdigest(),
    }
