"""What the router finds in texts: language, task, domain and complexity, each with how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from router.complexity import prior_complexity
from router.language import identify_language
from router.route_labels import HARD
from router.text_view import view_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from router.text_view import Encode, TextView

UNSURE = 0.25
"""A domain that is less probable than this is none at all."""
_PLACES = 4


class Classifier(Protocol):
    """A head, or descriptions (`router.route_head`, `router.zero_shot`)."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What it tells apart."""

    def probabilities(self, views: Sequence[TextView]) -> npt.NDArray[np.float64]:
        """Shape (texts, labels)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for; the language is always found."""

    task: bool = True
    domain: bool = True
    complexity: bool = True


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in one text. What was not looked for, or cannot be told, is None."""

    language: str
    task: str | None = None
    task_probability: float | None = None
    domain: str | None = None
    domain_probability: float | None = None
    complexity: float | None = None
    """0 to 1: the probability that a small model is wrong and a large one right."""


@dataclass(frozen=True, slots=True, eq=False)
class Router:
    """Reads texts. Deterministic: a text's findings do not depend on what is read with it."""

    task: Classifier | None
    domain: Classifier | None
    """None: there is no head for it, so nothing is found."""
    complexity: Classifier | None
    """None: the prior stands in (`router.complexity`)."""
    encode: Encode

    def find(self, texts: Sequence[str], wanted: Wanted) -> list[Findings]:
        """What is wanted of each text."""
        languages = [identify_language(text) for text in texts]
        heads = (self.task if wanted.task else None, self.domain if wanted.domain else None)
        hard = self.complexity if wanted.complexity else None
        # Without a head there is nothing to encode a text for.
        views = view_texts(texts, self.encode) if any((*heads, hard)) else ()
        tasks, domains = (_best(head, views, texts) for head in heads)
        complexities: Sequence[float | None] = [None] * len(texts)
        if hard is not None:
            at = hard.labels.index(HARD)
            complexities = [round(float(row[at]), _PLACES) for row in hard.probabilities(views)]
        elif wanted.complexity:
            complexities = [
                round(prior_complexity(text, language), _PLACES)
                for text, language in zip(texts, languages, strict=True)
            ]
        return [
            Findings(language, task, sure, domain if (near or 0.0) >= UNSURE else None, near, complexity)
            for language, (task, sure), (domain, near), complexity in zip(
                languages, tasks, domains, complexities, strict=True
            )
        ]

    def choose_among(self, texts: Sequence[str], tasks: Classifier) -> list[str]:
        """Which of a job's tasks each text belongs to."""
        found = tasks.probabilities(view_texts(texts, self.encode))
        return [tasks.labels[at] for at in found.argmax(axis=1)] if len(found) else []


def _best(
    head: Classifier | None, views: Sequence[TextView], texts: Sequence[str]
) -> list[tuple[str | None, float | None]]:
    """The most probable label of each text, and its probability; none of a text that says nothing."""
    if head is None:
        return [(None, None)] * len(texts)
    found = head.probabilities(views)
    return [
        (head.labels[int(row.argmax())], round(float(row.max()), _PLACES))
        if any(map(str.isalnum, text))
        else (None, None)
        for text, row in zip(texts, found, strict=True)
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Restricted:
    """A classifier that may only say some of its labels: a job's tasks among those the router knows."""

    whole: Classifier
    labels: tuple[str, ...]

    def probabilities(self, views: Sequence[TextView]) -> npt.NDArray[np.float64]:
        """Shape (texts, labels); each row sums to 1."""
        at = [self.whole.labels.index(label) for label in self.labels]
        found = self.whole.probabilities(views)[:, at]
        total: npt.NDArray[np.float64] = found.sum(axis=1, keepdims=True)
        return found / total


def task_classifier(whole: Classifier, names: Sequence[str], others: Classifier) -> Classifier:
    """What tells a job's tasks apart: the router's own head where it knows them all, else `others`."""
    if set(names) <= set(whole.labels):
        return Restricted(whole, tuple(names))
    return others
