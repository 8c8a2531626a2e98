"""Endpoints that are ill or dead: what is asked of them, how often, and what becomes of the records.

Faults of single answers are in test_llm_client.py, of transfers in test_llm_network.py, wrong keys and URLs
in test_llm_access.py.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from router.job import OpenAIModel
from router.records import Failure
from tests.fake_llm_server import Behaviour, FakeLlmServer, failing
from tests.swift_client import NOW, PRICE, TASK, SwiftClient
from transforms.llm_client import LlmClient, LlmReply, LlmStop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEFAULTS: dict[str, Any] = {"concurrency": 8, "max_retries": 5, "max_failures": 10}
MOST_REQUESTS = 57
"""With `DEFAULTS`: 17 records have left when the tenth fails; 8 of them may be tried 6 times, 9 only once."""


class TimedClient(LlmClient):
    """A client whose clock the test turns."""

    def __init__(self, base_url: str, sleep: Callable[[float], None] = lambda _: None, **fields: Any) -> None:
        """Point it at a URL; `fields` go into the model."""
        self.now = 1000.0
        model = OpenAIModel(**{"engine": "openai", "model": "fake", "base_url": base_url, **fields})
        outside: dict[str, Any] = {"sleep": sleep, "clock": lambda: self.now, "wall_clock": lambda: NOW}
        super().__init__(model, PRICE, jitter=lambda: 1.0, environ={}, **outside)

    def ask(self) -> LlmReply:
        """Ask about some record."""
        return self.label(TASK, "a")


@pytest.fixture
def server() -> Iterator[FakeLlmServer]:
    """Run a server that answers positive."""
    with FakeLlmServer() as running:
        yield running


@pytest.fixture
def nobody() -> str:
    """Return a URL where nobody listens any more."""
    with FakeLlmServer() as gone:
        return gone.base_url


def test_tls_against_a_plain_server_is_unavailable_and_unbilled(server: FakeLlmServer) -> None:
    """An https:// URL of an http:// server: the handshake fails, so nothing was sent."""
    client = SwiftClient(server.base_url.replace("http://", "https://"), max_retries=1)

    reply = client.label(TASK, "a")

    assert (reply.failure, reply.requests) == (Failure.UNAVAILABLE, 2)
    assert "SSL" in reply.detail
    assert "billed" not in reply.detail
    assert server.requests == []


def test_an_unknown_model_stops_the_job_at_once(server: FakeLlmServer) -> None:
    """One request, though there are retries left, and one line that says what to check."""
    server.script.append(failing(404, "The model `fake` does not exist"))

    with pytest.raises(LlmStop) as caught:
        SwiftClient(server).label(TASK, "a")

    said = str(caught.value)
    assert said.startswith(f"HTTP 404 from {server.base_url}: The model `fake` does not exist. Check `model`")
    assert "\n" not in said
    assert len(server.requests) == 1


def test_the_wait_that_a_429_asks_for_is_kept(server: FakeLlmServer) -> None:
    """Seven seconds where the back-off would be half a second; without a wish it is the back-off."""
    server.script.extend([failing(429, retry_after="7"), failing(429)])
    client = SwiftClient(server)

    assert client.label(TASK, "a").labels == ("positive",)
    assert client.waits == [7.0, 1.0]


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(body=b'{"choices": [{}]}'),
        Behaviour(answer=""),
        Behaviour(answer='{"label": ["positive"]}'),
        Behaviour(answer='{"sentiment": "positive"}'),
        Behaviour(body=b'{"error": {"message": "overloaded"}}'),
    ],
)
def test_an_empty_choice_or_a_wrong_shape_is_unusable(server: FakeLlmServer, behaviour: Behaviour) -> None:
    """Asked once more, then unusable; the endpoint is not ill for it, so the next record is asked as well."""
    server.script.extend([behaviour, behaviour])
    client = SwiftClient(server, max_failures=1)

    reply = client.label(TASK, "a")

    assert (reply.labels, reply.failure, reply.requests) == (None, Failure.UNUSABLE, 2)
    assert client.label(TASK, "b").labels == ("positive",)


