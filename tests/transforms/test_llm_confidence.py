"""A hosted model is asked how sure it is, and one that cannot tell labels all the same."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from router.job import Label, OpenAIModel, Task
from router.journal import Entry, read_entry, write_entry
from router.prices import TokenPrice
from router.records import Answer, Usage
from tests.fake_llm_server import Behaviour, FakeLlmServer, failing
from transforms.llm_client import LlmClient

if TYPE_CHECKING:
    from collections.abc import Mapping

TASK = Task(name="mood", instruction="Judge.", labels=(Label(name="negative"), Label(name="positive")))
PRICE = TokenPrice(Decimal("0.000001"), Decimal("0.000001"), Decimal("0.000002"), "test")
TOKENS = [['{"label":', -0.5], [' "positive"', math.log(0.7)], ["}", 0.0]]


def telling(request: Mapping[str, Any]) -> Behaviour:
    """A completion with the probabilities of its tokens, where they were asked for."""
    content = "".join(token for token, _ in TOKENS)
    told = {"content": [{"token": token, "logprob": logprob} for token, logprob in TOKENS]}
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    choice["logprobs"] = told if request.get("logprobs") else None
    usage = {"prompt_tokens": 100, "completion_tokens": 5}
    return Behaviour(body=json.dumps({"choices": [choice], "usage": usage}).encode())


def client(server: FakeLlmServer, *, confidence: bool = True) -> LlmClient:
    """A client of the server."""
    model = OpenAIModel(engine="openai", model="m", base_url=server.base_url, max_retries=0)
    return LlmClient(model, PRICE, confidence=confidence)


def test_the_confidence_is_that_of_the_labels_tokens() -> None:
    """.7 for the label; what stands before it does not count."""
    with FakeLlmServer(behave=telling) as server:
        reply = client(server).label(TASK, "text")

    assert reply.labels == ("positive",)
    assert reply.confidence == pytest.approx(0.7)


def test_nobody_is_asked_who_need_not_tell() -> None:
    """Requests are as they were."""
    with FakeLlmServer(behave=telling) as server:
        reply = client(server, confidence=False).label(TASK, "text")

    assert reply.confidence is None
    assert "logprobs" not in server.requests[0]


@pytest.mark.parametrize("status", [400, 500])
def test_an_endpoint_that_refuses_labels_all_the_same(status: int) -> None:
    """It is asked once; llama_cpp.server says so with a status of 500."""
    said = "logprobs is not supported for models created with logits_all=False"

    def behave(request: Mapping[str, Any]) -> Behaviour:
        return failing(status, said) if "logprobs" in request else Behaviour()

    with FakeLlmServer(behave=behave) as server:
        asking = client(server)
        replies = [asking.label(TASK, text) for text in ("one", "two")]

    assert [(reply.labels, reply.confidence) for reply in replies] == [(("positive",), None)] * 2
    assert ["logprobs" in request for request in server.requests] == [True, False, False]


def test_the_journal_keeps_it() -> None:
    """And lines of earlier versions, which have none, count as before."""
    answer = Answer("big", Usage(), labels=("positive",), confidence=0.7)

    line = write_entry(Entry(bytes(16), answer))

    found = read_entry(line, "big")
    assert found is not None
    assert found.answer.confidence == 0.7
    earlier = read_entry(line.replace(b',"confidence":0.7', b""), "big")
    assert earlier is not None
    assert earlier.answer.confidence is None
