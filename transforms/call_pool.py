"""Threads for calls that cost money: when the process must end at once, those under way are let finish."""

from __future__ import annotations

import threading
import time
import weakref
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_LOOK_SECONDS = 0.02

_OPEN: weakref.WeakSet[CallPool] = weakref.WeakSet()
"""The pools of this process, for `finish_calls`."""


class CallPool:
    """At most `concurrency` calls at once; safe to share between threads."""

    def __init__(self, concurrency: int) -> None:
        """Start no thread before there is a call."""
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="llm")
        self._lock = threading.Lock()
        self._under_way = 0
        self._closed = False
        _OPEN.add(self)

    def each(self, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        """Call a function on each item; the results are in their order.

        What the function raises is raised here; it is not called on items whose turn has not come then.

        Raises:
            CancelledError: if the pool is closed before each item had its turn.
        """
        calls: list[Future[_Result]] = []
        try:
            for item in items:
                calls.append(self._submit(function, item))  # noqa: PERF401 - those before a closing are cancelled
            return [call.result() for call in calls]
        finally:
            for call in calls:
                call.cancel()

    def _submit(self, function: Callable[[_Item], _Result], item: _Item) -> Future[_Result]:
        with self._lock:
            if self._closed:
                raise CancelledError("this process is ending: no further call begins")
            return self._threads.submit(self._call, function, item)

    def _call(self, function: Callable[[_Item], _Result], item: _Item) -> _Result:
        with self._lock:
            self._under_way += 1
        try:
            return function(item)
        finally:
            with self._lock:
                self._under_way -= 1

    @property
    def under_way(self) -> int:
        """How many calls have begun and not ended."""
        with self._lock:
            return self._under_way

    def close(self) -> None:
        """Begin no further call; closing twice is harmless."""
        with self._lock:
            self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)


def finish_calls(seconds: float) -> None:
    """Begin no further call in this process, and give those under way so long to end and be written down.

    They are paid for already: a process that ends without their answers pays for them again in its next run.
    """
    pools = list(_OPEN)
    for pool in pools:
        pool.close()
    end = time.monotonic() + seconds
    while any(pool.under_way for pool in pools) and time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)
