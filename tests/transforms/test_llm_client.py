"""The LLM client against a real server that misbehaves: nothing is lost, paid twice or waited for in vain."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from router.job import OpenAIModel
from router.records import Failure
from tests.fake_llm_server import Behaviour, FakeLlmServer, failing
from tests.swift_client import ONE_CALL, PRICE, TASK, SwiftClient
from transforms.llm_client import LlmClient, LlmStop

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[FakeLlmServer]:
    """Run a server that answers positive."""
    with FakeLlmServer() as running:
        yield running


def test_a_good_answer(server: FakeLlmServer) -> None:
    """One request, its label, its tokens and its exact cost."""
    reply = SwiftClient(server).label(TASK, "Great!")

    assert (reply.labels, reply.failure, reply.detail, reply.raw) == (("positive",), None, "", None)
    assert (reply.usage.input_tokens, reply.usage.cached_tokens, reply.usage.output_tokens) == (100, 40, 5)
    assert reply.usage.usd == ONE_CALL
    assert reply.usage.seconds > 0
    assert (reply.requests, reply.retries) == (1, 0)
    assert (server.answered, server.billed) == (1, 1)


def test_what_is_sent(server: FakeLlmServer) -> None:
    """Model, messages, bound, temperature 0 and a strict schema; no key where none is named."""
    SwiftClient(server, max_output_tokens=32).label(TASK, "Great!")

    sent = server.requests[0]
    assert sent["model"] == "fake"
    assert sent["messages"][-1] == {"role": "user", "content": "Great!"}
    assert (sent["max_tokens"], sent["temperature"]) == (32, 0.0)
    assert sent["response_format"]["type"] == "json_schema"
    assert sent["response_format"]["json_schema"]["strict"] is True
    assert server.request_headers[0]["authorization"] == "Bearer not-needed"


def test_passing_errors_are_waited_out(server: FakeLlmServer) -> None:
    """A burst of 500, 502, 503 and 429: growing waits, then the answer, billed once."""
    server.script.extend(failing(status) for status in (500, 502, 503, 429))
    client = SwiftClient(server)

    reply = client.label(TASK, "a")

    assert reply.labels == ("positive",)
    assert client.waits == [0.5, 1.0, 2.0, 4.0]
    assert (reply.requests, reply.retries, reply.usage.usd) == (5, 4, ONE_CALL)


def test_the_back_off_is_bounded(server: FakeLlmServer) -> None:
    """After half a minute the waits grow no more."""
    server.script.extend(failing(500) for _ in range(9))
    client = SwiftClient(server, max_retries=9)

    assert client.label(TASK, "a").labels == ("positive",)
    assert client.waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_an_endpoint_that_stays_out_of_order_is_unavailable(server: FakeLlmServer) -> None:
    """Two retries, then the record is given up; nothing was billed."""
    server.behave = lambda _: failing(503, "overloaded")
    client = SwiftClient(server, max_retries=2)

    reply = client.label(TASK, "a")

    assert (reply.labels, reply.failure, reply.requests) == (None, Failure.UNAVAILABLE, 3)
    assert reply.usage.usd == 0
    assert "HTTP 503" in reply.detail
    assert "overloaded" in reply.detail


def test_no_retries_means_one_request(server: FakeLlmServer) -> None:
    """max_retries 0 is heeded."""
    server.script.append(failing(500))
    client = SwiftClient(server, max_retries=0)

    assert client.label(TASK, "a").failure is Failure.UNAVAILABLE
    assert client.waits == []


@pytest.mark.parametrize(("seconds", "asked"), [("300", 2), ("301", 1)])
def test_a_wish_for_a_very_long_wait_ends_the_record(server: FakeLlmServer, seconds: str, asked: int) -> None:
    """Five minutes is waited for; more is left to a later run."""
    server.script.append(failing(429, "come back tomorrow", retry_after=seconds))

    assert SwiftClient(server).label(TASK, "a").requests == asked


@pytest.mark.parametrize("status", [402, 429])
def test_an_empty_account_is_not_asked_again(server: FakeLlmServer, status: int) -> None:
    """Without quota a retry cannot help, but the small model's answers go on."""
    body = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
    server.script.append(Behaviour(status=status, body=json.dumps(body).encode()))

    reply = SwiftClient(server).label(TASK, "a")

    assert (reply.failure, reply.requests) == (Failure.UNAVAILABLE, 1)
    assert "no money or quota" in reply.detail


