"""Batch objects and result lines in the shapes that providers send, and in shapes that they should not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from transforms.batch_wire import BatchState, read_result, read_state, request_line, shown_errors

BATCH: dict[str, Any] = {
    "id": "batch_1",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "errors": None,
    "input_file_id": "file-1",
    "completion_window": "24h",
    "status": "completed",
    "output_file_id": "file-2",
    "error_file_id": "",
    "created_at": 1711471533,
    "request_counts": {"total": 100, "completed": 95, "failed": 5},
    "metadata": {"tekizai": "k", "other": "x"},
}


def test_a_batch_object_is_read() -> None:
    """An empty file id is none: some servers send that."""
    assert read_state(BATCH) == BatchState(
        "batch_1", "completed", "file-1", "file-2", None, "k", 100, 95, 5, 1711471533.0
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"request_counts": None, "metadata": None},
        {"request_counts": {"total": "many", "completed": -1, "failed": True}, "metadata": []},
        {"errors": "wrong", "created_at": None, "output_file_id": 7},
    ],
)
def test_what_is_of_another_shape_is_left_out(changes: dict[str, Any]) -> None:
    """The id and the status suffice."""
    found = read_state(BATCH | changes)

    assert found is not None
    assert (found.id, found.status) == ("batch_1", "completed")
    assert read_state({}) is None
    assert read_state({"id": "batch_1"}) is None


def test_errors_name_lines_and_records() -> None:
    """The first three, and how many more there are."""
    errors = [
        {"code": "c", "line": line, "message": f"bad {line}", "param": None} for line in (1, 2, None, 9)
    ]
    state = read_state(BATCH | {"errors": {"object": "list", "data": errors}})

    assert state is not None
    assert state.error_codes == ("c",) * 4
    assert shown_errors(state, ["r7", ""]) == (
        "line 1 (record r7): bad 1; line 2: bad 2; bad None; and 1 more"
    )
    assert shown_errors(BatchState("b", "failed")) == "it does not say why"


def test_a_request_is_one_line() -> None:
    """The text's own line breaks are escaped, and other scripts stay readable."""
    line = request_line("a", {"messages": [{"role": "user", "content": "a\nü"}]})

    assert line.count(b"\n") == 1
    assert "ü".encode() in line
    assert json.loads(line)["custom_id"] == "a"


def test_good_and_bad_responses_are_read() -> None:
    """A response has a status and a body, which of an error holds what went wrong."""
    good = read_result(
        b'{"id":"x","custom_id":"a","response":{"status_code":200,"request_id":"r","body":{"id":"c"}},"error":null}'
    )
    error = {"message": "too  long", "type": "t", "param": "messages", "code": "context_length_exceeded"}
    response = {"status_code": 400, "request_id": "r", "body": {"error": error}}
    bad = read_result(json.dumps({"custom_id": "a", "response": response, "error": None}).encode())

    assert good is not None
    assert (good.status, good.body, good.said) == (200, b'{"id":"c"}', "")
    assert bad is not None
    assert (bad.status, bad.said, bad.code, bad.parameter) == (
        400,
        "too long",
        "context_length_exceeded",
        "messages",
    )


def test_a_line_without_a_response_says_why() -> None:
    """As the lines of an expired batch do."""
    error = {"code": "batch_expired", "message": "This request could not be executed."}
    found = read_result(json.dumps({"custom_id": "a", "response": None, "error": error}).encode())

    assert found is not None
    assert (found.status, found.code, found.said) == (
        None,
        "batch_expired",
        "This request could not be executed.",
    )


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'{"custom_id": 3}', b'{"custom_id": ""}', b"\xff"])
def test_what_is_no_result_is_none(line: bytes) -> None:
    """Its question counts as not answered."""
    assert read_result(line) is None
