"""How many requests a second the LLM client holds against a server that takes a fixed time for each."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from router.bench_figures import Spread, by_turns, digits
from router.job import OpenAIModel
from router.prices import hosted_price
from transforms.bench_engine import TASK
from transforms.bench_server import bare_requests, running_server
from transforms.llm_client import LlmClient

if TYPE_CHECKING:
    from collections.abc import Callable

LATENCY_SECONDS = 0.2
CONCURRENCY = (1, 8, 64)
_TEXT = "the acting is fine and the plot takes its time but somehow none of it stays with you afterwards"


def bench_llm(
    repeats: int, rounds: int, tell: Callable[[str], None], latency: float = LATENCY_SECONDS
) -> dict[str, Any]:
    """Requests a second at each concurrency, `rounds` times as many requests a turn.

    Beside the client a bare one is measured, which keeps its connections open and reads nothing: what it does
    not reach is the server's fault or the machine's.
    """
    with running_server(latency) as port:
        levels = [_level(port, concurrency, repeats, rounds, latency, tell) for concurrency in CONCURRENCY]
    return {"latency_seconds": latency, "levels": levels}


def _level(  # noqa: PLR0913, PLR0917 - what is measured, and how often
    port: int, concurrency: int, repeats: int, rounds: int, latency: float, tell: Callable[[str], None]
) -> dict[str, Any]:
    client = open_client(port, concurrency)
    ideal = concurrency / latency
    try:
        _ask(client, concurrency, concurrency)  # Opens the connections.
        found = by_turns(
            {
                "client": lambda _: _ask(client, concurrency, rounds * concurrency),
                "bare": lambda _: _bare(port, concurrency, rounds * concurrency),
            },
            repeats,
            lambda said: tell(f"{concurrency} at once, {said}"),
        )
    finally:
        client.close()
    rates = {name: Spread.of(values) for name, values in found.items()}
    return {
        "concurrency": concurrency,
        "requests_a_turn": rounds * concurrency,
        "ideal_requests_per_second": digits(ideal),
        "requests_per_second": rates["client"].as_json(),
        "of_ideal": digits(rates["client"].median / ideal),
        "bare_requests_per_second": rates["bare"].as_json(),
        "bare_of_ideal": digits(rates["bare"].median / ideal),
    }


def open_client(port: int, concurrency: int) -> LlmClient:
    """A client of the server on a port, as a job opens it."""
    model = OpenAIModel.model_validate(
        {
            "engine": "openai",
            "model": "bench",
            "base_url": f"http://127.0.0.1:{port}/v1",
            "concurrency": concurrency,
            "price": {"input_usd_per_million_tokens": "0", "output_usd_per_million_tokens": "0"},
        }
    )
    return LlmClient(model, hosted_price(model))


def _ask(client: LlmClient, concurrency: int, requests: int) -> float:
    """Answers a second. Raises `OSError` where a request failed: its time would mean nothing."""
    questions = [(TASK, f"{number}: {_TEXT}") for number in range(requests)]
    started = time.perf_counter()
    replies = client.label_all(questions)
    seconds = time.perf_counter() - started
    bad = next((reply for reply in replies if reply.labels is None or reply.requests != 1), None)
    if bad is not None:
        raise OSError(f"a request at a concurrency of {concurrency} failed: {bad.detail}")
    return requests / seconds


def _bare(port: int, concurrency: int, requests: int) -> float:
    started = time.perf_counter()
    asyncio.run(bare_requests(port, concurrency, requests))
    return requests / (time.perf_counter() - started)
