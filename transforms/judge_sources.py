"""The labelled rows and passages that a judge may look at: as plain data, and opened in a worker."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from router.assets import asset_path
from router.identity import text_key
from transforms.judge_tools import Sources
from transforms.text_encoder import ENCODER, TextEncoder, shared_encoder

if TYPE_CHECKING:
    import numpy.typing as npt

    from transforms.judge_tools import Nearby


@dataclass(frozen=True, slots=True)
class Reference:
    """A labelled text, or a passage, which has no label."""

    id: str
    text: str
    label: str | tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A row that was found."""

    row: Reference
    similarity: float


@dataclass(frozen=True)
class References:
    """Rows by task, as plain data."""

    examples: Mapping[str, Sequence[Reference]] = field(default_factory=dict)
    passages: Mapping[str, Sequence[Reference]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """What tells these rows from others."""
        data = json.dumps(
            [
                [(task, [(one.id, one.text, one.label) for one in rows]) for task, rows in sorted(of.items())]
                for of in (self.examples, self.passages)
            ]
        )
        return hashlib.blake2b(data.encode(), digest_size=16).hexdigest()

    def open(self) -> Sources:
        """What the tools read; vectors are made when the first text comes."""

        def opened(of: Mapping[str, Sequence[Reference]]) -> dict[str, Nearby]:
            encoder = shared_encoder(asset_path(ENCODER)) if of else None
            return {task: NearRows(rows, encoder) for task, rows in of.items() if encoder is not None}

        return Sources(opened(self.examples), opened(self.passages))


class NearRows:
    """The rows nearest to a text by the cosine of the router's encoder."""

    def __init__(self, rows: Sequence[Reference], encoder: TextEncoder) -> None:
        """Take the rows."""
        self._rows, self._encoder = tuple(rows), encoder
        self._vectors: npt.NDArray[np.float32] | None = None

    def nearest(self, text: str, k: int) -> list[Found]:
        """The k nearest rows, the nearest first, without the text itself."""
        if self._vectors is None:
            self._vectors = self._encoder.encode_all([row.text for row in self._rows])
        similar = self._vectors @ self._encoder.encode(text)
        own = text_key(text, "")
        order = (int(at) for at in np.argsort(-similar, kind="stable"))
        found = (Found(self._rows[at], float(similar[at])) for at in order)
        others = (one for one in found if text_key(one.row.text, "") != own)
        return [one for one, _ in zip(others, range(k), strict=False)]
