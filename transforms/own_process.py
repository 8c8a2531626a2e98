"""A function in a process of its own: its memory is its own, and its end does not end this one."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from types import TracebackType

    from typing_extensions import Self

Request = TypeVar("Request")
Reply = TypeVar("Reply")


class ProcessDiedError(RuntimeError):
    """The process ended before it had answered, killed or crashed."""


class OwnProcess(Generic[Request, Reply]):
    """Answers requests one after another with a function that was made in a new process."""

    def __init__(self, make: Callable[..., Callable[[Request], Reply]], *arguments: object) -> None:
        """Start the process; `make(*arguments)`, all of which can be pickled, makes the function in it."""
        context = multiprocessing.get_context("spawn")
        self._mine, theirs = context.Pipe()
        # A daemon is ended with this process.
        self._process = context.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, request: Request) -> Reply:
        """What the function returns, or raises. Raises `ProcessDiedError` where the process has ended."""
        try:
            self._mine.send(request)
            done, value = self._mine.recv()
        except (EOFError, OSError) as error:
            self._process.join(timeout=5.0)
            code = self._process.exitcode
            how = (
                f"by signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"code {code}"
            )
            raise ProcessDiedError(f"its process ended before it had answered ({how})") from error
        if not done:
            raise value
        reply: Reply = value
        return reply

    def __enter__(self) -> Self:
        """The process runs already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process, whatever it does."""
        self._mine.close()
        self._process.terminate()
        self._process.join()


def _serve(
    theirs: Connection, make: Callable[..., Callable[[Any], Any]], arguments: tuple[object, ...]
) -> None:
    # Ctrl-C reaches every process of the terminal; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    function: Callable[[Any], Any] | None = None
    while True:
        try:
            request = theirs.recv()
        except EOFError:
            return
        try:
            if function is None:
                function = make(*arguments)
            theirs.send((True, function(request)))
        except Exception as error:  # noqa: BLE001 - it is raised where it was asked for
            theirs.send((False, _portable(error)))


def _portable(error: Exception) -> Exception:
    """The error as it is, or what it says where it cannot travel."""
    try:
        ForkingPickler.dumps(error)
        # On the other side it is made of its arguments, which not every class takes.
        type(error)(*error.args)
    except Exception:  # noqa: BLE001 - whatever an error's class may do
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
