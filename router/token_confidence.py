"""How sure a hosted model was of the labels it wrote, from the probabilities of its tokens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROUNDING = 1e-6


def label_confidence(logprobs: Sequence[tuple[str, float]], content: str) -> float | None:
    """The probability of the answer's own tokens: from behind the colon of its JSON object to the end.

    What stands before it, the braces and the key, is the same whatever the label, and is left out. 1.0 means
    that no other label was possible to the model. It is not calibrated: hosted models are often too sure.

    Args:
        logprobs: The tokens that were written and the natural logarithms of their probabilities.
        content: The text that they make.

    Returns:
        A probability; None where the tokens do not make the text, or more than certainty is claimed.

    """
    start = content.find(":") + 1
    if not logprobs or not start or "".join(token for token, _ in logprobs).strip() != content.strip():
        return None
    end, total = 0, 0.0
    for token, logprob in logprobs:
        end += len(token)
        if end > start:
            total += logprob
    # Rounding may make a certain token look a little more probable than that.
    return math.exp(min(total, 0.0)) if total <= _ROUNDING else None
