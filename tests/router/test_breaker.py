"""The circuit breaker, by a clock that the test turns."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from router.breaker import Breaker, Outage, Ticket


class Clock:
    """Seconds that pass when the test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def breaker(failures: int, clock: Clock | None = None) -> Breaker:
    """Make a breaker with a first pause of 30 seconds."""
    return Breaker(failures, 30.0, clock or Clock())


def ask(subject: Breaker) -> Ticket:
    """Ask for leave and get it."""
    ticket = subject.admit()
    assert isinstance(ticket, Ticket)
    return ticket


def fail(subject: Breaker, what: str = "broken") -> None:
    """Let one record ask and get no answer."""
    subject.failed(ask(subject), what)


def test_it_opens_at_the_limit_and_says_why() -> None:
    """Two failures are let pass, the third opens; the last one's report is kept."""
    subject = breaker(3)
    fail(subject, "first")
    fail(subject, "second")
    assert subject.outage is None

    fail(subject, "third")

    assert subject.outage == Outage(3, "third")
    assert subject.admit() == Outage(3, "third")


def test_an_answer_starts_the_count_again() -> None:
    """Only failures in a row count."""
    subject = breaker(2)
    fail(subject)
    subject.answered(ask(subject))
    fail(subject)

    assert subject.outage is None


def test_after_a_failure_records_are_tried_once() -> None:
    """Retries are for a healthy endpoint's bad moments; an answer brings them back."""
    subject = breaker(3)
    assert ask(subject).retries

    fail(subject)
    assert not ask(subject).retries

    subject.answered(ask(subject))
    assert ask(subject).retries


def test_when_the_pause_is_over_exactly_one_probes() -> None:
    """At 29.9 seconds nobody asks; at 30 one record does, without retries, and the others wait for it."""
    clock = Clock()
    subject = breaker(1, clock)
    fail(subject)

    clock.now = 1029.9
    assert isinstance(subject.admit(), Outage)
    clock.now = 1030.0
    assert not ask(subject).retries
    assert isinstance(subject.admit(), Outage)
    clock.now = 99_999.0
    assert isinstance(subject.admit(), Outage)
    assert subject.outage is not None


def test_a_good_probe_closes() -> None:
    """Everybody asks again, with retries, and the whole count must be reached anew."""
    clock = Clock()
    subject = breaker(2, clock)
    fail(subject)
    fail(subject)
    clock.now += 30.0

    subject.answered(ask(subject))

    assert subject.outage is None
    assert ask(subject).retries
    fail(subject)
    assert subject.outage is None


def test_bad_probes_double_the_pause_up_to_ten_minutes() -> None:
    """30, 60, 120, 240, 480 and then 600 seconds each; after an answer it is 30 again."""
    clock = Clock()
    subject = breaker(1, clock)
    fail(subject)

    for pause in (30.0, 60.0, 120.0, 240.0, 480.0, 600.0, 600.0):
        clock.now += pause - 1.0
        assert isinstance(subject.admit(), Outage)
        clock.now += 1.0
        fail(subject)
    assert subject.outage == Outage(8, "broken")

    clock.now += 600.0
    subject.answered(ask(subject))
    fail(subject)
    clock.now += 30.0
    ask(subject)


def test_late_failures_do_not_prolong_the_pause() -> None:
    """Records that left before it opened come back while it is open and during the probe."""
    clock = Clock()
    subject = breaker(1, clock)
    early, later = ask(subject), ask(subject)
    fail(subject)

    clock.now += 29.0
    subject.failed(early, "late")
    assert subject.outage == Outage(2, "late")
    clock.now += 1.0
    probe = ask(subject)
    subject.failed(later, "later still")
    assert isinstance(subject.admit(), Outage)

    subject.failed(probe, "the probe")
    clock.now += 59.9
    assert isinstance(subject.admit(), Outage)
    clock.now += 0.1
    ask(subject)


def test_a_late_answer_closes() -> None:
    """An answer is a proof of life, whoever gets it; the probe's failure then is a first one."""
    clock = Clock()
    subject = breaker(2, clock)
    early = ask(subject)
    fail(subject)
    fail(subject)
    clock.now += 30.0
    probe = ask(subject)

    subject.answered(early)
    assert subject.outage is None
    subject.failed(probe, "broken")
    assert subject.outage is None


def test_an_abandoned_probe_frees_the_place() -> None:
    """A record that found out nothing leaves the next one to probe, without a further pause."""
    clock = Clock()
    subject = breaker(1, clock)
    bystander = ask(subject)
    fail(subject)
    clock.now += 30.0
    probe = ask(subject)

    subject.abandon(bystander)
    assert isinstance(subject.admit(), Outage)
    subject.abandon(probe)
    ask(subject)
    assert subject.outage is not None


def test_of_many_threads_one_probes() -> None:
    """Thirty-two threads ask in the same moment, and one is let through."""
    clock = Clock()
    subject = breaker(1, clock)
    fail(subject)
    clock.now += 30.0
    together = threading.Barrier(32)

    def probe(_: int) -> bool:
        together.wait()
        return isinstance(subject.admit(), Ticket)

    with ThreadPoolExecutor(32) as pool:
        assert sum(pool.map(probe, range(32))) == 1


@pytest.mark.parametrize(("failures", "pause"), [(0, 30.0), (1, 0.0), (1, float("nan"))])
def test_senseless_numbers_are_refused(failures: int, pause: float) -> None:
    """A breaker that is always open or never pauses is a mistake."""
    with pytest.raises(ValueError, match=f"got failures={failures}, pause_seconds={pause:g}"):
        Breaker(failures, pause, Clock())
