"""Deadlines, broken transfers and threads, on real sockets."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import TYPE_CHECKING

import pytest

from router.records import Failure
from tests.fake_llm_server import Behaviour, FakeLlmServer
from tests.swift_client import TASK, SwiftClient

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[FakeLlmServer]:
    """Run a server that answers positive."""
    with FakeLlmServer() as running:
        yield running


def test_the_environments_openai_settings_do_not_reach_others(
    server: FakeLlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Organisation, project and URL for OpenAI are no business of another endpoint."""
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-1")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")

    assert SwiftClient(server).label(TASK, "x").labels == ("positive",)
    assert not [name for name in server.request_headers[0] if name.lower().startswith("openai-")]


def test_a_refused_connection_is_unavailable_and_unbilled() -> None:
    """Nobody listens: retried, then given up, and nothing can have been billed."""
    with FakeLlmServer() as gone:
        base_url = gone.base_url
    client = SwiftClient(base_url, max_retries=2)

    reply = client.label(TASK, "a")

    assert (reply.failure, reply.requests) == (Failure.UNAVAILABLE, 3)
    assert client.waits == [0.5, 1.0]
    assert "ConnectError" in reply.detail
    assert "billed" not in reply.detail


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(hang=True),
        Behaviour(drip_seconds=0.05),
        Behaviour(delay_seconds=5.0),
        Behaviour(status=500, body=b"x" * 1000, drip_seconds=0.05),
    ],
    ids=["never answers", "drips", "answers too late", "drips an error"],
)
def test_the_deadline_bounds_the_whole_call(server: FakeLlmServer, behaviour: Behaviour) -> None:
    """However slowly bytes come, the call ends in time; the next one is answered."""
    server.script.append(behaviour)
    started = time.monotonic()

    reply = SwiftClient(server, timeout_seconds=0.3).label(TASK, "a")

    assert reply.labels == ("positive",)
    assert time.monotonic() - started < 1.5
    assert reply.retries == 1
    assert "may have been billed" in reply.detail


def test_an_endless_body_does_not_fill_the_memory(server: FakeLlmServer) -> None:
    """What is longer than any answer is cut off, counts as billed and is asked again."""
    server.script.append(Behaviour(endless=True))

    reply = SwiftClient(server, timeout_seconds=20.0).label(TASK, "a")

    assert reply.labels == ("positive",)
    assert (reply.requests, reply.retries) == (2, 0)
    assert "the response is not JSON" in reply.detail


def test_a_connection_cut_in_the_body_may_have_been_billed(server: FakeLlmServer) -> None:
    """Half a body is retried like a broken connection, with a note about the money."""
    server.script.append(Behaviour(cut_after=20))

    reply = SwiftClient(server).label(TASK, "a")

    assert (reply.labels, reply.retries) == (("positive",), 1)
    assert "may have been billed" in reply.detail
    assert (server.billed, server.answered) == (2, 1)


def _llm_threads() -> int:
    return sum(thread.name.startswith("llm") for thread in threading.enumerate())


def test_a_closed_or_forgotten_client_leaves_no_thread(server: FakeLlmServer) -> None:
    """Beam never closes models, it only lets go of them: both ways must end the threads."""
    gc.collect()
    before = _llm_threads()
    closed, forgotten = SwiftClient(server), SwiftClient(server)
    for client in (closed, forgotten):
        client.label_all([(TASK, "x")])
    gone = weakref.ref(forgotten)
    closed.close()
    closed.close()

    del forgotten, client
    gc.collect()
    deadline = time.monotonic() + 5.0
    while _llm_threads() > before and time.monotonic() < deadline:
        time.sleep(0.02)

    assert gone() is None
    assert _llm_threads() <= before
