"""What a distributed runner does when a worker is lost: the same records again, elsewhere or meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from router.job import Label, OpenAIModel, Task
from router.journal import hosted_fingerprint
from router.prices import TokenPrice
from router.records import Position, Record, Route, Work
from tests.fake_llm_server import Behaviour, FakeLlmServer
from transforms.journal import JournalOf, JournalPlace
from transforms.llm_handler import OpenAICompatibleModelHandler

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping

RECORDS, CONCURRENCY = 24, 2
PRICE = TokenPrice(Decimal("0.000001"), Decimal("0.0000005"), Decimal("0.00001"), "a test")
TASK = Task(name="t", instruction="Classify.", labels=(Label(name="negative"), Label(name="positive")))


def slowly(_: Mapping[str, Any]) -> Behaviour:
    """Answer after a twentieth of a second."""
    return Behaviour(delay_seconds=0.05)


def handler(url: str, journal: str) -> OpenAICompatibleModelHandler:
    """One that keeps its answers in a folder."""
    model = OpenAIModel(engine="openai", model="m", base_url=url, concurrency=CONCURRENCY)
    of = JournalOf(JournalPlace(journal), "llm", "big", {"t": hosted_fingerprint(TASK, model)})
    return OpenAICompatibleModelHandler("big", model, PRICE, {"t": TASK}, None, of)


def works() -> list[Work]:
    """The records of a bundle."""
    return [
        Work(Record(Position(0, n), f"r{n}", f"text {n}", "t", None, b"{}"), Route("en", "t", "big", None))
        for n in range(RECORDS)
    ]


def ask_all(url: str, journal: str) -> None:
    """What a worker does with the bundle."""
    asked = handler(url, journal)
    asked.request(works(), asked.create_client())


def test_a_bundle_that_still_goes_on_here_is_not_paid_twice(tmp_path: pathlib.Path) -> None:
    """A runner that lost sight of it repeats the bundle in the same process before the first try ended."""
    with FakeLlmServer(behave=slowly) as server:
        asked = handler(server.base_url, str(tmp_path))
        session = asked.create_client()
        answered: list[list[Work]] = []
        tries = [
            threading.Thread(target=lambda: answered.append(asked.request(works(), session)))
            for _ in range(2)
        ]
        for one in tries:
            one.start()
        for one in tries:
            one.join(30)
        bill = server.billed

    assert bill == RECORDS
    assert [[work.answers[-1].labels for work in one] for one in answered] == [[("positive",)] * RECORDS] * 2


def test_a_worker_that_lives_takes_over_what_a_killed_one_was_told(tmp_path: pathlib.Path) -> None:
    """Its journal was read before the other one's answers were there; only calls in flight are paid twice."""
    script = "import sys; from tests.transforms.test_repeated_bundles import ask_all; ask_all(*sys.argv[1:])"
    with FakeLlmServer(behave=slowly) as server:
        asked = handler(server.base_url, str(tmp_path))
        survivor = asked.create_client()
        other = subprocess.Popen([sys.executable, "-c", script, server.base_url, str(tmp_path)])
        end = time.monotonic() + 60
        while server.billed < RECORDS // 2 and time.monotonic() < end:
            time.sleep(0.005)
        other.send_signal(signal.SIGKILL)
        assert other.wait(30) == -signal.SIGKILL
        told = server.answered
        assert RECORDS // 2 <= told < RECORDS
        answered = asked.request(works(), survivor)
        bill = server.billed

    assert [work.answers[-1].labels for work in answered] == [("positive",)] * RECORDS
    assert RECORDS <= bill <= RECORDS + CONCURRENCY
