"""How training goes through its texts: batches of about the same length, a rate that rises and falls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

_WARM_UP = 0.1
_BATCHES_SORTED = 16
"""So many batches are sorted by length together: padding costs time, sorting all would cost chance."""


def rate_at(step: int, steps: int) -> float:
    """The share of the full rate: up over the first steps, then down to nothing."""
    return min(1.0, (step + 1) / (_WARM_UP * steps)) * max(0.0, 1.0 - step / steps)


def batches_by_length(
    lengths: npt.NDArray[np.int64], size: int, chance: np.random.Generator
) -> Iterator[npt.NDArray[np.int64]]:
    """Places of texts of about the same length together, each once, in random order."""
    order = chance.permutation(len(lengths))
    found: list[npt.NDArray[np.int64]] = []
    for start in range(0, len(order), size * _BATCHES_SORTED):
        part = order[start : start + size * _BATCHES_SORTED]
        part = part[np.argsort(lengths[part], kind="stable")]
        found += [part[at : at + size] for at in range(0, len(part), size)]
    for at in chance.permutation(len(found)):
        yield found[at]
