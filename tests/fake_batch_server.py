"""OpenAI's batch endpoints on 127.0.0.1: files, batches that pass through their states, and its own bill.

    with FakeBatchServer() as server:
        server.hold.clear()                             # batches stay in progress until it is set again
        model = OpenAIModel(engine="openai", model="fake", base_url=server.base_url, batch=True)

It follows the formats of OpenAI's API reference. Each look at a batch takes it one state further, so nothing
depends on time. What it does with a line is up to `behave`; what it completed it counts, by the tokens that
it reported. It keeps what it has until it is closed, whatever becomes of its clients.
"""

from __future__ import annotations

import email.parser
import email.policy
import itertools
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from typing_extensions import Self

COMPLETION_TOKENS = 5
CACHED_TOKENS = 40
MAX_REQUESTS = 50_000
MAX_BYTES = 200_000_000
MAX_CUSTOM_ID = 64
_STEPS = ("validating", "in_progress", "finalizing")
_OVER = ("completed", "failed", "expired", "cancelled")


@dataclass(frozen=True)
class Line:
    """What becomes of one request of a batch; the default is a good answer."""

    answer: str = '{"label": "positive"}'
    status: int = 200
    message: str = "out of order"
    """What an error says."""
    param: str | None = None
    code: str | None = None
    missing: bool = False
    """No line in either file, though it counts as completed; some providers lose one."""
    expires: bool = False
    """Not done when the batch's time is over: the batch ends as expired, and the line's error says so."""
    usage: bool = True


def prompt_tokens(request: Mapping[str, Any]) -> int:
    """Tokens of a request's messages: every text its own number, and more than are cached."""
    return CACHED_TOKENS + sum(len(message["content"]) for message in request["messages"])


@dataclass
class Batch:
    """A batch, and how often it was looked at."""

    id: str
    input_file: str
    metadata: Mapping[str, str] | None
    created_at: int
    looks: int = 0
    status: str = "validating"
    total: int = 0
    completed: int = 0
    failed: int = 0
    output_file: str | None = None
    error_file: str | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Refusal(Exception):  # noqa: N818 - it is an answer
    """An error response."""

    status: int
    message: str
    code: str | None = None


