"""What a model wrote about a text: an answer in its own words, and how sure it was of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAST_LOG_PROBABILITY = -50.0
"""A token that is less likely than this counts as this likely, so that every figure is finite."""


@dataclass(frozen=True, slots=True)
class Generated:
    """An answer of a generate task."""

    text: str
    asked_in: str
    """Language of the text that it answers, as `router.language` finds it."""
    tokens: int = 0
    """How long it is; 0 where that is not known."""
    log_probability: float | None = None
    """Mean natural logarithm of its tokens' probabilities; None where the model gives none."""
    least: float | None = None
    """That of its least likely token."""
    agreement: float | None = None
    """How alike a second sample is, 0 to 1; None where there is none."""
    cut: bool = False
    """Whether it ended because it had as many tokens as the task allows."""

    @property
    def mean_probability(self) -> float | None:
        """The geometric mean of its tokens' probabilities; None where the model gives none."""
        return None if self.log_probability is None else math.exp(self.log_probability)


def write_generated(answer: Generated) -> dict[str, Any]:
    """The answer as the journal's JSON values: its `text`, and what else is known of it."""
    known = {
        "asked_in": answer.asked_in,
        "tokens": answer.tokens,
        "log_probability": answer.log_probability,
        "least": answer.least,
        "agreement": answer.agreement,
        "cut": answer.cut or None,
    }
    return {"text": answer.text, "generated": {key: one for key, one in known.items() if one is not None}}


def read_generated(data: Mapping[str, Any]) -> Generated | None:
    """The answer of a journal's line; None where it holds none. Raises what reading damaged data does."""
    if "text" not in data:
        return None
    known = data["generated"]
    real = {name: float(known[name]) for name in ("log_probability", "least", "agreement") if name in known}
    if not all(map(math.isfinite, real.values())):
        raise ValueError("a figure of an answer is not finite")
    text, asked_in, cut = str(data["text"]), str(known["asked_in"]), bool(known.get("cut", False))
    return Generated(text, asked_in, int(known["tokens"]), **real, cut=cut)
