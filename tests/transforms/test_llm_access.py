"""Keys and URLs: what is wrong is said, what is secret is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from router.job import OpenAIModel
from router.records import Failure
from tests.fake_llm_server import FakeLlmServer, failing
from tests.swift_client import KEY, TASK, SwiftClient
from transforms.llm_client import LlmStop, preflight

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[FakeLlmServer]:
    """Run a server that answers positive."""
    with FakeLlmServer() as running:
        yield running


def test_a_wrong_key_stops_the_job_and_is_not_shown() -> None:
    """The server echoes the key; the message names the variable, the URL and the status, and hides it."""
    with FakeLlmServer(key="another") as server:
        client = SwiftClient(server, {"MY_KEY": KEY}, api_key_env="MY_KEY")
        with pytest.raises(LlmStop) as caught:
            client.label(TASK, "a")

    message = str(caught.value)
    assert server.base_url in message
    assert "HTTP 401" in message
    assert "MY_KEY" in message
    assert "Bearer ***" in message
    assert KEY not in message + repr(caught.value) + repr(client)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert len(server.requests) == 1


def test_the_key_is_stripped_and_sent() -> None:
    """A key from a file ends in a newline, which no header can carry."""
    with FakeLlmServer(key=KEY) as server:
        reply = SwiftClient(server, {"MY_KEY": f"{KEY}\n"}, api_key_env="MY_KEY").label(TASK, "a")

    assert reply.labels == ("positive",)


def test_an_unknown_path_stops_the_job(server: FakeLlmServer) -> None:
    """A 404 is about the URL or the model; the message says to check both."""
    client = SwiftClient(server.base_url.replace("/v1", "/v2"))

    with pytest.raises(LlmStop, match=r"HTTP 404 .* Check `model` \('fake'\) and `base_url`"):
        client.label(TASK, "a")


def test_a_403_about_the_text_costs_that_record_only(server: FakeLlmServer) -> None:
    """Some providers answer 403 to a flagged text; that is no reason to stop the job."""
    server.script.append(failing(403, "Your input was flagged by moderation"))
    server.script.append(failing(403, "The project may not use this model"))
    client = SwiftClient(server)

    assert client.label(TASK, "a").failure is Failure.UNUSABLE
    with pytest.raises(LlmStop, match="HTTP 403"):
        client.label(TASK, "b")


@pytest.mark.parametrize(
    ("fields", "environ", "expected"),
    [
        ({}, {}, "environment variable OPENAI_API_KEY is not set"),
        ({}, {"OPENAI_API_KEY": " \n"}, "environment variable OPENAI_API_KEY is not set"),
        ({"api_key_env": "MY_KEY"}, {"OPENAI_API_KEY": "x"}, "environment variable MY_KEY is not set"),
        ({"api_key_env": "MY_KEY"}, {"MY_KEY": "two words"}, "not a key"),
        ({"api_key_env": "MY_KEY"}, {"MY_KEY": "schlüssel"}, "not a key"),
        ({"api_key_env": "my_secret"}, {}, "not shown"),
        ({"base_url": "http://"}, {}, "must look like https://host/v1"),
        ({"base_url": "http://ho st/v1"}, {}, "must look like"),
        ({"base_url": "http://host:port/v1"}, {}, "must look like"),
        ({"base_url": f"http://user:{KEY}@host/v1"}, {}, "must not hold a password"),
        ({"base_url": f"http://host/v1?key={KEY}"}, {}, "must not have a query"),
        ({"base_url": "http://host/v1/chat/completions"}, {}, "it is appended"),
    ],
)
def test_preflight_finds_what_is_missing(
    fields: dict[str, Any], environ: dict[str, str], expected: str
) -> None:
    """Keys and URLs are checked before anything is sent; what may be a secret is not shown."""
    model = OpenAIModel(engine="openai", model="m", **fields)

    with pytest.raises(LlmStop) as caught:
        preflight(model, environ)

    assert expected in str(caught.value)
    assert "secret" not in str(caught.value)


def test_preflight_lets_good_models_pass() -> None:
    """OpenAI with its key, and a local endpoint without one."""
    preflight(OpenAIModel(engine="openai", model="m"), {"OPENAI_API_KEY": KEY})
    preflight(OpenAIModel(engine="openai", model="m", base_url="http://127.0.0.1:1/v1"), {})
