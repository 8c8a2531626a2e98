"""What past jobs show of complexity: where small and large model disagreed, or which of them was right."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import polars as pl

from pipelines.calibration_store import CalibrationError, load_artefact
from pipelines.errors import OutputError
from router.bias import estimate_bias
from router.evaluation import write_labels
from router.identity import text_key
from router.job import Job
from router.job_generation import GENERATE
from router.oracle import gold_labels, oracle_labels
from router.verdict import read_answer
from transforms.journal_scan import answers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fsspec import AbstractFileSystem

    from router.job import Task
    from router.records import Answer
    from router.verdict import Readings


@dataclass(frozen=True)
class Outcomes:
    """Records that both models answered, or one did whose gold label is known."""

    texts: Sequence[str]
    outcomes: Sequence[tuple[bool, bool]]
    """Whether the small and the large model were right."""
    confidences: Sequence[float | None]
    """How sure the small model was."""
    answers: Sequence[str]
    """What it said."""
    truths: Sequence[str]
    """What is right, written as the answers are."""


def is_output(url: str) -> bool:
    """Whether a folder is a finished output."""
    filesystem, folder = fsspec.core.url_to_fs(url.rstrip("/"))
    return bool(filesystem.exists(f"{folder}/summary.json"))


def read_outcomes(output: str) -> Outcomes:
    """What the journal of a finished output says of its records.

    The gold label is what is right; where a record has none, the large model's answer. A large model that was
    not asked counts as right: the gold label stands for it.

    Raises:
        OutputError: the folder has no manifest or no small model, or no record can be judged.
    """
    filesystem, folder = fsspec.core.url_to_fs(output.rstrip("/"))
    try:
        manifest = json.loads(filesystem.cat_file(f"{folder}/state/manifest.json"))
        job = Job.model_validate(manifest["job"])
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise OutputError(
            f"{output}: has no manifest that can be read; give a finished job's output"
        ) from error
    answers = _Answers(output.rstrip("/"), job, manifest["answers"])
    texts, judgements = [], []
    for row in _rows(filesystem, folder):
        text = row[job.input.text]
        judged = answers.judge(text, row["annotation"]["task"], row.get(job.input.gold or ""))
        if judged is not None:
            texts.append(text)
            judgements.append(judged)
    if not texts:
        raise OutputError(
            f"{output}: no record has a small model's answer and a gold label or a large model's answer"
        )
    outcomes = [(one.small, one.large) for one in judgements]
    return Outcomes(
        texts,
        outcomes,
        [one.confidence for one in judgements],
        [one.said for one in judgements],
        [one.truth for one in judgements],
    )


@dataclass(frozen=True)
class _Judged:
    """Whether both models were right on a record, what the small one said how surely, and what is right."""

    small: bool
    large: bool
    confidence: float | None
    said: str
    truth: str


def _rows(filesystem: AbstractFileSystem, folder: str) -> Iterator[Mapping[str, Any]]:
    """Every annotated row."""
    for path in sorted(filesystem.glob(f"{folder}/annotations-*")):
        with filesystem.open(path, "rb") as stream:
            if path.endswith(".parquet"):
                yield from pl.read_parquet(stream).iter_rows(named=True)
            else:
                yield from map(json.loads, stream)


class _Answers:
    """The answers of a journal, by model, task and text."""

    def __init__(
        self,
        output: str,
        job: Job,
        fingerprints: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._tasks = {task.name: task for task in job.tasks}
        self._large = job.routing.escalate_to
        self._known: dict[tuple[str, str], dict[bytes, Answer]] = {}
        for model, by_task in fingerprints.items():
            for task, fingerprint in by_task.items():
                self._known[model, task] = answers_of(f"{output}/state/journal", fingerprint, model)
        self._readings = _readings(output, self._known)

    def judge(self, text: str, task: str, gold: object) -> _Judged | None:
        """Who was right; None where nothing tells."""
        of, key = self._tasks[task], text_key(text, task)
        if of.kind == GENERATE:
            return None
        small = self._small(of, key)
        if small is None:
            return None
        verdict = read_answer(small, of, self._readings)
        if verdict is None:
            return None
        large = None if self._large is None else self._known.get((self._large, task), {}).get(key)
        said = oracle_labels(large, of)
        truth = gold_labels(None if gold is None else str(gold), of) or said
        if truth is None:
            return None
        right = said is None or said == truth
        labels = frozenset(verdict.labels)
        return _Judged(labels == truth, right, verdict.confidence, write_labels(labels), write_labels(truth))

    def _small(self, task: Task, key: bytes) -> Answer | None:
        for (model, name), answers in self._known.items():
            if name == task.name and model != self._large and key in answers:
                return answers[key]
        return None


def _readings(output: str, known: Mapping[tuple[str, str], Mapping[bytes, Answer]]) -> Readings:
    """How the job read its small models' scores: its calibration, else the mean over all of them."""
    try:
        found = load_artefact(f"{output}/state/calibration")
        return {(model.model, model.task): model for model in found.models}
    except CalibrationError:
        pass
    readings = {}
    for (model, task), answers in known.items():
        scores = [np.asarray(one.scores.probabilities) for one in answers.values() if one.scores is not None]
        if scores:
            readings[model, task] = estimate_bias(model, task, scores)
    return readings
