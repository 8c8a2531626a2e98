"""A chat endpoint on the loopback address that answers after a fixed time, for benchmarks of the client.

`python -m transforms.bench_server --latency 0.2` prints its port and serves until its stdin ends, which it
does when the process that started it has died.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_BODY = json.dumps(
    {
        "id": "bench",
        "object": "chat.completion",
        "created": 0,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": '{"label": "positive"}'},
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105},
    }
).encode()
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    + f"Content-Length: {len(_BODY)}\r\n\r\n".encode()
    + _BODY
)
_REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 2\r\n\r\n{}"
)
_HOST = "127.0.0.1"
_WAITING = 1024


async def serve(latency: float) -> None:
    """Listen on a free port, print it, and answer every request `latency` seconds after it came."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await _read_message(reader)
                await asyncio.sleep(latency)
                writer.write(_ANSWER)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, _HOST, 0, backlog=_WAITING)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


async def _read_message(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, found, rest = head.partition(b"content-length:")
    await reader.readexactly(int(rest.partition(b"\r\n")[0]) if found else 0)


@contextlib.contextmanager
def running_server(latency: float) -> Iterator[int]:
    """The port of a server in a process of its own, which is ended afterwards."""
    command = [sys.executable, "-m", "transforms.bench_server", "--latency", repr(latency)]
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)  # noqa: S603 - our own module
    try:
        said = child.stdout.readline() if child.stdout is not None else ""
        if not said.strip().isdecimal():
            raise OSError("the benchmark's server on 127.0.0.1 did not start: may this process listen there?")
        yield int(said)
    finally:
        child.terminate()
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()


async def bare_requests(port: int, concurrency: int, requests: int) -> None:
    """Ask as cheaply as can be, to see what the server itself can hold: open connections, no parsing."""

    async def ask(count: int) -> None:
        reader, writer = await asyncio.open_connection(_HOST, port)
        for _ in range(count):
            writer.write(_REQUEST)
            await _read_message(reader)
        writer.close()
        await writer.wait_closed()

    share, more = divmod(requests, concurrency)
    await asyncio.gather(*(ask(share + (number < more)) for number in range(concurrency)))


def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--latency", type=float, default=0.2, help="seconds before an answer")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args().latency))


if __name__ == "__main__":
    main()