def test_a_burst_of_errors_does_not_count_as_death(server: FakeLlmServer) -> None:
    """Eight records meet twenty 500s; none was given up, so even a limit of one failure is not reached."""
    server.script.extend(failing(500) for _ in range(20))
    client = SwiftClient(server, max_retries=20, max_failures=1)

    replies = client.label_all([(TASK, str(number)) for number in range(8)])

    assert [reply.labels for reply in replies] == [("positive",)] * 8
    assert len(server.requests) == 28


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(hang=True),
        Behaviour(drip_seconds=0.05),
        Behaviour(cut_after=20),
        failing(500),
        failing(429),
        failing(429, retry_after="301"),
        failing(503, retry_after="1"),
        failing(402),
    ],
    ids=["never answers", "drips", "cut", "500", "429", "429 for long", "503", "no money"],
)
def test_what_counts_as_a_failure(server: FakeLlmServer, behaviour: Behaviour) -> None:
    """Two records without an answer open the breaker: the third is not asked."""
    server.behave = lambda _: behaviour
    client = SwiftClient(server, timeout_seconds=0.3, max_retries=0, max_failures=2)

    assert [client.label(TASK, "a").requests for _ in range(3)] == [1, 1, 0]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "behaviour",
    [failing(429, retry_after="1"), failing(400, "too long"), failing(403, "flagged by moderation")],
    ids=["429 that says when", "400", "moderation"],
)
def test_what_does_not_count_as_a_failure(server: FakeLlmServer, behaviour: Behaviour) -> None:
    """The endpoint is in order and says so: each record is asked, however many go without labels."""
    server.behave = lambda _: behaviour
    client = SwiftClient(server, max_retries=0, max_failures=1)

    assert [client.label(TASK, "a").requests for _ in range(3)] == [1, 1, 1]


def test_a_busy_endpoint_is_waited_for_although_it_failed_before(server: FakeLlmServer) -> None:
    """After a failed record the next are tried once; a 429 that says when ends that, and is waited out."""
    server.script.extend([failing(500), failing(500), failing(429, retry_after="7"), failing(500)])
    client = SwiftClient(server, max_retries=1)
    assert client.label(TASK, "a").failure is Failure.UNAVAILABLE
    assert client.label(TASK, "b").requests == 2

    assert client.label(TASK, "c").labels == ("positive",)
    assert client.waits == [0.5, 7.0]


@pytest.mark.parametrize("kind", ["refused", "503", "never answers"])
def test_a_dead_host_is_not_hammered(server: FakeLlmServer, nobody: str, kind: str) -> None:
    """Of 200 records, 8 at once and with 5 retries each, a handful is asked about, and all come back."""
    server.behave = lambda _: failing(503) if kind == "503" else Behaviour(hang=True)
    client = SwiftClient(nobody if kind == "refused" else server, timeout_seconds=0.2, **DEFAULTS)

    replies = client.label_all([(TASK, str(number)) for number in range(200)])

    requests = sum(reply.requests for reply in replies)
    assert [reply.failure for reply in replies] == [Failure.UNAVAILABLE] * 200
    assert 10 <= requests <= MOST_REQUESTS
    assert kind == "refused" or len(server.requests) <= requests
    assert sum(reply.requests > 0 for reply in replies) <= 17
    assert replies[-1].detail.startswith("not asked: ")


def test_a_record_that_is_not_asked_says_why(nobody: str) -> None:
    """How often the endpoint failed, when last and with what; nothing is sent, billed or waited for."""
    client = TimedClient(nobody, max_retries=0, max_failures=1)
    assert client.ask().requests == 1

    reply = client.ask()

    assert (reply.labels, reply.failure, reply.requests) == (None, Failure.UNAVAILABLE, 0)
    assert reply.usage.usd == 0
    assert reply.detail.startswith(
        "not asked: the endpoint counts as dead (records in a row without an answer: 1). "
        f"It failed last at 2023-11-14 22:13:20 UTC: {nobody}: ConnectError"
    )


