"""Views, heads and findings for tests of the router."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from router.findings import Findings
from router.ngrams import BUCKETS
from router.route_head import RouteHead
from router.surface import NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

DIMENSIONS = 4


def encode(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """A stand-in for the encoder: a vector of length 1 that depends on the text alone."""
    found = np.zeros((len(texts), DIMENSIONS), np.float32)
    for row, text in enumerate(texts):
        digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        values = np.frombuffer(digest[: 2 * DIMENSIONS], np.uint16).astype(np.float32) + 1.0
        found[row] = values / np.linalg.norm(values)
    return found


def head(*labels: str, temperature: float = 1.0) -> RouteHead:
    """A head without any weights: all labels are as probable as their intercepts say (here: alike)."""
    return RouteHead(
        labels,
        np.zeros((len(labels), DIMENSIONS + len(NAMES)), np.float32),
        np.zeros((BUCKETS, len(labels)), np.float16),
        np.zeros(len(labels), np.float32),
        temperature,
    )


def found(language: str = "en", **findings: object) -> Findings:
    """What the router found."""
    return Findings(language, **findings)  # type: ignore[arg-type]
