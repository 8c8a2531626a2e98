"""Getting batches to the provider and waiting for them: each step is noted before the next is taken."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from router import batch_notes
from router.batch_notes import Submission
from transforms.batch_client import BatchClient, BatchGoneError, BatchUnavailableError
from transforms.batch_status import BatchStatus, write_status
from transforms.batch_wire import ENDED, BatchState
from transforms.llm_access import LlmStop

if TYPE_CHECKING:
    from transforms.batch_books import Books, LlmBatches

_LOGGER = logging.getLogger(__name__)
_MOST_POLL_SECONDS = 300.0
_SLOWER = 1.5
_HOUR = 3600.0
_CANCELLING_SECONDS = 900.0
"""OpenAI says that a batch is in `cancelling` for up to ten minutes."""


class Sender:
    """Submits the batches of one model, and waits for them."""

    def __init__(
        self,
        asked: LlmBatches,
        client: BatchClient,
        books: Books,
        *,
        sleep: Callable[[float], None] = time.sleep,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`asked` must be of a model with `batch`."""
        settings = asked.model.batching
        if settings is None:
            raise ValueError(f"model {asked.name!r} is not asked in batches")
        self._name, self._settings = asked.name, settings
        self._client, self._notes = client, books.notes
        self._state_url = asked.journal.place.url.rpartition("/")[0]
        self._sleep, self._wall_clock = sleep, wall_clock
        self._resumed: set[str] = set()

    def submit(self, requests: Sequence[str], content: bytes) -> Submission:
        """Upload a file of requests and make its batch.

        Raises:
            LlmStop: The endpoint has no batches, or refuses the key or the file.
            BatchUnavailableError: It could not be reached, or kept failing.

        """
        plan = Submission(uuid.uuid4().hex, self._wall_clock(), tuple(requests))
        self._notes.write(batch_notes.planned(plan.key, plan.at, plan.requests))
        try:
            file = self._client.upload(plan.key, content)
        except (LlmStop, BatchUnavailableError):
            self._notes.write(batch_notes.ended(plan.key, "never submitted"))
            raise
        self._notes.write(batch_notes.uploaded(plan.key, file))
        made = dataclasses.replace(plan, file=file)
        # Where this fails the batch may have been made all the same: the next run looks for it.
        state = self._client.create(made)
        return self._named(made, state)

    def recover(self, noted: Iterable[Submission]) -> Iterator[Submission]:
        """Batches of an earlier run that are at the provider, those found again that it died submitting.

        Raises what `submit` raises.
        """
        for one in noted:
            self._resumed.add(one.key)
            if one.id is not None:
                yield one
                continue
            # A batch is made of a file only after the file's id was noted.
            state = None if one.file is None else self._client.find(one)
            if state is None:
                self._notes.write(batch_notes.ended(one.key, "never submitted"))
            else:
                yield self._named(one, state)

    def _named(self, one: Submission, state: BatchState) -> Submission:
        self._notes.write(batch_notes.submitted(one.key, state.id))
        self._tell(one, state)
        return dataclasses.replace(one, id=state.id)

    def wait(self, flying: Sequence[Submission]) -> Iterator[tuple[Submission, BatchState | None]]:
        """Wait for batches; each comes with its state when it has ended, or with None where it never did.

        Raises:
            LlmStop: The endpoint refuses the key, or does not know a batch.

        """
        waiting, pause = list(flying), self._settings.poll_seconds
        cancelled: set[str] = set()
        while True:
            for one in list(waiting):
                state = self.look(one)
                ended = state is not None and state.status in ENDED
                if ended or self._too_late(one, cancelled):
                    waiting.remove(one)
                    yield one, state if ended else None
            if not waiting:
                return
            self._sleep(pause)
            pause = min(pause * _SLOWER, max(_MOST_POLL_SECONDS, self._settings.poll_seconds))

    def look(self, one: Submission) -> BatchState | None:
        """The batch's state; None where the endpoint does not say, which may pass.

        Raises:
            LlmStop: The endpoint refuses the key, or does not know the batch.

        """
        try:
            state = self._client.state(one.id or "")
        except BatchUnavailableError as error:
            _LOGGER.warning("batch %s cannot be seen just now, but goes on: %s", one.id, error)
            return None
        except BatchGoneError as error:
            raise LlmStop(
                f"batch {one.id} was submitted, and the endpoint does not know it ({error}). Use the key of "
                "the account that submitted it; to ask its records again, and pay again, remove "
                "state/journal/batch-*.jsonl from the output folder"
            ) from error
        self._tell(one, state)
        return state

    def _too_late(self, one: Submission, cancelled: set[str]) -> bool:
        """Whether a batch is given up; one that takes too long is cancelled first."""
        late = self._wall_clock() - one.at - self._settings.max_wait_hours * _HOUR
        if late <= 0:
            return False
        if one.key not in cancelled:
            cancelled.add(one.key)
            _LOGGER.warning("batch %s took longer than batch.max_wait_hours and is cancelled", one.id)
            # Where it cannot be cancelled it goes on, and the next run takes it up.
            with contextlib.suppress(BatchUnavailableError, BatchGoneError):
                self._client.cancel(one.id or "")
        return late > _CANCELLING_SECONDS

    def pause(self) -> None:
        """Wait as long as before the first look at a batch."""
        self._sleep(self._settings.poll_seconds)

    def _tell(self, one: Submission, state: BatchState) -> None:
        status = BatchStatus(
            state.id,
            self._name,
            len(one.requests),
            state.status,
            state.completed,
            state.failed,
            one.key in self._resumed,
        )
        # Nothing depends on it but what the user sees.
        with contextlib.suppress(OSError):
            write_status(self._state_url, one.key, status)
