"""What was found in texts before, by text key: 28 bytes of memory for each, and no file is read again."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

import numpy as np

from router.findings import Findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

_MERGE_AT = 65_536
_HALF = 8


class RouteIndex:
    """Findings by the 16 bytes of a text's key. Not safe to share between threads without a lock."""

    def __init__(self, found: Iterable[tuple[bytes, Findings]] = ()) -> None:
        """Take in what is known; a key that comes twice has the same findings."""
        # Few texts differ in anything but their complexity, so all else of findings is kept once.
        self._kinds: list[Findings] = []
        self._numbers: dict[Findings, int] = {}
        self._high: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._low: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._kind: npt.NDArray[np.int32] = np.empty(0, np.int32)
        self._complexity: npt.NDArray[np.float64] = np.empty(0, np.float64)
        self._fresh: dict[bytes, Findings] = {}
        self._merge(found)

    def _merge(self, found: Iterable[tuple[bytes, Findings]]) -> None:
        high, low, kinds, complexities = array("Q"), array("Q"), array("i"), array("d")
        for key, one in found:
            high.append(int.from_bytes(key[:_HALF], "big"))
            low.append(int.from_bytes(key[_HALF:], "big"))
            kinds.append(self._number(Findings(one.language, one.task, domain=one.domain)))
            complexities.append(math.nan if one.complexity is None else one.complexity)
        if not high:
            return
        merged = np.concatenate((self._high, np.frombuffer(high, np.uint64)))
        order = np.argsort(merged, kind="stable")
        self._high = merged[order]
        self._low = np.concatenate((self._low, np.frombuffer(low, np.uint64)))[order]
        self._kind = np.concatenate((self._kind, np.frombuffer(kinds, np.int32)))[order]
        self._complexity = np.concatenate((self._complexity, np.frombuffer(complexities, np.float64)))[order]

    def _number(self, kind: Findings) -> int:
        number = self._numbers.setdefault(kind, len(self._kinds))
        if number == len(self._kinds):
            self._kinds.append(kind)
        return number

    def add(self, key: bytes, found: Findings) -> None:
        """Take in what was just found."""
        self._fresh[key] = found
        if len(self._fresh) >= _MERGE_AT:
            self._merge(self._fresh.items())
            self._fresh.clear()

    def find(self, keys: Sequence[bytes]) -> list[Findings | None]:
        """What was found in the texts with these keys; None where nothing is known."""
        halves = np.frombuffer(b"".join(keys), ">u8").astype(np.uint64).reshape(-1, 2)
        places = np.searchsorted(self._high, halves[:, 0]).tolist()
        return [
            self._fresh.get(key) or self._at(place, int(high), int(low))
            for key, place, (high, low) in zip(keys, places, halves.tolist(), strict=True)
        ]

    def _at(self, place: int, high: int, low: int) -> Findings | None:
        while place < len(self._high) and self._high[place] == high:
            if self._low[place] == low:
                kind, complexity = self._kinds[int(self._kind[place])], float(self._complexity[place])
                if math.isnan(complexity):
                    return kind
                return Findings(kind.language, kind.task, domain=kind.domain, complexity=complexity)
            place += 1
        return None

    def __len__(self) -> int:
        """How many texts it knows."""
        return len(self._high) + len(self._fresh)
