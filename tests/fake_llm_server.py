"""An OpenAI-compatible server on 127.0.0.1 that misbehaves on command and counts what it answered and billed.

    with FakeLlmServer(answer=lambda text: '{"label": "positive"}') as server:
        server.script.append(failing(503))              # for the next request only; then it behaves again
        model = OpenAIModel(engine="openai", model="fake", base_url=server.base_url)

It is real HTTP on a real socket, so that timeouts, cut connections and slow bodies are real as well.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from typing_extensions import Self

PROMPT_TOKENS = 100
CACHED_TOKENS = 40
COMPLETION_TOKENS = 5


@dataclass(frozen=True)
class Behaviour:
    """What the server does with one request; the default is a good answer at once."""

    status: int = 200
    answer: str | None = None
    """The model's text; None asks the server's `answer` function."""
    body: bytes | None = None
    """Sent as it is instead of a completion."""
    headers: Mapping[str, str] = field(default_factory=dict)
    message: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the message to add or replace, such as a refusal."""
    finish_reason: str = "stop"
    choices: bool = True
    usage: bool = True
    delay_seconds: float = 0.0
    """Wait before the answer."""
    drip_seconds: float = 0.0
    """Wait after each byte of the whole response, its head included."""
    cut_after: int | None = None
    """Close the connection after so many bytes of the body."""
    hang: bool = False
    """Never answer."""
    endless: bool = False
    """Never stop sending the body."""


def failing(status: int, message: str = "out of order", **headers: str) -> Behaviour:
    """Answer with an error as OpenAI words it; underscores in header names become hyphens."""
    body = json.dumps({"error": {"message": message, "type": "error", "param": None, "code": None}}).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Behaviour(status=status, body=body, headers=names)


