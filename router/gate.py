"""The gate: from which confidence on a small model's answer is trusted, for all records or slice by slice."""

from __future__ import annotations

import hashlib
import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.records import Record, Route

Per = Literal["language", "domain", "label", "task"]
"""What the promise is asked for each of: what the router found, or the label that the small model gave."""

NOTHING = math.inf
"""The threshold where no answer can be trusted."""

_AUDIT = b"tekizai.audit"
_DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class GateRule:
    """Thresholds, the share of trusted answers that is checked, and what escalation is worth its money."""

    threshold: float
    """A confidence of at least this is trusted; `NOTHING` where none is."""
    per: Per | None = None
    slices: Mapping[str, float] = field(default_factory=dict)
    """Thresholds of the slices; in one that is not here nothing is trusted."""
    audit: float = 0.0
    """Share of trusted answers that the oracle is asked about all the same."""
    least_gain: float = 0.0
    """Expected corrections a character of text below which a record is not worth its call: 0 where the money
    suffices for all."""

    def threshold_of(self, route: Route, labels: tuple[str, ...]) -> float:
        """The threshold for a record with this route, to which the small model gave these labels."""
        if self.per is None:
            return self.threshold
        return self.slices.get(slice_of(self.per, route, labels), NOTHING)

    def affords(self, confidence: float, characters: int) -> bool:
        """Whether asking about a record that is not trusted is worth its share of the budget."""
        return gain(confidence, characters) >= self.least_gain

    def audits(self, record: Record) -> bool:
        """Whether a trusted record is among those that are checked: by a digest of its id."""
        if self.audit <= 0.0:
            return False
        digest = hashlib.blake2b(digest_size=_DIGEST_BYTES, person=_AUDIT)
        digest.update(record.id.encode("utf-8", "surrogatepass"))
        return int.from_bytes(digest.digest(), "big") < self.audit * 2.0 ** (8 * _DIGEST_BYTES)


def stated_threshold(threshold: float) -> float | None:
    """A threshold as a JSON value, which has no infinity: None for `NOTHING`."""
    return None if threshold == NOTHING else threshold


def fixed_gate(min_confidence: float) -> dict[str, Any]:
    """A gate that promises nothing, as the summary states it."""
    return {"threshold": min_confidence, "certified": False, "target": None, "delta": None}


def slice_of(per: Per, route: Route, labels: tuple[str, ...]) -> str:
    """The slice that a record is in; several labels in any order make one, and none the empty text."""
    if per == "label":
        return ", ".join(sorted(labels))
    found = {"language": route.language, "task": route.task, "domain": route.domain}[per]
    return found or ""


_CALL_CHARACTERS = 400
"""What a call costs before it comes to the text: instruction, labels and answer, in characters."""


def call_size(characters: int) -> int:
    """What a call sends about a text, in characters."""
    return _CALL_CHARACTERS + characters


def gain(confidence: float, characters: int) -> float:
    """Expected corrections for the money of a call, which grows with the text."""
    return (1.0 - confidence) / call_size(characters)


def least_gain(confidence: list[float], characters: list[int], affordable: float) -> float:
    """The gain from which on records are to be asked about, so that the share `affordable` of all is.

    Args:
        confidence: of a sample of records that are not trusted.
        characters: of their texts.
        affordable: the share of them whose calls can be paid, 0 to 1, by the characters they send.

    Returns:
        0 where all can be paid, infinity where none can.
    """
    if affordable >= 1.0 or not confidence:
        return 0.0
    costs = [call_size(count) for count in characters]
    gains = sorted(zip(map(gain, confidence, characters), costs, strict=True), reverse=True)
    left = affordable * sum(cost for _, cost in gains)
    least = math.inf
    # Of equal gains either all are asked about or none.
    for found, tied in itertools.groupby(gains, key=lambda pair: pair[0]):
        left -= sum(cost for _, cost in tied)
        if left < 0.0:
            break
        least = found
    return least
