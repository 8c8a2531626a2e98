"""`tekizai adapters train`: a LoRA adapter for a small model, from the answers that a finished job holds."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import fsspec
import numpy as np
import polars as pl

from pipelines.errors import OutputError
from router.calibration import answers_of
from router.job import Job, LlamaCppModel
from transforms.adapter_rows import LabelledRow, share_right, training_texts, within
from transforms.label_scorer import LabelScorer, ScorerConfig
from transforms.llama_adapter import LlamaModel
from transforms.local_scorer import LocalModel, prompt_of
from transforms.lora_model import LoraModel, shared_model
from transforms.model_files import fetch_model
from transforms.train_adapter import LoraSettings, as_lora, load_weights, train_lora
from transforms.write_adapter import write_adapter

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Sequence

    from fsspec import AbstractFileSystem

    from router.job import Task
    from router.prompts import LabelPrompt

HELD_BACK = 0.1
"""The part of the rows that is not trained on, to see what the adapter is worth."""
_MOST_HELD_BACK = 300
_LEAST = 20
_LONGEST = 512
"""Rows of more tokens are left out: they would take most of the time."""
_LIBRARIES = ("gguf", "peft", "torch")


@dataclass(frozen=True, slots=True)
class AdapterTraining:
    """What to train, and on what."""

    output: str
    model: str
    """The name of a local model in the output's job."""
    to: pathlib.Path
    task: str | None = None
    labels: Literal["llm", "gold"] = "llm"
    """Whose labels: the ones that `escalate_to` gave, or those of `input.gold`."""
    rows: int | None = None
    settings: LoraSettings = field(default_factory=LoraSettings)


def train_adapter(wanted: AdapterTraining, tell: Callable[[str], None]) -> dict[str, Any]:
    """Train an adapter, write it as GGUF, and compare it with the plain model on rows that it has not seen.

    Returns JSON values. Raises `OutputError` for an output that does not serve, `ModelFileError` for a model
    that cannot be used, and `ValueError` where the extra is not installed.
    """
    _check_libraries()
    filesystem, folder = fsspec.core.url_to_fs(wanted.output.rstrip("/"))
    job = _job(filesystem, folder, wanted.output)
    task, model = _task(job, wanted), _model(job, wanted)
    rows = _shuffled(_labelled(filesystem, folder, job, task, wanted), wanted)
    held = min(round(HELD_BACK * len(rows)), _MOST_HELD_BACK)
    path = fetch_model(wanted.model, model)
    weights = shared_model(path)
    local = LocalModel(wanted.model, model, wanted.settings.threads, Decimal(0))
    _, prompt, _ = prompt_of(weights, local, task)
    texts, long = within(training_texts(weights, task, prompt, rows[held:]), _LONGEST)
    tokens = sum(len(one.prompt) + len(one.answer) for one in texts)
    tell(f"{len(texts):,} texts of {tokens / len(texts):.0f} tokens; {held} rows are held back")
    trained = train_lora(load_weights(path), texts, wanted.settings, tell)
    wanted.to.parent.mkdir(parents=True, exist_ok=True)
    write_adapter(wanted.to, as_lora(trained, wanted.settings.alpha), path)
    del trained
    tell(f"{wanted.to} is written; asking the plain model and the adapted one about {held} rows")
    adapted = LoraModel(weights, wanted.to, 1.0)
    return {
        "adapter": str(wanted.to),
        "bytes": wanted.to.stat().st_size,
        "model": wanted.model,
        "task": task.name,
        "labels": wanted.labels,
        "rows": {"trained_on": len(rows) - held, "held_back": held, "too_long": long},
        "tokens": tokens,
        "held_back": {
            "plain": _right(weights, task, prompt, rows[:held]),
            "adapted": _right(adapted, task, prompt, rows[:held]),
        },
    }


def _check_libraries() -> None:
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"{', '.join(missing)} not installed; run: pip install 'tekizai[train]'")


