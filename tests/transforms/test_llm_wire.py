"""What endpoints take, ask for and report, learnt over real HTTP."""

from __future__ import annotations

import email.utils
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from router.records import Failure
from tests.fake_llm_server import Behaviour, FakeLlmServer, failing
from tests.swift_client import TASK, SwiftClient
from transforms.llm_wire import is_about_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@pytest.fixture
def server() -> Iterator[FakeLlmServer]:
    """Run a server that answers positive."""
    with FakeLlmServer() as running:
        yield running


def test_a_parameter_that_is_refused_is_renamed_or_dropped_for_good(server: FakeLlmServer) -> None:
    """A reasoning model costs three refusals once; the second record goes through at the first try."""
    server.refuses = frozenset({"max_tokens", "temperature", "reasoning_effort"})
    client = SwiftClient(server)

    first, second = client.label(TASK, "a"), client.label(TASK, "b")

    assert first.labels == second.labels == ("positive",)
    assert (first.retries, second.requests) == (0, 1)
    last = server.requests[-1]
    assert last["max_completion_tokens"] == 64
    assert not {"max_tokens", "temperature", "reasoning_effort"} & last.keys()
    assert server.billed == 2


def test_a_reasoning_model_is_asked_to_think_little(server: FakeLlmServer) -> None:
    """A model that refuses a temperature reasons, and would spend the bound on it."""
    server.refuses = frozenset({"temperature"})

    SwiftClient(server).label(TASK, "a")

    assert server.requests[-1]["reasoning_effort"] == "minimal"


@pytest.mark.parametrize(
    ("refused", "expected"),
    [({"json_schema"}, "json_object"), ({"json_schema", "json_object"}, None), ({"response_format"}, None)],
)
def test_the_form_of_the_answer_is_negotiated(
    server: FakeLlmServer, refused: set[str], expected: str | None
) -> None:
    """From a strict schema down to what llama_cpp.server takes, then to none; remembered."""
    server.refuses = frozenset(refused)
    client = SwiftClient(server)

    client.label(TASK, "a")
    asked = len(server.requests)
    assert client.label(TASK, "b").labels == ("positive",)

    form = server.requests[-1].get("response_format")
    assert (form or {}).get("type") == expected
    assert form is None or form["schema"]["required"] == ["label"]
    assert len(server.requests) == asked + 1


def test_the_bound_on_the_answer_is_never_dropped(server: FakeLlmServer) -> None:
    """An endpoint that takes neither name gets no unbounded call: the record is unusable."""
    server.refuses = frozenset({"max_tokens", "max_completion_tokens"})

    reply = SwiftClient(server).label(TASK, "a")

    assert reply.failure is Failure.UNUSABLE
    assert "max_completion_tokens" in reply.detail
    assert all({"max_tokens", "max_completion_tokens"} & request.keys() for request in server.requests)


def test_a_text_that_is_too_long_costs_that_record_only(server: FakeLlmServer) -> None:
    """An error about the context names max_tokens, but giving that up would not help."""
    message = "'max_tokens' is too large: 64. This model's maximum context length is 512 tokens."
    server.script.append(failing(400, message))
    client = SwiftClient(server)

    reply = client.label(TASK, "a")

    assert (reply.failure, reply.requests) == (Failure.UNUSABLE, 1)
    assert "maximum context length" in reply.detail
    assert "max_tokens" in (client.label(TASK, "b"), server.requests[-1])[1]


def test_many_threads_negotiate_together(server: FakeLlmServer) -> None:
    """All learn at once that parameters are refused; every record is answered and billed once."""
    server.refuses = frozenset({"max_tokens", "temperature", "json_schema"})

    replies = SwiftClient(server, concurrency=8).label_all([(TASK, "x")] * 16)

    assert {reply.labels for reply in replies} == {("positive",)}
    assert server.billed == 16


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": email.utils.formatdate(1_700_000_012.0, usegmt=True)}, 12.0),
        ({"retry_after": email.utils.formatdate(1_600_000_000.0, usegmt=True)}, 0.5),
        ({"retry_after_ms": "1500"}, 1.5),
        ({"retry_after": "soon"}, 0.5),
        ({"retry_after": "-3"}, 0.5),
        ({"retry_after": "nan"}, 0.5),
        ({}, 0.5),
    ],
)
def test_the_endpoints_wish_to_wait_is_heeded(
    server: FakeLlmServer, header: dict[str, str], wait: float
) -> None:
    """Seconds, milliseconds or a date; nonsense and the past fall back to the own wait."""
    server.script.append(failing(429, "slow down", **header))
    client = SwiftClient(server)

    assert client.label(TASK, "a").labels == ("positive",)
    assert client.waits == [wait]


def test_reasoning_that_ate_the_bound_is_named(server: FakeLlmServer) -> None:
    """The detail says where the tokens went, so that the user raises max_output_tokens."""
    body = {
        "choices": [{"finish_reason": "length", "message": {"content": ""}}],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 64,
            "completion_tokens_details": {"reasoning_tokens": 64},
        },
    }
    server.behave = lambda _: Behaviour(body=json.dumps(body).encode())

    detail = SwiftClient(server).label(TASK, "a").detail

    assert "cut off at max_output_tokens (64 tokens went into reasoning): raise it" in detail


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -1, "completion_tokens": 1}, [1], "much"])
def test_missing_usage_is_estimated(server: FakeLlmServer, usage: object) -> None:
    """A quarter of the characters, rounded up, and the detail says so."""
    answer = '{"label": "positive"}'
    body = {"choices": [{"finish_reason": "stop", "message": {"content": answer}}], "usage": usage}
    server.script.append(Behaviour(body=json.dumps(body).encode()))

    reply = SwiftClient(server).label(TASK, "a")

    characters = sum(len(message["content"]) for message in server.requests[0]["messages"])
    assert reply.labels == ("positive",)
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (-(-characters // 4), 6)
    assert "tokens are estimated" in reply.detail


def test_more_cached_than_sent_is_bounded(server: FakeLlmServer) -> None:
    """A nonsensical report of cached tokens must not make the cost negative."""
    body = {
        "choices": [{"finish_reason": "stop", "message": {"content": '{"label": "positive"}'}}],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 0,
            "prompt_tokens_details": {"cached_tokens": 99},
        },
    }
    server.script.append(Behaviour(body=json.dumps(body).encode()))

    usage = SwiftClient(server).label(TASK, "a").usage

    assert (usage.cached_tokens, usage.usd) == (10, Decimal("0.000005"))


def test_llama_cpp_server_refuses_with_500(server: FakeLlmServer) -> None:
    """Its validation errors come as errors of the server; another 500 that names a parameter is none."""
    said = (
        "1 validation error:\n  {'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), 'msg': "
        "\"Input should be 'text' or 'json_object'\", 'input': 'json_schema'}"
    )

    def behave(request: Mapping[str, Any]) -> Behaviour:
        return failing(500, said) if request["response_format"]["type"] == "json_schema" else Behaviour()

    server.behave = behave
    client = SwiftClient(server)
    reply = client.label(TASK, "x")

    assert (reply.labels, reply.retries, reply.requests) == (("positive",), 0, 2)
    assert not is_about_parameters(500, "response_format was fine, but the disk is full")
    assert is_about_parameters(422, "anything")
