"""An agent's requests in the words of endpoints."""

from __future__ import annotations

import json
from typing import Any

import pytest

from transforms.judge_wire import (
    action_schema,
    json_messages,
    native_parameters,
    plain_messages,
    read_body,
    step_key,
)
from transforms.llm_wire import Dialect

PARAMETERS = {"type": "object", "properties": {"k": {"type": "integer"}}, "required": ["k"]}
TOOLS = [{"type": "function", "function": {"name": "look", "description": "Look.", "parameters": PARAMETERS}}]
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"k": 2}'}}
REQUEST: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "You judge."},
        {"role": "user", "content": "Which?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "this"},
        {"role": "system", "content": "Call a tool."},
    ],
    "tools": TOOLS,
}


def body(**message: Any) -> bytes:
    """A completion."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}
    return json.dumps({"choices": [choice]}).encode()


def message_of(data: bytes) -> dict[str, Any]:
    """The message of a completion."""
    found: dict[str, Any] = json.loads(data)["choices"][0]["message"]
    return found


def test_only_the_first_message_is_the_systems() -> None:
    """Many endpoints refuse others."""
    roles = [message["role"] for message in plain_messages(REQUEST["messages"])]

    assert roles == ["system", "user", "assistant", "tool", "user"]


def test_without_tool_calls_an_action_is_json() -> None:
    """Calls are what the model wrote, results what a user says; nothing of the API's tools is left."""
    told = json_messages(REQUEST, TOOLS)

    assert [one["role"] for one in told] == ["system", "user", "assistant", "user", "user"]
    assert told[0]["content"].endswith('- look: Look. Arguments: {"k": {"type": "integer"}}')
    assert json.loads(told[2]["content"]) == {"tool": "look", "arguments": {"k": 2}}
    assert told[3]["content"] == "Result of your call:\nthis"


def test_the_schema_allows_the_tools_and_nothing_else() -> None:
    """Each with its own arguments."""
    assert action_schema(TOOLS) == {
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "tool": {"type": "string", "enum": ["look"]},
                    "arguments": PARAMETERS,
                },
                "required": ["tool", "arguments"],
                "additionalProperties": False,
            }
        ]
    }


def read(data: bytes, number: int = 1, *, in_json: bool = False) -> dict[str, Any]:
    """The message of a response, as the agent library gets it."""
    found = read_body(data, number, in_json=in_json)
    assert found is not None
    return message_of(found)


def test_an_action_is_read_as_a_call() -> None:
    """With a name that is the same when it is read again."""
    found = read(body(content='{"tool": "look", "arguments": {"k": 2}}'), 3, in_json=True)

    assert found["content"] is None
    [call] = found["tool_calls"]
    assert (call["id"], call["function"]["name"]) == ("call00300", "look")
    assert json.loads(call["function"]["arguments"]) == {"k": 2}


@pytest.mark.parametrize("content", ["no JSON", "[]", '{"tool": 3, "arguments": {}}', '{"tool": "look"}'])
def test_what_is_no_action_stays_text(content: str) -> None:
    """The agent then asks for a call."""
    found = read(body(content=content), in_json=True)

    assert (found["content"], found["tool_calls"]) == (content, None)


@pytest.mark.parametrize(
    "data", [b"nonsense", b"{}", b'{"choices": []}', b'{"choices": [{"message": 3}]}', body(tool_calls=3)]
)
def test_what_is_no_completion_is_not_read(data: bytes) -> None:
    """Whatever an endpoint sends."""
    assert read_body(data, 1, in_json=False) is None


def test_calls_without_a_name_get_one() -> None:
    """The next request must repeat it, and be the same in a later run."""
    unnamed = {"type": "function", "function": CALL["function"]}

    found = read(body(content=None, tool_calls=[CALL, unnamed]), 2)

    assert [call["id"] for call in found["tool_calls"]] == ["c1", "call00201"]


def test_a_step_is_named_by_all_that_is_sent() -> None:
    """Another message, tool or text is another step."""
    key = step_key(b"text", REQUEST)

    assert len(key) == 16
    assert key == step_key(b"text", {**REQUEST, "model": "any"})
    assert key != step_key(b"other", REQUEST)
    assert key != step_key(b"text", {**REQUEST, "messages": REQUEST["messages"][:2]})
    assert key != step_key(b"text", {**REQUEST, "tools": []})


def test_an_endpoint_that_knows_no_required_call_is_not_asked_for_one() -> None:
    """First `required`, then `auto`, then nothing."""
    dialect: Dialect | None = Dialect()
    choices = []
    while dialect is not None:
        choices.append(native_parameters(REQUEST, dialect, 100).get("tool_choice"))
        dialect = dialect.without("tool_choice")

    assert choices == ["required", "auto", None]
