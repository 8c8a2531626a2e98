"""A uniform sample that any worker draws alike: the records whose text digests are smallest.

Digests are uniform whatever the order of the input, so sorted files and any splitting give the same sample
("bottom-k sketch", Cohen and Kaplan, PODC 2007). Equal texts have equal digests and are drawn once.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from router.records import Position

Item = TypeVar("Item")


class SmallestKeys(Generic[Item]):
    """Keeps the items with the `size` smallest distinct keys, and of equal keys the first item."""

    def __init__(self, size: int, order: Callable[[Item], Position]) -> None:
        """Keep at most `size` items (0 keeps none); `order` tells an item's place in the input."""
        self._size = size
        self._order = order
        self._items: dict[bytes, Item] = {}
        self._largest: list[bytes] = []  # a max-heap: keys with every bit flipped

    def wants(self, key: bytes) -> bool:
        """Whether an item with this key may be kept; False saves making it."""
        if len(self._items) < self._size or key in self._items:
            return True
        return bool(self._size) and key < _flip(self._largest[0])

    def offer(self, key: bytes, item: Item) -> None:
        """Keep the item if its key is among the smallest and no earlier item has the same one."""
        if not self.wants(key):
            return
        if key in self._items:
            self._items[key] = min(self._items[key], item, key=self._order)
            return
        self._items[key] = item
        heapq.heappush(self._largest, _flip(key))
        if len(self._items) > self._size:
            del self._items[_flip(heapq.heappop(self._largest))]

    def items(self) -> list[tuple[bytes, Item]]:
        """What was kept, smallest key first."""
        return sorted(self._items.items(), key=lambda pair: pair[0])


def smallest_of(
    size: int, groups: Iterable[Iterable[tuple[bytes, Item]]], order: Callable[[Item], Position]
) -> list[tuple[bytes, Item]]:
    """The items with the smallest keys of several kept lists."""
    kept = SmallestKeys[Item](size, order)
    for group in groups:
        for key, item in group:
            kept.offer(key, item)
    return kept.items()


def _flip(key: bytes) -> bytes:
    return key.translate(_FLIPPED)


_FLIPPED = bytes(reversed(range(256)))
