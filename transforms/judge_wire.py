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


def read_body(body: bytes, number: int, *, in_json: bool) -> bytes | None:
    """A response as the agent library wants it; None where it is no completion.

    What endpoints leave out is put in, and every tool call has a name, because the next request must repeat
    it, in a later run too.

    Args:
        body: The response.
        number: Which request of the conversation it answers.
        in_json: Whether text that is an action is to be read as a call.
    """
    try:
        payload = json.loads(body)
        choice = payload["choices"][0]
        message = choice["message"]
        calls = message.get("tool_calls")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return None
    if in_json:
        calls = _action_call(message.get("content"))
        message |= {"content": None if calls else message.get("content"), "tool_calls": calls}
    if calls is not None and not (isinstance(calls, list) and all(isinstance(one, dict) for one in calls)):
        return None
    for place, call in enumerate(calls or ()):
        call["id"] = str(call.get("id") or f"call{number:03d}{place:02d}")
        call.setdefault("type", "function")
    message.setdefault("role", "assistant")
    choice |= {"index": 0, "finish_reason": choice.get("finish_reason") or "stop"}
    for name, value in _LEFT_OUT.items():
        payload.setdefault(name, value)
    # It is counted before, and the library refuses a whole answer for a figure that is missing.
    payload.pop("usage", None)
    return json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace")


_LEFT_OUT = {"id": "none", "object": "chat.completion", "created": 0, "model": "none"}


def _action_call(content: object) -> list[Request] | None:
    """The call that a text stands for; None where it is no action."""
    try:
        action: Any = json.loads(content) if isinstance(content, str) else None
        name, arguments = action["tool"], json.dumps(action["arguments"], ensure_ascii=False)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(name, str):
        return None
    return [{"type": "function", "function": {"name": name, "arguments": arguments}}]