def test_a_dead_endpoint_is_tried_once_a_record() -> None:
    """When a worker's share of records broke in a row, waiting has become pointless; an answer ends that."""
    with FakeLlmServer() as gone:
        base_url = gone.base_url
    client = SwiftClient(base_url, max_retries=1, concurrency=1)

    assert [client.label(TASK, "a").requests for _ in range(3)] == [2, 1, 1]


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        (Behaviour(answer='{"label": "neutral"}'), "not the required JSON"),
        (Behaviour(answer="It is positive."), "not the required JSON"),
        (Behaviour(choices=False), "no choice"),
        (Behaviour(body=b"<html>busy</html>"), "not JSON"),
        (Behaviour(body=b"[1, 2]"), "not a JSON object"),
        (Behaviour(body=b'{"choices": {"0": 1}}'), "no choice"),
        (Behaviour(body=b'{"choices": [{"message": "positive"}]}'), "no choice"),
        (Behaviour(body=b"\xff\xfe"), "not JSON"),
        (Behaviour(message={"content": None}), "no text"),
        (Behaviour(message={"content": None, "refusal": "I will not."}), "refused"),
        (Behaviour(finish_reason="length"), "max_output_tokens"),
        (Behaviour(finish_reason="content_filter"), "content filter"),
    ],
)
def test_an_unusable_answer_is_asked_for_once_more(
    server: FakeLlmServer, behaviour: Behaviour, why: str
) -> None:
    """One bad answer is mended by the second question; two make the record unusable, with the raw text."""
    client = SwiftClient(server)
    server.script.append(behaviour)
    mended = client.label(TASK, "a")
    server.script.extend([behaviour, behaviour])
    failed = client.label(TASK, "b")

    assert (mended.labels, mended.raw, mended.requests) == (("positive",), None, 2)
    assert why in mended.detail
    assert (failed.labels, failed.failure, failed.requests) == (None, Failure.UNUSABLE, 2)
    assert why in failed.detail
    assert failed.raw
    assert client.waits == []


def test_both_calls_of_an_unusable_record_are_accounted(server: FakeLlmServer) -> None:
    """The malformed answers were billed, so they are on the record."""
    server.answer = lambda _: "whatever"

    reply = SwiftClient(server).label(TASK, "a")

    assert reply.usage.usd == 2 * ONE_CALL
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (200, 10)
    assert reply.raw == "whatever"


def test_the_second_question_shows_the_first_answer(server: FakeLlmServer) -> None:
    """At temperature 0 the same question would get the same answer."""
    server.script.append(Behaviour(answer="Good, I think."))

    SwiftClient(server).label(TASK, "a")

    assert server.requests[1]["messages"][-2] == {"role": "assistant", "content": "Good, I think."}
    assert server.requests[1]["messages"][:-2] == server.requests[0]["messages"]


def test_an_unusable_answer_before_an_outage_is_kept(server: FakeLlmServer) -> None:
    """The record is unavailable, to be asked again by a later run, but the paid answer is on it."""
    server.script.append(Behaviour(answer="whatever"))
    server.behave = lambda _: failing(503)

    reply = SwiftClient(server, max_retries=1).label(TASK, "a")

    assert (reply.failure, reply.raw, reply.usage.usd) == (Failure.UNAVAILABLE, "whatever", ONE_CALL)


def test_lone_surrogates_pass_in_both_directions(server: FakeLlmServer) -> None:
    """Neither a text nor an answer that UTF-8 cannot carry breaks the job or its output."""
    server.script.extend([Behaviour(answer="\ud800")] * 2)

    reply = SwiftClient(server).label(TASK, "a\udfffb")

    assert reply.raw == "?"
    assert server.requests[0]["messages"][-1]["content"] == "a?b"


def test_records_are_asked_about_at_once(server: FakeLlmServer) -> None:
    """16 records of 200 ms, 8 at once, take two rounds; each is asked once, the order is kept."""
    server.behave = lambda request: Behaviour(
        delay_seconds=0.2,
        answer='{"label": "positive"}'
        if request["messages"][-1]["content"] == "3"
        else '{"label": "negative"}',
    )
    client = SwiftClient(server, concurrency=8)
    started = time.monotonic()

    replies = client.label_all([(TASK, str(number)) for number in range(16)])

    assert time.monotonic() - started < 1.0
    assert [reply.labels for reply in replies] == [("negative",)] * 3 + [("positive",)] + [("negative",)] * 12
    assert server.most_at_once == 8
    assert sorted(int(request["messages"][-1]["content"]) for request in server.requests) == list(range(16))


def test_a_stop_ends_what_was_not_asked_yet(server: FakeLlmServer) -> None:
    """After a wrong key the waiting questions are not sent."""
    server.script.append(failing(401))
    client = SwiftClient(server, concurrency=1)

    with pytest.raises(LlmStop):
        client.label_all([(TASK, "x")] * 50)
    client.label_all([(TASK, "afterwards")])

    assert len(server.requests) < 10


def test_the_key_is_taken_out_however_json_spells_it(server: FakeLlmServer) -> None:
    """What is no completion is kept as it came, and JSON may write a slash and quotes in two ways."""
    key = 'planted.Zx9+w8/Vu7"Ts6=='
    body = r'{"choices": [], "seen": ["planted.Zx9+w8/Vu7\"Ts6==", "planted.Zx9+w8\/Vu7\"Ts6=="]}'
    server.behave = lambda _: Behaviour(body=body.encode())
    model = OpenAIModel(engine="openai", model="fake", base_url=server.base_url, api_key_env="MY_KEY")
    client = LlmClient(model, PRICE, environ={"MY_KEY": key})

    reply = client.label(TASK, "x")
    client.close()

    assert reply.raw == '{"choices": [], "seen": ["***", "***"]}'
