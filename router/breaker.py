"""A circuit breaker: stops asking an endpoint that is dead, and finds out when it is back.

Closed, it lets every record ask. After so many records in a row without an answer it opens, and nobody asks.
When the pause is over it is half-open: one record probes. An answer closes it, another failure opens it again
for twice as long.

It counts records that were given up, not requests: at a concurrency of 32 a server that restarts breaks 32
requests at once, and waiting such a moment out is what a record's retries are for. So that a dead host is not
asked for long all the same, records that begin after a failed one get a single try until there is an answer.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PAUSE_SECONDS = 600.0
"""However long an endpoint has been dead, it is tried about this often."""


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """Leave to ask the endpoint; to be handed back with what came of it."""

    retries: bool
    """Whether a failed request may be repeated; a probe, and what follows a failure, is tried once."""


@dataclass(frozen=True, slots=True)
class Outage:
    """Why the endpoint is not asked."""

    failures: int
    """Records in a row that got no answer."""
    last: str
    """What the last of them reported."""


class Breaker:
    """The breaker of one endpoint; safe to share between threads."""

    def __init__(self, failures: int, pause_seconds: float, clock: Callable[[], float]) -> None:
        """Begin closed.

        Args:
            failures: Failed records in a row that open it.
            pause_seconds: How long it stays open at first.
            clock: Seconds that never go back.

        Raises:
            ValueError: One of the numbers is not positive.

        """
        if failures < 1 or not pause_seconds > 0:
            given = f"failures={failures}, pause_seconds={pause_seconds:g}"
            raise ValueError(f"a breaker needs at least 1 failure and a pause above 0, got {given}")
        self._limit, self._first_pause, self._clock = failures, pause_seconds, clock
        self._lock = threading.Lock()
        self._failures = 0
        self._last = ""
        self._pause = pause_seconds
        self._probe_from: float | None = None
        """When a record may probe; None while closed."""
        self._probe: Ticket | None = None

    @property
    def outage(self) -> Outage | None:
        """Why the endpoint is not asked at present; None while closed."""
        with self._lock:
            return None if self._probe_from is None else self._outage()

    def admit(self) -> Ticket | Outage:
        """Let a record ask, or say why it may not.

        Each ticket must come back: by `answered`, `failed` or `abandon`.
        """
        with self._lock:
            if self._probe_from is None:
                return Ticket(retries=self._failures == 0)
            if self._probe is not None or self._clock() < self._probe_from:
                return self._outage()
            self._probe = Ticket(retries=False)
            return self._probe

    def answered(self, ticket: Ticket) -> None:  # noqa: ARG002 - whoever was answered, it is alive
        """Close: the endpoint is alive.

        A request that left before the breaker opened proves it as well as a probe does.
        """
        with self._lock:
            self._failures = 0
            self._pause = self._first_pause
            self._probe_from = self._probe = None

    def failed(self, ticket: Ticket, what: str) -> None:
        """Count a record that was given up; open where that is one too many.

        Args:
            ticket: The record's leave. While open only the probe's failure prolongs the pause, because others
                left before.
            what: What failed and when, for those who are not asked because of it.

        """
        with self._lock:
            self._failures += 1
            self._last = what
            if ticket is self._probe:
                self._probe = None
                self._pause = min(2 * self._pause, MAX_PAUSE_SECONDS)
                self._probe_from = self._clock() + self._pause
            elif self._probe_from is None and self._failures >= self._limit:
                self._probe_from = self._clock() + self._pause

    def abandon(self, ticket: Ticket) -> None:
        """Take back the ticket of a record that found out nothing; if it was the probe, the next one is."""
        with self._lock:
            if ticket is self._probe:
                self._probe = None

    def _outage(self) -> Outage:
        return Outage(self._failures, self._last)
