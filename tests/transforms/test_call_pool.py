"""Calls that cost money: so many at once, and those under way may finish."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

import pytest

from transforms.call_pool import CallPool, finish_calls

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_results_are_in_the_order_of_the_items() -> None:
    """Whichever call ends first."""
    pool = CallPool(4)

    def slower_first(number: int) -> int:
        time.sleep((4 - number) / 100)
        return number * number

    assert pool.each(slower_first, range(4)) == [0, 1, 4, 9]
    assert pool.under_way == 0


def test_an_error_ends_what_has_not_begun() -> None:
    """The first one that a result shows is raised."""
    pool, go = CallPool(1), threading.Event()
    called: list[int] = []

    def failing(number: int) -> None:
        called.append(number)
        if number:
            # Whoever is next does not end before the first one's error was shown.
            go.wait(10)
        raise KeyError(number)

    with pytest.raises(KeyError, match="0"):
        pool.each(failing, range(50))
    go.set()
    assert called in ([0], [0, 1])


def test_calls_under_way_are_waited_for_and_no_other_begins() -> None:
    """Two of ten are under way when the process is to end: they end, the other eight never begin."""
    pool = CallPool(2)
    begun, go, ended = threading.Semaphore(0), threading.Event(), []

    def call(number: int) -> None:
        begun.release()
        go.wait(10)
        ended.append(number)

    def ask() -> None:
        with pytest.raises(CancelledError):
            pool.each(call, range(10))

    thread = threading.Thread(target=ask)
    thread.start()
    begun.acquire()
    begun.acquire()
    threading.Timer(0.2, go.set).start()
    finish_calls(10)

    assert sorted(ended) == [0, 1]
    thread.join()


def test_a_pool_that_closes_while_items_are_handed_in_is_cancelled() -> None:
    """The process may be told to end at any moment: this is no error of the one who asks."""
    pool = CallPool(2)

    def items() -> Iterator[int]:
        yield 0
        pool.close()
        yield 1

    with pytest.raises(CancelledError):
        pool.each(lambda number: number, items())


def test_a_call_that_does_not_end_is_not_waited_for_long() -> None:
    """A hanging endpoint must not hold up Ctrl-C."""
    pool = CallPool(1)
    go = threading.Event()
    thread = threading.Thread(target=lambda: pool.each(lambda _: go.wait(10), [None]))
    thread.start()
    started = time.monotonic()
    while not pool.under_way:
        time.sleep(0.01)

    finish_calls(0.3)

    assert 0.3 <= time.monotonic() - started < 3
    go.set()
    thread.join()