def test_a_record_between_two_tries_is_given_up_when_the_endpoint_dies(nobody: str) -> None:
    """What others find out while it waits spares it its remaining tries."""
    waits: list[float] = []
    others: list[LlmReply] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            others.append(client.ask())

    client = TimedClient(nobody, sleep, max_retries=5, max_failures=1)

    assert client.ask().requests == 1
    assert [reply.requests for reply in others] == [6]
    assert waits == [0.5, 0.5, 1.0, 2.0, 4.0, 8.0]


def test_the_first_record_after_the_pause_finds_the_endpoint_back(nobody: str) -> None:
    """Nobody asks for 30 seconds; the probe fails, so nobody asks for 60 more; the next one is answered."""
    client = TimedClient(nobody, max_retries=1, max_failures=1)
    port = int(nobody.rpartition(":")[2].removesuffix("/v1"))
    asked = [client.ask().requests]
    for seconds in (29.9, 0.1, 59.9):
        client.now += seconds
        asked.append(client.ask().requests)

    with FakeLlmServer(port=port) as back:
        refused = client.ask()
        client.now += 0.1
        replies = [client.ask() for _ in range(2)]

    assert asked == [2, 0, 1, 0]
    assert refused.requests == 0
    assert [reply.labels for reply in replies] == [("positive",)] * 2
    assert len(back.requests) == 2


def test_while_one_record_probes_the_others_are_not_asked(server: FakeLlmServer) -> None:
    """Seven records that come while the probe is under way are kept from the endpoint."""
    client = TimedClient(server.base_url, max_retries=0, max_failures=1)
    server.script.append(failing(500))
    client.ask()
    client.now += 30.0
    answer = threading.Event()
    server.behave = lambda _: Behaviour() if answer.wait(5.0) else failing(500)
    probes: list[LlmReply] = []
    probe = threading.Thread(target=lambda: probes.append(client.ask()))

    probe.start()
    while len(server.requests) < 2:
        time.sleep(0.01)
    others = client.label_all([(TASK, "b")] * 7)
    answer.set()
    probe.join()

    assert [reply.requests for reply in others] == [0] * 7
    assert probes[0].labels == ("positive",)
    assert client.ask().labels == ("positive",)


def test_a_probe_that_meets_a_wrong_key_leaves_the_next_one_to_probe(server: FakeLlmServer) -> None:
    """A stop is raised through the breaker, which must not wait for that probe for ever."""
    client = TimedClient(server.base_url, max_retries=0, max_failures=1)
    server.script.extend([failing(500), failing(401)])
    client.ask()
    client.now += 30.0

    with pytest.raises(LlmStop, match="HTTP 401"):
        client.ask()
    assert client.ask().labels == ("positive",)


def test_a_job_that_is_to_stop_stops_at_the_limit(nobody: str) -> None:
    """The line says what failed, how often in a row and what to do; asking again sends nothing."""
    client = TimedClient(nobody, max_retries=0, max_failures=3, when_dead="stop")
    assert [client.ask().failure for _ in range(2)] == [Failure.UNAVAILABLE] * 2

    for _ in range(2):
        with pytest.raises(LlmStop) as caught:
            client.ask()
        said = str(caught.value)
        assert said.startswith(
            "the endpoint counts as dead (records in a row without an answer: 3). "
            f"It failed last at 2023-11-14 22:13:20 UTC: {nobody}: ConnectError"
        )
        assert said.endswith("The job stops, as when_dead says; run the same command again to continue")
        assert "\n" not in said


def test_a_stop_under_concurrency_is_soon(server: FakeLlmServer) -> None:
    """Of 200 records at a concurrency of 8 no more are asked about than where answers are kept."""
    server.behave = lambda _: failing(503)
    client = SwiftClient(server, when_dead="stop", **DEFAULTS)

    with pytest.raises(LlmStop, match="counts as dead"):
        client.label_all([(TASK, str(number)) for number in range(200)])

    assert len(server.requests) <= MOST_REQUESTS
