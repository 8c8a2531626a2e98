"""Calls to OpenAI-compatible endpoints under a deadline; the only module that knows the `openai` package.

What becomes of a call is a value, not an exception: the body, an error status, or a broken transfer.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import itertools
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from transforms.llm_access import endpoint
from transforms.llm_wire import error_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    import openai

    from router.job import OpenAIModel

_Result = TypeVar("_Result")
MAX_BODY_BYTES = 4 * 1024 * 1024
"""No list of labels is that long, and an endless response must not fill the memory."""
_CALLS_A_POOL = 8
"""httpcore looks at every connection of a pool for each call: at 64 that was a fifth of the time."""
_CONNECT_SECONDS = 10.0
_GRACE_SECONDS = 5.0
# Until Python 3.10 these are two classes, and neither is the built-in TimeoutError.
_DEADLINE_ERRORS = (asyncio.TimeoutError, concurrent.futures.TimeoutError)


class _Errors(NamedTuple):
    """What a call may raise, by what it means."""

    status: type[openai.APIStatusError]
    transfer: tuple[type[Exception], ...]
    never_sent: tuple[type[Exception], ...]


@functools.cache
def _errors() -> _Errors:
    # Together they take half a second to import, and a job of local models calls nobody.
    import anyio  # noqa: PLC0415 - see above
    import httpx2  # noqa: PLC0415
    import openai  # noqa: PLC0415

    # openai wraps what breaks before the headers; what breaks within a body comes as its transport raised it.
    transfer = (openai.APIConnectionError, httpx2.HTTPError, anyio.EndOfStream, OSError, *_DEADLINE_ERRORS)
    never_sent = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
    return _Errors(openai.APIStatusError, transfer, never_sent)


@dataclass(frozen=True, slots=True)
class ErrorStatus:
    """The endpoint answered with a status other than 2xx; nothing was billed."""

    status: int
    said: str
    """The error's text in one line, as long as the endpoint made it."""
    code: str | None
    parameter: str | None
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BrokenTransfer:
    """There was no complete answer: no connection, a cut one, or none in time."""

    detail: str
    maybe_billed: bool
    """Whether the request may have reached the endpoint."""


class Network:
    """Connections to one endpoint, for any number of threads.

    It runs on an event loop in a thread of its own: only there can a deadline cut a whole call, even one
    whose bytes drip. Close it, or let it be collected; both end the thread.
    """

    def __init__(self, model: OpenAIModel, key: str | None) -> None:
        """Start the thread; nothing is sent yet."""
        self._seconds = model.timeout_seconds
        clients = [_open(model, key) for _ in range(-(-model.concurrency // _CALLS_A_POOL))]
        self._clients = itertools.cycle(clients)
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._closed = False
        thread = threading.Thread(target=_serve, args=(self._loop, clients), name="llm-network", daemon=True)
        thread.start()
        self._finalizer = weakref.finalize(self, _stop, self._loop, thread)

    def close(self) -> None:
        """Abort what is under way and end the thread; closing twice is harmless."""
        with self._lock:
            self._closed = True
        self._finalizer()

    def send(self, request: Mapping[str, Any]) -> bytes | ErrorStatus | BrokenTransfer:
        """Send a chat completion request and wait for the whole answer, at most `timeout_seconds`.

        Args:
            request: model, messages and parameters.

        Returns:
            The body of a 2xx response, cut off soon after `MAX_BODY_BYTES`, or what happened instead.

        Raises:
            RuntimeError: The network is closed.
            concurrent.futures.CancelledError: It was closed while the call was under way.

        """
        return self.call(lambda client: _receive(client, request), self._seconds)

    def call(
        self, act: Callable[[openai.AsyncOpenAI], Awaitable[_Result]], seconds: float
    ) -> _Result | ErrorStatus | BrokenTransfer:
        """Do something with the client, within so many seconds.

        Args:
            act: What to do; it runs on the loop.
            seconds: How long it may take in all.

        Returns:
            What `act` returned, or what happened instead.

        Raises:
            RuntimeError: The network is closed.
            concurrent.futures.CancelledError: It was closed while the call was under way.

        """
        # What is handed to a loop that has stopped is never run, and its caller would wait for nothing.
        with self._lock:
            if self._closed:
                raise RuntimeError("the LLM client is closed")
            bounded = _in_time(act, next(self._clients), seconds)
            call = asyncio.run_coroutine_threadsafe(bounded, self._loop)
        try:
            # The deadline is kept on the loop; the grace is for a loop that is stuck.
            return call.result(seconds + _GRACE_SECONDS)
        except _errors().status as error:
            said, headers = error_text(error.body), dict(error.response.headers)
            return ErrorStatus(error.status_code, said, error.code, error.param, headers)
        except _DEADLINE_ERRORS:
            call.cancel()
            return BrokenTransfer(f"no complete answer within {seconds:g} s", maybe_billed=True)
        except _errors().transfer as error:
            cause = error.__cause__ or error
            said = " ".join(str(cause).split())
            sent = not isinstance(cause, _errors().never_sent)
            return BrokenTransfer(f"{type(cause).__name__}: {said}", maybe_billed=sent)


async def _in_time(
    act: Callable[[openai.AsyncOpenAI], Awaitable[_Result]], client: openai.AsyncOpenAI, seconds: float
) -> _Result:
    return await asyncio.wait_for(act(client), seconds)


async def _receive(client: openai.AsyncOpenAI, request: Mapping[str, Any]) -> bytes:
    body = bytearray()
    # openai goes through what it is given by name for half a millisecond; extra_body goes out as it is.
    extra = {name: value for name, value in request.items() if name != "model"}
    completions = client.chat.completions.with_streaming_response
    async with completions.create(model=request["model"], messages=(), extra_body=extra) as response:
        async for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                break
    return bytes(body)


def _open(model: OpenAIModel, key: str | None) -> openai.AsyncOpenAI:
    import openai  # noqa: PLC0415 - see `_errors`

    client = openai.AsyncOpenAI(
        api_key=key or "not-needed",
        # Said outright, so that OPENAI_BASE_URL cannot send the records elsewhere than priced.
        base_url=endpoint(model),
        max_retries=0,
        timeout=openai.Timeout(None, connect=min(_CONNECT_SECONDS, model.timeout_seconds)),
    )
    if model.base_url is not None:
        # openai reads these from the environment; they are no business of another provider.
        client.organization = client.project = None
    return client


def _serve(loop: asyncio.AbstractEventLoop, clients: Sequence[openai.AsyncOpenAI]) -> None:
    """Run the loop until it is stopped, then end what it holds.

    It must not refer to the Network, which could then never be collected.
    """
    asyncio.set_event_loop(loop)
    loop.run_forever()
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    for client in clients:
        loop.run_until_complete(client.close())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    # The collector may run this in the network's own thread, which cannot wait for itself.
    if thread is not threading.current_thread():
        thread.join(_GRACE_SECONDS)
