"""An agent's requests in the words that an endpoint takes: tool calls of the API, or JSON in their place.

Pure functions on the JSON of chat completions. An agent library writes the requests and reads the answers;
what it says is kept, but for what many endpoints refuse.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transforms.llm_wire import Dialect

Request = dict[str, Any]
_KEY_BYTES = 16
_ACTION = (
    "Each of your answers is one JSON object and nothing else: "
    '{"tool": NAME, "arguments": {...}}. It calls one of these tools, with the arguments it takes:'
)


def plain_messages(messages: Sequence[Mapping[str, Any]]) -> list[Request]:
    """The messages with one system message at most, the first: many endpoints refuse others."""
    found = [dict(message) for message in messages]
    for message in found[1:]:
        if message["role"] == "system":
            message["role"] = "user"
    return found


def step_key(text_key: bytes, request: Mapping[str, Any]) -> bytes:
    """The name of a step in the journal: 16 bytes of the record's text and of all that is sent."""
    sent = {name: request.get(name) for name in ("messages", "tools")}
    data = json.dumps(sent, sort_keys=True, ensure_ascii=True).encode()
    return hashlib.blake2b(text_key + data, digest_size=_KEY_BYTES).digest()


def native_parameters(request: Mapping[str, Any], dialect: Dialect, max_output_tokens: int) -> Request:
    """The parameters of a request with the API's own tool calls."""
    parameters = dialect.bounded(max_output_tokens)
    parameters["tools"] = request["tools"]
    if dialect.tool_choices:
        parameters["tool_choice"] = dialect.tool_choices[0]
    return parameters


def json_parameters(request: Mapping[str, Any], dialect: Dialect, max_output_tokens: int) -> Request:
    """The parameters of a request whose answer is an action in JSON."""
    return dialect.bounded(max_output_tokens, "action", action_schema(request["tools"]))


def action_schema(tools: Sequence[Mapping[str, Any]]) -> Request:
    """The JSON Schema of an action: one of the tools with its arguments."""
    return {"anyOf": [_action_of(tool["function"]) for tool in tools]}


def _action_of(function: Mapping[str, Any]) -> Request:
    return {
        "type": "object",
        "properties": {
            "tool": {"type": "string", "enum": [function["name"]]},
            "arguments": function["parameters"],
        },
        "required": ["tool", "arguments"],
        "additionalProperties": False,
    }


def json_messages(request: Mapping[str, Any], tools: Sequence[Mapping[str, Any]]) -> list[Request]:
    """The messages of an agent for a model that knows no tool calls: calls and results as plain text.

    Args:
        request: Of the agent.
        tools: What to describe: all that were ever offered, so that the beginning stays the same and an
            endpoint need not read it again. The schema of the answer says which ones are left.
    """
    messages = plain_messages(request["messages"])
    described = "\n".join(_described(tool["function"]) for tool in tools)
    found = []
    for message in messages:
        if message["role"] == "system":
            found.append({"role": "system", "content": f"{message['content']}\n\n{_ACTION}\n{described}"})
        elif message["role"] == "tool":
            found.append({"role": "user", "content": f"Result of your call:\n{message['content']}"})
        elif message.get("tool_calls"):
            found.append({"role": "assistant", "content": _as_action(message["tool_calls"][0]["function"])})
        else:
            found.append({"role": message["role"], "content": message["content"]})
    return found


def _described(function: Mapping[str, Any]) -> str:
    takes = json.dumps(function["parameters"].get("properties", {}), ensure_ascii=False)
    said = " ".join(str(function.get("description", "")).split())
    return f"- {function['name']}: {said} Arguments: {takes}"


def _as_action(function: Mapping[str, Any]) -> str:
    try:
        arguments = json.loads(function["arguments"] or "{}")
    except ValueError:
        arguments = function["arguments"]
    return json.dumps({"tool": function["name"], "arguments": arguments}, ensure_ascii=False)


def read_action(body: bytes, number: int) -> bytes:
    """A completion whose text is an action, as one that calls a tool; any other completion as it is.

    Args:
        body: The response.
        number: Which call of the conversation it is, for its name.
    """
    try:
        payload = json.loads(body)
        message = payload["choices"][0]["message"]
        action = json.loads(message["content"])
        function = {"name": action["tool"], "arguments": json.dumps(action["arguments"], ensure_ascii=False)}
    except (ValueError, KeyError, IndexError, TypeError):
        return body
    if not isinstance(function["name"], str):
        return body
    call = {"id": f"call{number:05d}", "type": "function", "function": function}
    message |= {"content": None, "tool_calls": [call]}
    payload["choices"][0]["finish_reason"] = "tool_calls"
    return json.dumps(payload, ensure_ascii=False).encode()


def name_calls(body: bytes, number: int) -> bytes:
    """A completion in which every tool call has a name, as the next request must repeat it."""
    try:
        payload = json.loads(body)
        calls = payload["choices"][0]["message"].get("tool_calls") or ()
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return body
    unnamed = [call for call in calls if isinstance(call, dict) and not call.get("id")]
    for place, call in enumerate(unnamed):
        call["id"] = f"call{number:03d}{place:02d}"
    return json.dumps(payload, ensure_ascii=False).encode() if unnamed else body
