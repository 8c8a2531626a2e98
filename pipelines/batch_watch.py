"""What the user hears of batches while a job waits for them: never a silent hour."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.console import say
from router.job import OpenAIModel
from transforms.background import BackgroundWatch
from transforms.batch_journal import BatchJournal, open_batches
from transforms.batch_status import clear_statuses, read_statuses
from transforms.batch_wire import ENDED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from rich.console import Console

    from router.job import Job, Model
    from transforms.batch_status import BatchStatus


@dataclass(frozen=True)
class Pauses:
    """Seconds between two looks, between two lines about one batch, and between two that say the same."""

    look: float = 1.0
    line: float = 60.0
    same: float = 600.0


class BatchWatch(BackgroundWatch):
    """Says what becomes of a job's batches: when one is submitted, moves on or ends, and that it goes on."""

    def __init__(
        self,
        state: str,
        console: Console,
        pauses: Pauses | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`state` is the URL of the output's state folder, where workers leave their notes."""
        super().__init__()
        self._state, self._console = state, console
        self._pauses = pauses or Pauses()
        self._clock = clock
        self._said: dict[str, tuple[float, BatchStatus]] = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say what there is still to say, and stop."""
        super().__exit__(kind, error, trace)
        self.look()
        with contextlib.suppress(OSError):
            clear_statuses(self._state)

    def _watch(self) -> None:
        while not self._stop.wait(self._pauses.look):
            self.look()

    def look(self) -> None:
        """Look at the notes once, and say what is new in them."""
        # A store that is away for a moment must not end the job.
        with contextlib.suppress(OSError):
            for status in read_statuses(self._state):
                if self._is_news(status):
                    begun = status.id in self._said
                    self._said[status.id] = (self._clock(), status)
                    say(self._console, batch_line(status, begun=begun))

    def _is_news(self, status: BatchStatus) -> bool:
        at, before = self._said.get(status.id, (0.0, None))
        if before is None or status.status != before.status:
            return True
        pause = self._pauses.same if status == before else self._pauses.line
        return status.status not in ENDED and self._clock() - at >= pause


def batch_line(status: BatchStatus, *, begun: bool) -> str:
    """One line about a batch; `begun`: it was spoken of before."""
    done = f"{status.status}, {status.completed:,} of {status.requests:,} answered"
    if status.failed:
        done += f", {status.failed:,} failed"
    if begun:
        return f"batch {status.id}: {done}"
    if status.resumed:
        return f"batch {status.id} of an earlier run is taken up: {status.model}, {done}"
    return f"batch {status.id} submitted: {status.requests:,} requests to {status.model}; {status.status}"


def watching(job: Job, state: str, console: Console) -> contextlib.AbstractContextManager[object]:
    """A watch over the batches of a job; nothing where it has no model that is asked in batches."""
    batched = any(getattr(model, "batching", None) is not None for model in job.models.values())
    return BatchWatch(state, console) if batched else contextlib.nullcontext()


def check_batches(models: Mapping[str, Model], journal: str) -> None:
    """Check that no model is asked singly about records for which its batches are under way.

    Args:
        models: Those that the job uses, by name.
        journal: URL of the journal.

    Raises:
        ValueError: There is one; the message says what to do.

    """
    for name, model in models.items():
        if not isinstance(model, OpenAIModel) or model.batching is not None:
            continue
        waiting = BatchJournal(journal, model).read().open
        if waiting:
            ids = ", ".join(one.id or f"one that was being submitted ({one.key})" for one in waiting)
            raise ValueError(
                f"models.{name}.batch: an earlier run submitted batches whose answers are not fetched yet "
                f"({ids}), and without `batch` their records would be paid for again. Put it back for one "
                "run, or remove state/journal/batch-*.jsonl from the output folder"
            )


def batches_under_way(output: str) -> str:
    """What a run that ended early left at the provider, as the end of a line; empty where that is nothing."""
    try:
        ids = [one.id for one in open_batches(f"{output}/state/journal") if one.id is not None]
    except OSError:
        return ""
    if not ids:
        return ""
    named = f"batch {ids[0]} goes" if len(ids) == 1 else f"{len(ids)} batches ({', '.join(ids)}) go"
    return f"; {named} on at the provider, and the same command picks up the answers"