class FakeBatchServer:
    """The server; a context manager that starts and stops it."""

    def __init__(
        self,
        behave: Callable[[Mapping[str, Any], int], Line] = lambda _request, _asked: Line(),
        *,
        key: str | None = None,
        page: int = 100,
        endpoints: bool = True,
    ) -> None:
        """Make the server; it listens once entered.

        Args:
            behave: What becomes of a request, given its body and how often its custom id was asked before.
            key: Where given, every other key gets a status of 401.
            page: Most batches in one page of the listing.
            endpoints: Whether it has batches at all.

        """
        self.behave, self.key, self.page, self.endpoints = behave, key, page, endpoints
        self.max_requests, self.max_bytes = MAX_REQUESTS, MAX_BYTES
        self.queue_tokens: int | None = None
        """Most prompt tokens of all batches that are not over; None for any number."""
        self.hold = threading.Event()
        """While cleared, batches stay in progress, with half of their lines done."""
        self.hold.set()
        self.before: Callable[[str, str], None] = lambda _method, _path: None
        """Called before a request is served; what it raises is the answer (`Refusal`) or cuts the line."""
        self.after: Callable[[str, str], None] = lambda _method, _path: None
        """Called when a request is served and its answer not sent yet."""
        self.files: dict[str, tuple[str, str, bytes]] = {}
        """Name, purpose and content by id."""
        self.batches: dict[str, Batch] = {}
        self.asked: Counter[str] = Counter()
        """How often each custom id was in a batch that began."""
        self.requests: list[tuple[str, str]] = []
        """Method and path of each request."""
        self.lines: list[dict[str, Any]] = []
        """Usage of each completed line: the bill."""
        self.lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._http: ThreadingHTTPServer | None = None

    @property
    def base_url(self) -> str:
        """The URL to put into a job file."""
        if self._http is None:
            raise RuntimeError("the server has no port yet: enter it first")
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def bill(self, given: str, cached: str, made: str) -> Decimal:
        """What all completed lines cost, at prices in dollars for a million tokens."""
        million = Decimal(1_000_000)
        return (
            sum(
                (
                    Decimal(given) * (line["prompt_tokens"] - line["cached"])
                    + Decimal(cached) * line["cached"]
                    + Decimal(made) * line["completion_tokens"]
                    for line in self.lines
                ),
                Decimal(0),
            )
            / million
        )

    def requests_in(self, batch_id: str) -> list[dict[str, Any]]:
        """The request lines of a batch."""
        content = self.files[self.batches[batch_id].input_file][2]
        return [json.loads(line) for line in content.splitlines()]

    def __enter__(self) -> Self:
        """Listen."""
        server = self

        class Handler(_Handler):
            fake = server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        self.hold.set()
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()

    def admit(self, given: str | None) -> None:
        """Refuse a wrong key."""
        if self.key is not None and given != f"Bearer {self.key}":
            raise Refusal(401, f"Incorrect API key provided: {given}")

    def serve(self, method: str, path: str, query: Mapping[str, str], body: bytes, kind: str) -> Any:
        """The answer to a request: bytes of a file, or something to write as JSON."""
        if not self.endpoints:
            raise Refusal(404, f"Not Found: {path}")
        parts = path.removeprefix("/v1/").split("/")
        with self.lock:
            match method, *parts:
                case "POST", "files":
                    return self._upload(body, kind)
                case "GET", "files", name, "content":
                    return self._file(name)[2]
                case "POST", "batches":
                    return self._create(json.loads(body))
                case "GET", "batches":
                    return self._list(query)
                case "GET", "batches", name:
                    return self._shown(self._advance(self._batch(name)))
                case "POST", "batches", name, "cancel":
                    return self._shown(self._cancel(self._batch(name)))
        raise Refusal(404, f"there is nothing at {method} {path}")

    def _upload(self, body: bytes, kind: str) -> dict[str, Any]:
        head = f"Content-Type: {kind}\r\n\r\n".encode()
        form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
        found = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
        purpose, file = found["purpose"].get_payload(decode=True).decode(), found["file"]
        if purpose != "batch":
            raise Refusal(400, f"'{purpose}' is not one of the purposes", "invalid_purpose")
        content = file.get_payload(decode=True)
        if len(content) > self.max_bytes:
            raise Refusal(413, f"the file is larger than {self.max_bytes} bytes")
        return self._stored(str(file.get_filename()), "batch", content)

    def _stored(self, name: str, purpose: str, content: bytes) -> dict[str, Any]:
        file_id = f"file-{next(self._numbers):06d}"
        self.files[file_id] = (name, purpose, content)
        return {
            "id": file_id,
            "object": "file",
            "bytes": len(content),
            "created_at": 1_800_000_000,
            "filename": name,
            "purpose": purpose,
            "status": "processed",
        }

    def _file(self, name: str) -> tuple[str, str, bytes]:
        if name not in self.files:
            raise Refusal(404, f"No such File object: {name}")
        return self.files[name]

    def _create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if self._file(request["input_file_id"])[1] != "batch":
            raise Refusal(400, "the input file's purpose is not batch")
        if request["endpoint"] != "/v1/chat/completions" or request["completion_window"] != "24h":
            raise Refusal(400, "endpoint or completion_window is not supported")
        metadata = request.get("metadata")
        if any(len(name) > 64 or len(value) > 512 for name, value in (metadata or {}).items()):
            raise Refusal(400, "metadata is too long")
        name = f"batch_{next(self._numbers):06d}"
        made = Batch(name, request["input_file_id"], metadata, 4_000_000_000 + len(self.batches))
        self.batches[name] = made
        return self._shown(made)

    def _list(self, query: Mapping[str, str]) -> dict[str, Any]:
        newest = list(reversed(self.batches.values()))
        if "after" in query:
            names = [batch.id for batch in newest]
            newest = newest[names.index(query["after"]) + 1 :]
        most = min(self.page, int(query.get("limit", 20)))
        shown = [self._shown(batch) for batch in newest[:most]]
        return {
            "object": "list",
            "data": shown,
            "first_id": shown[0]["id"] if shown else None,
            "last_id": shown[-1]["id"] if shown else None,
            "has_more": len(newest) > most,
        }

    def _batch(self, name: str) -> Batch:
        if name not in self.batches:
            raise Refusal(404, f"No batch found with id '{name}'.")
        return self.batches[name]

    def _cancel(self, batch: Batch) -> Batch:
        if batch.status in _OVER:
            raise Refusal(409, f"a batch that is {batch.status} cannot be cancelled")
        batch.status = "cancelling"
        return batch

    def _advance(self, batch: Batch) -> Batch:
        """Take a batch one state further."""
        if batch.status in _OVER:
            return batch
        if batch.status == "cancelling":
            self._finish(batch, cancelled=True)
            return batch
        batch.looks += 1
        if batch.looks == 1:
            self._validate(batch)
        if batch.status == "failed":
            return batch
        if batch.looks >= 2 and not self.hold.is_set():
            batch.status, batch.completed = "in_progress", batch.total // 2
        elif batch.looks < len(_STEPS):
            batch.status = _STEPS[batch.looks]
        else:
            self._finish(batch, cancelled=False)
        return batch

    def _validate(self, batch: Batch) -> None:
        lines = self._file(batch.input_file)[2].splitlines()
        seen: set[str] = set()
        if len(lines) > self.max_requests:
            self._fail(batch, None, "invalid_request", f"more than {self.max_requests} requests")
        for number, line in enumerate(lines, 1):
            request = json.loads(line)
            name = request["custom_id"]
            if name in seen or not 0 < len(name) <= MAX_CUSTOM_ID:
                self._fail(batch, number, "duplicate_custom_id", f"The custom_id {name} is not usable.")
            if request["method"] != "POST" or request["url"] != "/v1/chat/completions":
                self._fail(batch, number, "invalid_url", "The URL does not match the batch's endpoint.")
            seen.add(name)
        waiting = [one for one in self.batches.values() if one.status not in _OVER]
        tokens = sum(prompt_tokens(line["body"]) for one in waiting for line in self.requests_in(one.id))
        if self.queue_tokens is not None and tokens > self.queue_tokens:
            said = f"Enqueued token limit reached. Limit: {self.queue_tokens} enqueued tokens."
            self._fail(batch, None, "token_limit_exceeded", said)
        if batch.status != "failed":
            batch.total = len(lines)

    @staticmethod
    def _fail(batch: Batch, line: int | None, code: str, message: str) -> None:
        batch.status = "failed"
        batch.errors.append({"code": code, "line": line, "message": message, "param": None})

    def _finish(self, batch: Batch, *, cancelled: bool) -> None:
        """Answer the lines; of a cancelled batch the first half."""
        good, bad, expired = [], [], False
        requests = self.requests_in(batch.id)
        for number, request in enumerate(requests):
            name = request["custom_id"]
            line = self.behave(request["body"], self.asked[name])
            self.asked[name] += 1
            over = "batch_expired" if line.expires else ""
            if cancelled and number >= len(requests) // 2:
                over = "batch_cancelled"
            expired = expired or over == "batch_expired"
            if over:
                error = {"code": over, "message": "This request could not be executed before the end."}
                bad.append(self._result(name, None, error))
            elif line.missing:
                continue
            elif line.status == 200:
                good.append(self._result(name, self._response(request["body"], line), None))
            else:
                error = {"message": line.message, "type": "error", "param": line.param, "code": line.code}
                response = {"status_code": line.status, "request_id": "req", "body": {"error": error}}
                bad.append(self._result(name, response, None))
        batch.completed, batch.failed = len(good), len(bad)
        batch.output_file = self._results(batch, "output", good)
        batch.error_file = self._results(batch, "error", bad)
        batch.status = "cancelled" if cancelled else "expired" if expired else "completed"

    def _results(self, batch: Batch, kind: str, lines: list[dict[str, Any]]) -> str | None:
        """A file of results, the last line first: their order is not promised."""
        if not lines:
            return None
        content = "".join(json.dumps(line) + "\n" for line in reversed(lines)).encode()
        return str(self._stored(f"{batch.id}_{kind}.jsonl", "batch_output", content)["id"])

    def _result(self, name: str, response: Any, error: Any) -> dict[str, Any]:
        number = next(self._numbers)
        return {"id": f"batch_req_{number:06d}", "custom_id": name, "response": response, "error": error}

    def _response(self, request: Mapping[str, Any], line: Line) -> dict[str, Any]:
        usage = {"prompt_tokens": prompt_tokens(request), "completion_tokens": COMPLETION_TOKENS}
        self.lines.append({**usage, "cached": CACHED_TOKENS if line.usage else 0})
        message = {"role": "assistant", "content": line.answer, "refusal": None}
        body: dict[str, Any] = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_800_000_000,
            "model": request["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        }
        if line.usage:
            cached = {"prompt_tokens_details": {"cached_tokens": CACHED_TOKENS}}
            body["usage"] = {**usage, "total_tokens": sum(usage.values()), **cached}
        return {"status_code": 200, "request_id": "req", "body": body}

    @staticmethod
    def _shown(batch: Batch) -> dict[str, Any]:
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "errors": {"object": "list", "data": batch.errors} if batch.errors else None,
            "input_file_id": batch.input_file,
            "completion_window": "24h",
            "status": batch.status,
            "output_file_id": batch.output_file,
            "error_file_id": batch.error_file or "",
            "created_at": batch.created_at,
            "request_counts": {
                "total": batch.total,
                "completed": batch.completed,
                "failed": batch.failed,
            },
            "metadata": batch.metadata,
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeBatchServer

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def _serve(self, method: str) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.fake.lock:
            self.fake.requests.append((method, url.path))
        try:
            self.fake.before(method, url.path)
            self.fake.admit(self.headers.get("Authorization"))
            found = self.fake.serve(method, url.path, query, body, self.headers.get("Content-Type") or "")
            self.fake.after(method, url.path)
        except Refusal as refusal:
            error = {"message": refusal.message, "type": "error", "param": None, "code": refusal.code}
            self._send(refusal.status, json.dumps({"error": error}).encode())
        except ConnectionError:
            self.close_connection = True
        else:
            self._send(200, found if isinstance(found, bytes) else json.dumps(found).encode())

    def _send(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a test's output is its own."""
