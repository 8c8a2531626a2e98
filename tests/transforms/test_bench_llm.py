"""The LLM client against the benchmark's own server, and that the server goes when it should."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time

import pytest

from transforms.bench_engine import TASK
from transforms.bench_llm import bench_llm, open_client
from transforms.bench_server import bare_requests, running_server


def test_each_concurrency_is_measured_beside_a_bare_client() -> None:
    """What could be reached at most is concurrency / latency."""
    told: list[str] = []

    found = bench_llm(1, 1, told.append, latency=0.1)

    levels = found["levels"]
    assert [level["concurrency"] for level in levels] == [1, 8, 64]
    assert [level["ideal_requests_per_second"] for level in levels] == [10.0, 80.0, 640.0]
    for level in levels:
        assert level["requests_a_turn"] == level["concurrency"]
        rate = level["requests_per_second"]["median"]
        assert level["of_ideal"] == pytest.approx(rate / level["ideal_requests_per_second"], rel=0.01)
        assert 0 < level["of_ideal"] <= 1
    assert told[0] == "1 at once, turn 1 of 1: client"


def test_the_server_answers_what_the_client_can_read_after_the_latency() -> None:
    """A label, with one request, and not sooner."""
    with running_server(0.1) as port:
        client = open_client(port, 1)
        reply = client.label(TASK, "Very good.")
        client.close()

    assert reply.labels == ("positive",)
    assert reply.requests == 1
    assert reply.usage.seconds >= 0.1


def test_bare_requests_are_made_at_once() -> None:
    """Ten on five connections take two latencies, not ten."""
    with running_server(0.2) as port:
        started = time.monotonic()
        asyncio.run(bare_requests(port, 5, 10))
        seconds = time.monotonic() - started

    assert 0.4 <= seconds < 2.0


def test_the_server_is_gone_afterwards() -> None:
    """Nobody listens there any more."""
    with running_server(0.0) as port:
        socket.create_connection(("127.0.0.1", port)).close()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_the_server_ends_with_the_process_that_started_it() -> None:
    """Its stdin ends then, however that process died."""
    with subprocess.Popen(
        [sys.executable, "-m", "transforms.bench_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline().strip().isdecimal()
        child.stdin.close()

        assert child.wait(10) == 0
