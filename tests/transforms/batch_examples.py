"""One model asked in batches, its texts, and a session that waits for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router.job import Label, OpenAIModel, Task
from router.journal import hosted_fingerprint
from router.prices import hosted_price
from router.records import Position, Record, Route, Work
from transforms.batch_books import LlmBatches
from transforms.batch_session import BatchSession
from transforms.journal import JournalOf, JournalPlace

if TYPE_CHECKING:
    import pathlib
    from decimal import Decimal

    from tests.fake_batch_server import FakeBatchServer
    from transforms.llm_handler import BudgetShare

TASK = Task(name="t", instruction="Classify.", labels=(Label(name="negative"), Label(name="positive")))
PRICE = {"input_usd_per_million_tokens": "1", "output_usd_per_million_tokens": "2"}


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 4_000_000_000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def __call__(self) -> float:
        return self.now


def work(number: int) -> Work:
    """A record whose text is its number."""
    record = Record(Position(0, number), f"r{number}", f"text {number}", "t", None, b"{}")
    return Work(record, Route("en", "t", "big", None))


def batches(
    folder: pathlib.Path, server: FakeBatchServer, budget: BudgetShare | None = None, **fields: Any
) -> LlmBatches:
    """The model behind a server, with its journal in a folder; `fields` go into the model."""
    given = {"engine": "openai", "model": "m", "base_url": server.base_url, "price": PRICE, "batch": True}
    model = OpenAIModel.model_validate(given | fields)
    place = JournalPlace(str(folder / "state" / "journal"))
    journal = JournalOf(place, "llm", "big", {"t": hosted_fingerprint(TASK, model)})
    return LlmBatches("big", model, hosted_price(model), {"t": TASK}, journal, budget)


def session(asked: LlmBatches, clock: Clock | None = None) -> BatchSession:
    """A session on a clock of its own."""
    clock = clock or Clock()
    return BatchSession(asked, sleep=clock.sleep, wall_clock=clock)


def half(server: FakeBatchServer) -> Decimal:
    """What the server's lines cost."""
    return server.bill("0.5", "0.5", "1")
