"""What goes over the wire to and from the batch endpoint: request lines, batch objects, result lines.

Pure functions and frozen values. Formats: OpenAI's API reference, "Batches", November 2026.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from transforms.llm_wire import error_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

URL = "/v1/chat/completions"
OUR_KEY = "tekizai"
"""The name under which our own key of a batch stands in its metadata."""
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
CROWDED = "token_limit_exceeded"
"""The error of a batch that must wait until others are done: the provider bounds the tokens in its queue."""
_SHOWN_ERRORS = 3


@dataclass(frozen=True, slots=True)
class BatchState:
    """A batch object, as far as it matters here."""

    id: str
    status: str
    """One of `ENDED`, or something that is still to change: validating, in_progress, finalizing, …."""
    input_file: str | None = None
    output_file: str | None = None
    error_file: str | None = None
    key: str | None = None
    """Our own key, from its metadata."""
    total: int = 0
    completed: int = 0
    failed: int = 0
    created_at: float = 0.0
    error_codes: tuple[str, ...] = ()
    errors: tuple[tuple[int | None, str], ...] = ()
    """Why it failed: the number of a line, where it is about one, and what is wrong."""


def read_state(data: Mapping[str, Any]) -> BatchState | None:
    """Read a batch object, trusting nothing about its shape; None where it is none."""
    name, status = _text(data.get("id")), _text(data.get("status"))
    if name is None or status is None:
        return None
    metadata, counts = _mapping(data.get("metadata")), _mapping(data.get("request_counts"))
    listed = _mapping(data.get("errors")).get("data")
    errors = [_mapping(one) for one in listed] if isinstance(listed, list) else []
    created = data.get("created_at")
    return BatchState(
        id=name,
        status=status,
        input_file=_text(data.get("input_file_id")),
        # Some servers send an empty text for none.
        output_file=_text(data.get("output_file_id")),
        error_file=_text(data.get("error_file_id")),
        key=_text(metadata.get(OUR_KEY)),
        total=_count(counts.get("total")),
        completed=_count(counts.get("completed")),
        failed=_count(counts.get("failed")),
        created_at=float(created) if isinstance(created, (int, float)) else 0.0,
        error_codes=tuple(code for one in errors if (code := _text(one.get("code")))),
        errors=tuple((_line_number(one.get("line")), error_text(dict(one))) for one in errors),
    )


def request_line(custom_id: str, body: Mapping[str, Any]) -> bytes:
    """A line of a file of requests."""
    line = {"custom_id": custom_id, "method": "POST", "url": URL, "body": body}
    return orjson.dumps(line) + b"\n"


@dataclass(frozen=True, slots=True)
class ResultLine:
    """A line of an output or error file: a response, or an error in place of one."""

    custom_id: str
    status: int | None
    """The response's status; None where there was no response."""
    body: bytes
    """The response's body as JSON."""
    said: str
    """What the error says, in one line; empty beside a good response."""
    code: str | None
    parameter: str | None


def read_result(line: bytes) -> ResultLine | None:
    """Read a line of results; None where it is none, or says not to which question it belongs."""
    try:
        data = orjson.loads(line)
    except ValueError:
        return None
    name = _text(data.get("custom_id")) if isinstance(data, dict) else None
    if name is None:
        return None
    response, error = data.get("response"), data.get("error")
    if not isinstance(response, dict):
        problem = _mapping(error)
        return ResultLine(name, None, b"", error_text(dict(problem)), _text(problem.get("code")), None)
    status, body = response.get("status_code"), response.get("body")
    status = status if isinstance(status, int) else 0
    good = 200 <= status < 300  # noqa: PLR2004 - what HTTP calls a success
    inner = _mapping(_mapping(body).get("error"))
    said = "" if good else error_text(body if isinstance(body, dict) else str(body))
    return ResultLine(
        name, status, orjson.dumps(body), said, _text(inner.get("code")), _text(inner.get("param"))
    )


def shown_errors(state: BatchState, records: Sequence[str] = ()) -> str:
    """The first errors of a batch that failed, in one line; `records` are the ids of its lines' records."""
    shown = [_shown_error(line, said, records) for line, said in state.errors[:_SHOWN_ERRORS]]
    more = len(state.errors) - len(shown)
    return "; ".join(shown or ["it does not say why"]) + (f"; and {more:,} more" if more else "")


def _shown_error(line: int | None, said: str, records: Sequence[str]) -> str:
    if line is None:
        return said
    record = f" (record {records[line - 1]})" if 0 < line <= len(records) and records[line - 1] else ""
    return f"line {line}{record}: {said}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _line_number(value: object) -> int | None:
    return _count(value) or None
