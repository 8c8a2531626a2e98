"""Ending a run at once: on SIGTERM and Ctrl-C, and when a worker process was killed.

Beam's runner waits for the bundle that is under way, which may take hours. The journal makes that needless:
what was answered is kept, so the process may end as it stands.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from transforms.call_pool import finish_calls
from transforms.journal import flush_all
from transforms.splits import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_CALL_SECONDS = 2.5
_KEEP_SECONDS = 3.5
_TORN_SECONDS = 6.0
_CANCEL_SECONDS = 5.0
LOG_READER = "wait_until_finish_read"
"""Beam's thread that reads what a runner elsewhere says of its job."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Elsewhere:
    """A pipeline that another process has in hand."""

    cancel: Callable[[], None]
    let_go: Callable[[], None]
    """Ends what this process has started for it."""


_ELSEWHERE: list[Elsewhere] = []
"""The pipelines that this process waits for."""


@contextlib.contextmanager
def running_elsewhere(one: Elsewhere) -> Iterator[None]:
    """While this holds, ending this process ends the pipeline too: it would go on, and pay."""
    _ELSEWHERE.append(one)
    try:
        yield
    finally:
        _ELSEWHERE.remove(one)


def cancel_elsewhere() -> str:
    """Cancel what runs elsewhere, as far as that takes no time; the end of a line for the user about it."""
    if not _ELSEWHERE:
        return ""
    failed: list[str] = ["no answer"]

    def cancel() -> None:
        try:
            for one in _ELSEWHERE:
                one.cancel()
            failed.clear()
        # Every runner has exception types of its own, and all of them mean the same to the user.
        except Exception as error:  # noqa: BLE001 - see above
            failed[:] = [one_line(error)]
        for one in _ELSEWHERE:
            one.let_go()

    canceller = threading.Thread(target=cancel, daemon=True)
    canceller.start()
    canceller.join(_CANCEL_SECONDS)
    if failed:
        return f", but the runner could not be told to ({failed[0]}): cancel its job there"
    return ", and the runner's job was cancelled"


def keep_answers() -> None:
    """Let the calls under way end, as far as that takes no time, and write down all that was answered."""
    finish_calls(_CALL_SECONDS)
    flush_all()


@contextlib.contextmanager
def ending_at_once(tell: Callable[[str], None], tidy: Callable[[], None], code: int) -> Iterator[None]:
    """While this holds, a signal or a killed worker ends the process with `code`.

    Args:
        tell: writes a line for the user, with the reason that it gets.
        tidy: lets go of what must not be held any longer.
        code: the exit code.
    """
    once = threading.Lock()

    def end(why: str) -> None:
        if not once.acquire(blocking=False):
            return
        # A full disk or a store that is away must not hold up the end.
        keeping = threading.Thread(target=keep_answers, daemon=True)
        keeping.start()
        cancelled = cancel_elsewhere()
        keeping.join(_KEEP_SECONDS)
        for step in (lambda: tell(f"{why}{cancelled}"), tidy, sys.stderr.flush):
            with contextlib.suppress(Exception):
                step()
        os._exit(code)

    def on_signal(number: int, _: FrameType | None) -> None:
        end(f"stopped by {signal.Signals(number).name}")

    def on_thread_error(arguments: Any) -> None:  # noqa: ANN401 - threading's own record
        if "Worker subprocess exited" in str(arguments.exc_value):
            end(f"a worker process died, killed or out of memory ({arguments.exc_value})")
            return
        if isinstance(arguments.exc_value, grpc.RpcError):
            if arguments.thread is not None and arguments.thread.name == LOG_READER:
                return  # a lost runner is told by the thread that waits for the job's state
            # A killed worker tears the streams that Beam reads it by, often before its end is noticed: the
            # thread, which is over in any case, waits for the line that tells the cause.
            time.sleep(_TORN_SECONDS)
        hook(arguments)

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    hook, threading.excepthook = threading.excepthook, on_thread_error
    try:
        yield
    finally:
        threading.excepthook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
