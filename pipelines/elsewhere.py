"""Pipelines on runners that are not this process: submitted, waited for, and cancelled where it must end."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, TextIO

from apache_beam.utils import thread_pool_executor

from pipelines.stopping import LOG_READER, Elsewhere, running_elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator

    import apache_beam as beam
    from apache_beam.runners.runner import PipelineResult


_JOIN_SECONDS = 2.0


def run_elsewhere(pipeline: beam.Pipeline) -> tuple[PipelineResult, str | None]:
    """Run a pipeline to its end on the runner that it was made for: its result, and the state it ended in.

    Raises what the runner raises.

    A job server that the runner starts is stopped with the pipeline: otherwise each of a job's pipelines
    would leave one behind until this process ends, and longer where that ends at once.
    """
    servers = _noted_servers(pipeline)
    with contextlib.ExitStack() as stack:
        stack.callback(_stop_all, servers)
        stack.enter_context(_without_tracebacks())
        with _own_interrupt():
            result = pipeline.run()
        stack.enter_context(running_elsewhere(Elsewhere(result.cancel, lambda: _stop_all(servers))))
        stack.callback(_join_log_reader)
        state = result.wait_until_finish()
    return result, state


def _join_log_reader() -> None:
    """Let Beam's reader of the runner's log end while its error is still known to be no news."""
    for thread in threading.enumerate():
        if thread.name == LOG_READER:
            thread.join(_JOIN_SECONDS)


def _noted_servers(pipeline: beam.Pipeline) -> list[Any]:
    """A list that will hold the job servers that the pipeline's runner starts."""
    servers: list[Any] = []
    runner: Any = pipeline.runner
    start = getattr(runner, "default_job_server", None)
    if start is not None:

        def noting(options: Any) -> Any:  # noqa: ANN401 - Beam's own, not typed
            servers.append(start(options))
            return servers[-1]

        runner.default_job_server = noting
    return servers


def _stop_all(servers: list[Any]) -> None:
    while servers:
        servers.pop().stop()


@contextlib.contextmanager
def _own_interrupt() -> Iterator[None]:
    """Keep Beam from stopping its job server on Ctrl-C before the job could be cancelled through it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


@contextlib.contextmanager
def _without_tracebacks() -> Iterator[None]:
    """Unless Beam's log is wanted, keep what workers in this process (LOOPBACK) print of each failed bundle.

    The runner tells it too, and the user gets the line of it that matters.
    """
    if logging.getLogger("apache_beam").isEnabledFor(logging.ERROR):
        yield
        return
    with contextlib.redirect_stderr(_WithoutWorkers(sys.stderr)):
        yield


class _WithoutWorkers:
    """A stream for all threads of this process but those in which Beam's workers work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if type(threading.current_thread()).__module__ == thread_pool_executor.__name__:
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream, name)
