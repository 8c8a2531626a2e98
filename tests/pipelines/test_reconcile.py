"""The numbers reconcile: records, summary, report and the endpoint's bill say the same to the last digit."""

from __future__ import annotations

import os
import pathlib
import signal
import zlib
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from router.prices import TokenPrice, cost
from tests.fake_llm_server import (
    CACHED_TOKENS,
    COMPLETION_TOKENS,
    PROMPT_TOKENS,
    Behaviour,
    FakeLlmServer,
    failing,
)
from tests.pipelines.gate_rows import hosted, rows, steered_label, target_job
from tests.pipelines.jobs import read_written
from tests.pipelines.test_commands import tekizai
from tests.pipelines.test_stopping import TWO_PROCESSES, begin, finish, job, wait_until
from tools.kill_campaign import children

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.pipelines.jobs import World, Written

__all__ = ["job"]

A_CALL = cost(
    TokenPrice(Decimal("0.000001"), Decimal("0.000001"), Decimal("0.000001"), "the job file"),
    PROMPT_TOKENS,
    CACHED_TOKENS,
    COMPLETION_TOKENS,
)


class Moody:
    """Every fourth text meets a server out of order first, every third an answer that is of no use."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def __call__(self, request: Mapping[str, Any]) -> Behaviour:
        """What to do with a request."""
        # The text stands before the reminder that follows an unusable answer.
        text = next(m["content"] for m in request["messages"] if m["content"].startswith("text "))
        mood = zlib.crc32(text.encode())
        self.seen[text] += 1
        if mood % 4 == 0 and self.seen[text] == 1:
            return failing(503, retry_after="0")
        if mood % 3 == 0 and self.seen[text] == 1 + (mood % 4 == 0):
            return Behaviour(answer="I would rather not say.", delay_seconds=0.1)
        return Behaviour(delay_seconds=0.1)


@pytest.fixture
def server() -> Iterator[FakeLlmServer]:
    """The endpoint, which counts what it bills."""
    with FakeLlmServer(behave=Moody()) as running:
        yield running


def accounts(written: Written) -> list[dict[str, Any]]:
    """The accounts of all records, dead letters included."""
    rows = [row["usage"] for row in written.annotations]
    return rows + [row["usage"] for row in written.dead if "usage" in row]


def recorded(written: Written) -> Decimal:
    """What the records say they cost, together."""
    return sum((Decimal(usage["usd"]) for usage in accounts(written)), Decimal(0))


def by_calls(written: Written) -> dict[str, Decimal]:
    """What the records say each model cost."""
    found: dict[str, Decimal] = {}
    for usage in accounts(written):
        for call in usage["calls"]:
            found[call["model"]] = found.get(call["model"], Decimal(0)) + Decimal(call["usd"])
    return found


def check_sums(written: Written) -> None:
    """Records, summary and report agree."""
    summary = written.summary
    assert recorded(written) == Decimal(summary["cost_usd"]["total"])
    models = {name: Decimal(usd) for name, usd in summary["cost_usd"]["by_model"].items()}
    assert by_calls(written) == models
    assert {name: Decimal(used["usd"]) for name, used in summary["by_model"].items()} == models
    assert sum(models.values()) == recorded(written)
    # The models' answers over the run, too.
    assert not summary["over_time"]["undated"]
    timed = summary["over_time"]["by_model"]
    assert {name: sum(map(Decimal, one["usd"])) for name, one in timed.items()} == models
    report = (written.folder / "report.html").read_text(encoding="utf-8")
    assert summary["cost_usd"]["total"] in report


def test_after_retries_useless_answers_a_crash_and_a_resume(job: pathlib.Path, server: FakeLlmServer) -> None:
    """The driver is killed in the middle: what the endpoint billed by then is on the records in the end."""
    running = begin(job, *TWO_PROCESSES)
    wait_until(lambda: server.billed >= 20)
    workers = children(running.pid)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate(timeout=20)
    wait_until(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in workers), 10)
    before = server.billed

    written = finish(job, *TWO_PROCESSES)

    assert before < server.billed
    assert len(server.requests) > server.billed > len(written.annotations)
    assert recorded(written) == server.billed * A_CALL
    check_sums(written)


def test_a_plan_a_pilot_and_audits_are_on_the_account_too(world: World) -> None:
    """All that was ever asked of the endpoint is on some record, asked for whatever reason."""
    world.write_lines(rows(900))
    with FakeLlmServer(answer=steered_label) as endpoint:
        changes = target_job(audit={"fraction": 0.2})
        file = world.job_file(models=hosted(world, endpoint), **changes)
        assert tekizai("plan", file).exit_code == 0
        assert tekizai("run", file).exit_code == 0
        bill = endpoint.billed

    written = read_written(world.output)
    price = yaml.safe_load(file.read_text(encoding="utf-8"))["models"]["large"]["price"]
    rates = [Decimal(price[f"{kind}_usd_per_million_tokens"]) / 1_000_000 for kind in ("input", "output")]
    a_call = cost(TokenPrice(rates[0], rates[0], rates[1], "the job file"), 100, 40, 5)
    assert written.summary["audit"]["records"] > 0
    assert by_calls(written)["large"] == bill * a_call
    check_sums(written)


def test_what_a_dead_letter_cost_is_not_lost(world: World) -> None:
    """Two records get no usable answer, each asked about twice; a copy of one shares its fate for nothing."""
    texts = ["fine", "fine too", "hopeless 1", "hopeless 2", "hopeless 1"]
    world.write_lines([{"id": f"r{number}", "text": text} for number, text in enumerate(texts)])

    def answer(text: str) -> str:
        return '{"label": "positive"}' if text.startswith("fine") else "no idea"

    def behave(request: Mapping[str, Any]) -> Behaviour:
        return Behaviour(answer=answer(request["messages"][1]["content"]))

    with FakeLlmServer(behave=behave) as endpoint:
        models = {"large": hosted(world, endpoint)["large"]}
        file = world.job_file(models=models, routing={"default": "large"})
        assert tekizai("run", file).exit_code == 3
        bill = endpoint.billed

    written = read_written(world.output)
    assert (bill, len(written.dead)) == (6, 3)
    assert [row["id"] for row in written.dead if "usage" in row] == ["r2", "r3"]
    assert recorded(written) == 6 * Decimal("0.00011")
    assert written.summary["cost_usd"]["dead_letters"] == "0.000440"
    check_sums(written)
