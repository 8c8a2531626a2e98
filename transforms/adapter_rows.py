"""Labelled texts as a model gets to read them: the very tokens that the scorer evaluates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transforms.label_scorer import label_tokens, tokens_before_label

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from router.job import Task
    from router.prompts import LabelPrompt
    from transforms.llama_adapter import LlamaModel


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """A text with its right label, or its right labels where the task is multi_label."""

    text: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrainingText:
    """A prompt in tokens, and the right answer's tokens after it."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    beside: tuple[int, ...]
    """The tokens that the answer's first one is chosen from: those of all answers to the question."""


def training_texts(
    model: LlamaModel, task: Task, prompt: LabelPrompt, rows: Sequence[LabelledRow]
) -> list[TrainingText]:
    """What a model is to learn from rows: one question each, or one for each label of a multi_label task."""
    answers = label_tokens(model, prompt)
    found: list[TrainingText] = []
    for row in rows:
        before = tokens_before_label(model, prompt, row.text)
        if task.kind == "single_label":
            beside = sorted({one.scored[0] for one in answers})
            right = answers[task.label_names.index(row.labels[0])]
            found.append(TrainingText(tuple(before), right.scored, tuple(beside)))
            continue
        for number, label in enumerate(task.label_names):
            no_and_yes = answers[2 * number : 2 * number + 2]
            right = no_and_yes[label in row.labels]
            beside = sorted({one.scored[0] for one in no_and_yes})
            found.append(TrainingText((*before, *right.given), right.scored, tuple(beside)))
    return found


def within(texts: Sequence[TrainingText], tokens: int) -> tuple[list[TrainingText], int]:
    """Those that are not longer than so many tokens, and how many are."""
    short = [one for one in texts if len(one.prompt) + len(one.answer) <= tokens]
    return short, len(texts) - len(short)


def share_right(said: Sequence[Collection[str]], rows: Sequence[LabelledRow]) -> float:
    """How many of the rows were given exactly their labels, as a fraction."""
    pairs = zip(said, rows, strict=True)
    return sum(set(one) == set(row.labels) for one, row in pairs) / len(rows)
