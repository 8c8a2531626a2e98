"""How hard a text is before any model has read it: a documented prior where nothing was learned yet.

Complexity is the probability that a small model is wrong where a large one is right. What past jobs show of
it is learned (`router.route_training`); until then this prior stands in, which knows the text's outside only.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

BASE = -1.4
"""The log-odds of a short English text: one in five, about what a 270M model gets wrong with examples."""
WEIGHTS: Mapping[str, float] = {
    "words": 0.25,
    "foreign": 0.4,
    "undetermined": 0.2,
    "turns": 0.5,
    "negations": 0.3,
    "questions": 0.2,
}
"""What is added for each unit of `prior_features`: chosen by judgement, on no dataset."""

_TURNS = frozenset(
    [
        "but",
        "however",
        "although",
        "though",
        "yet",
        "while",
        "despite",
        "unless",
        "except",
        "instead",
        "rather",
    ]
)
_NEGATIONS = frozenset(["not", "no", "never", "nothing", "nobody", "without", "hardly", "neither", "nor"])


def prior_features(text: str, language: str) -> dict[str, float]:
    """What the prior looks at, each about 0 to 3. Only the first 4,000 characters are read."""
    words = text[:4_000].lower().replace("n't", " not").split()
    plain = [word.strip(".,;:!?\"'()") for word in words]
    return {
        "words": max(0.0, math.log(max(len(plain), 1) / 20.0)),
        "foreign": float(language not in {"en", "und"}),
        "undetermined": float(language == "und"),
        "turns": min(2.0, float(sum(word in _TURNS for word in plain))),
        "negations": min(2.0, float(sum(word in _NEGATIONS for word in plain))),
        "questions": float("?" in text[:4_000] or "？" in text[:4_000]),
    }


def prior_complexity(text: str, language: str) -> float:
    """The prior, 0 to 1."""
    found = prior_features(text, language)
    return float(1.0 / (1.0 + np.exp(-BASE - sum(WEIGHTS[name] * value for name, value in found.items()))))