class FakeLlmServer:
    """The server; a context manager that starts and stops it.

    What it counts may be read at any time, and set back by the test that wants to.
    """

    def __init__(
        self,
        answer: Callable[[str], str] = lambda _: '{"label": "positive"}',
        *,
        behave: Callable[[Mapping[str, Any]], Behaviour] = lambda _: Behaviour(),
        refuses: frozenset[str] = frozenset(),
        key: str | None = None,
        port: int = 0,
    ) -> None:
        """Make the server; it listens once entered.

        Args:
            answer: The model: gets the last user message, returns the content of its reply.
            behave: What to do with a request (its JSON) once `script` is empty.
            refuses: Parameters that get a status of 400 or, for the types of `response_format` (json_schema,
                json_object), of 422; neither is billed.
            key: Where given, every other key gets a status of 401.
            port: Where to listen, so that a server can come back; 0 for any free port.

        """
        self.script: deque[Behaviour] = deque()
        self.answer, self.behave, self.refuses, self.key, self.port = answer, behave, refuses, key, port
        self.requests: list[dict[str, Any]] = []
        """The JSON of every request, in order of arrival."""
        self.request_headers: list[dict[str, str]] = []
        """Their headers, with lower-case names."""
        self.answered = 0
        """Completions that went out whole."""
        self.billed = 0
        """Completions that were made, whether they arrived or not."""
        self.at_once = 0
        self.most_at_once = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._http: _HttpServer | None = None

    @property
    def base_url(self) -> str:
        """The URL to put into a job file; it stays known after the server stopped."""
        if self._http is None:
            raise RuntimeError("the server has no port yet: enter it first")
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def billed_tokens(self) -> tuple[int, int]:
        """Prompt and completion tokens of all billed completions."""
        return self.billed * PROMPT_TOKENS, self.billed * COMPLETION_TOKENS

    def __enter__(self) -> Self:
        """Listen."""
        self._http = _HttpServer(self)
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening and let go of every request that hangs."""
        self.closing.set()
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()

    def choose(self, path: str, request: dict[str, Any], headers: Mapping[str, str]) -> Behaviour:
        """Decide what to do with a request."""
        if path != "/v1/chat/completions":
            return failing(404, f"there is nothing at {path}")
        given = headers.get("authorization")
        if self.key is not None and given != f"Bearer {self.key}":
            return failing(401, f"Incorrect API key provided: {given}")
        for name in sorted(self.refuses & request.keys()):
            return failing(400, f"Unsupported parameter: '{name}' is not supported with this model.")
        kind = request.get("response_format", {}).get("type")
        if kind in self.refuses:
            place = {"loc": ["body", "response_format", "type"], "msg": "unexpected value", "input": request}
            return Behaviour(status=422, body=json.dumps({"detail": [place]}).encode())
        with self.lock:
            scripted = self.script.popleft() if self.script else None
        return self.behave(request) if scripted is None else scripted

    def completion(self, behaviour: Behaviour, request: Mapping[str, Any]) -> bytes:
        """Write the body of a completion, and bill it."""
        with self.lock:
            self.billed += 1
        content = behaviour.answer
        if content is None:
            content = self.answer(request["messages"][-1]["content"])
        choice = {
            "index": 0,
            "finish_reason": behaviour.finish_reason,
            "message": {"role": "assistant", "content": content, **behaviour.message},
        }
        body: dict[str, Any] = {"id": "fake-1", "object": "chat.completion", "created": 0, "model": "fake"}
        body["choices"] = [choice] if behaviour.choices else []
        if behaviour.usage:
            body["usage"] = {
                "prompt_tokens": PROMPT_TOKENS,
                "completion_tokens": COMPLETION_TOKENS,
                "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
                "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS},
            }
        return json.dumps(body).encode()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, fake: FakeLlmServer) -> None:
        super().__init__(("127.0.0.1", fake.port), _Handler)
        self.fake = fake


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _HttpServer

    def handle(self) -> None:
        # A TLS greeting has no line end to wait for; servers without TLS refuse it by its first byte.
        if self.connection.recv(1, socket.MSG_PEEK) == b"\x16":
            self.connection.recv(65536)
            self.connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            return
        super().handle()

    def do_POST(self) -> None:
        fake = self.server.fake
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        request, headers = json.loads(raw), {k.lower(): v for k, v in self.headers.items()}
        with fake.lock:
            fake.requests.append(request)
            fake.request_headers.append(headers)
            fake.at_once += 1
            fake.most_at_once = max(fake.most_at_once, fake.at_once)
        try:
            with contextlib.suppress(OSError):  # the client hung up, as some tests want it to
                self._reply(fake, fake.choose(self.path, request, headers), request)
        finally:
            with fake.lock:
                fake.at_once -= 1

    def _reply(self, fake: FakeLlmServer, behaviour: Behaviour, request: Mapping[str, Any]) -> None:
        if behaviour.hang:
            self.close_connection = fake.closing.wait()
            return
        fake.closing.wait(behaviour.delay_seconds)
        body = fake.completion(behaviour, request) if behaviour.body is None else behaviour.body
        head = [f"HTTP/1.1 {behaviour.status} Status", "Content-Type: application/json"]
        head += [f"{name}: {value}" for name, value in behaviour.headers.items()]
        head += [f"Content-Length: {10**12 if behaviour.endless else len(body)}", "", ""]
        cut = len(body) if behaviour.cut_after is None else behaviour.cut_after
        whole = behaviour.body is None and cut == len(body)
        # Counted first: a client that has its answer may look at the count at once.
        with fake.lock:
            fake.answered += whole
        try:
            self._write("\r\n".join(head).encode() + body[:cut], behaviour.drip_seconds)
        except OSError:
            with fake.lock:
                fake.answered -= whole
            raise
        while behaviour.endless and not fake.closing.is_set():
            self._write(b"x" * 65536, 0.0)
        self.close_connection = cut < len(body)

    def _write(self, data: bytes, drip_seconds: float) -> None:
        if not drip_seconds:
            self.wfile.write(data)
            return
        for byte in data:
            self.wfile.write(bytes([byte]))
            if self.server.fake.closing.wait(drip_seconds):
                return

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a test's output is its own."""