def _job(filesystem: AbstractFileSystem, folder: str, output: str) -> Job:
    try:
        manifest = json.loads(filesystem.cat_file(f"{folder}/state/manifest.json"))
        return Job.model_validate(manifest["job"])
    except (OSError, KeyError, ValueError) as error:
        raise OutputError(
            f"{output}: has no manifest that can be read; give a finished job's output"
        ) from error


def _task(job: Job, wanted: AdapterTraining) -> Task:
    names = [task.name for task in job.tasks]
    if wanted.task is None and len(names) > 1:
        raise OutputError(
            f"{wanted.output}: its job has several tasks; name one of {', '.join(names)} (--task)"
        )
    found = next((task for task in job.tasks if wanted.task in {None, task.name}), None)
    if found is None:
        raise OutputError(f"{wanted.output}: its job has no task {wanted.task}; known: {', '.join(names)}")
    return found


def _model(job: Job, wanted: AdapterTraining) -> LlamaCppModel:
    model = dict(job.models).get(wanted.model)
    if not isinstance(model, LlamaCppModel):
        names = ", ".join(name for name, one in job.models.items() if isinstance(one, LlamaCppModel))
        raise OutputError(f"{wanted.output}: its job has no local model {wanted.model}; known: {names}")
    return model


def _labelled(
    filesystem: AbstractFileSystem, folder: str, job: Job, task: Task, wanted: AdapterTraining
) -> list[LabelledRow]:
    """The output's rows of the task that have a label to learn."""
    gold, large = job.input.gold, job.routing.escalate_to
    if wanted.labels == "gold" and gold is None:
        raise OutputError(f"{wanted.output}: its job names no column with true labels (input.gold)")
    if wanted.labels == "llm" and large is None:
        raise OutputError(f"{wanted.output}: its job escalates to no model; use --labels gold")
    found = []
    for row in _rows(filesystem, folder):
        annotation = row["annotation"]
        if annotation["task"] != task.name:
            continue
        label = annotation.get("label") if task.kind == "single_label" else annotation.get("labels")
        if wanted.labels == "gold":
            label = row.get(gold or "")
        elif annotation["model"] != large:
            continue
        labels = (label,) if isinstance(label, str) else tuple(label or ())
        if label is not None and set(labels) <= set(task.label_names):
            found.append(LabelledRow(row[job.input.text], labels))
    if len(found) < _LEAST:
        whose = "true labels" if wanted.labels == "gold" else f"answers of {large}"
        raise OutputError(
            f"{wanted.output}: {len(found)} rows of {task.name} have {whose}; some hundreds are needed"
        )
    return found


def _rows(filesystem: AbstractFileSystem, folder: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path in sorted(filesystem.glob(f"{folder}/annotations-*")):
        with filesystem.open(path, "rb") as stream:
            if path.endswith(".parquet"):
                rows += pl.read_parquet(stream, use_pyarrow=True).to_dicts()
            else:
                rows += [json.loads(line) for line in stream]
    return rows


def _shuffled(rows: Sequence[LabelledRow], wanted: AdapterTraining) -> list[LabelledRow]:
    """The rows in random order, each text once: a copy would be trained on and held back."""
    once = {row.text: row for row in rows}
    kept = [once[text] for text in sorted(once)]
    order = np.random.default_rng(wanted.settings.seed).permutation(len(kept))
    return [kept[place] for place in order][: wanted.rows]


def _right(model: LlamaModel, task: Task, prompt: LabelPrompt, rows: Sequence[LabelledRow]) -> float:
    """How many rows are labelled as they should be, by the scores as they are."""
    scorer = LabelScorer(model, task, prompt, ScorerConfig())
    multi = task.kind == "multi_label"
    scores = np.stack([scorer.score(row.text)[0].probabilities for row in rows])
    scorer.close()
    said = answers_of(scores, task.label_names, multi_label=multi)
    return share_right(said, rows)
