"""Locks by key."""

from __future__ import annotations

import contextlib
import threading

from transforms.one_at_a_time import OneAtATime


def test_the_same_key_waits_and_another_does_not() -> None:
    """The second thread with key 1 gets its turn when the first lets go; key 2 has it at once."""
    locks, turns = OneAtATime(), list[str]()
    began, may_end = threading.Event(), threading.Event()

    def first() -> None:
        with locks.holding(1):
            began.set()
            may_end.wait(5)
            turns.append("first")

    def second() -> None:
        with locks.holding(1):
            turns.append("second")

    threads = [threading.Thread(target=one) for one in (first, second)]
    threads[0].start()
    began.wait(5)
    threads[1].start()
    with locks.holding(2):
        turns.append("other")
    may_end.set()
    for thread in threads:
        thread.join(5)

    assert turns == ["other", "first", "second"]


def test_nothing_is_left_of_a_key() -> None:
    """A job has millions of them; not even one whose holder failed."""
    locks = OneAtATime()
    with contextlib.suppress(KeyError), locks.holding(1), locks.holding(2):
        raise KeyError

    assert locks._held == {}
