"""How long workers wait for concurrent calls, as a pipeline's metrics tell."""

from __future__ import annotations

from decimal import Decimal

import apache_beam as beam
import pytest
from apache_beam.ml.inference.base import RunInference

from router.job import OpenAIModel, Task
from router.prices import TokenPrice
from router.records import Position, Record, Route, Work
from tests.fake_llm_server import Behaviour, FakeLlmServer
from tests.transforms.local_pipeline import local_pipeline
from transforms.batch_times import BatchTimes, batch_times
from transforms.llm_handler import OpenAICompatibleModelHandler

FREE = TokenPrice(Decimal(0), Decimal(0), Decimal(0), "a test")
TASK = Task.model_validate(
    {"name": "mood", "instruction": "Judge.", "labels": [{"name": "positive"}, {"name": "negative"}]}
)


def test_a_pipeline_tells_how_long_it_waited_for_its_batches() -> None:
    """Twelve records, four at once: three batches of at least a twentieth of a second."""
    works = [
        Work(Record(Position(0, n), str(n), f"text {n}", "mood", None, b""), Route("en", "mood", "m", None))
        for n in range(12)
    ]
    with FakeLlmServer(behave=lambda _: Behaviour(delay_seconds=0.05)) as server:
        model = OpenAIModel(engine="openai", model="m", base_url=server.base_url, concurrency=4)
        handler = OpenAICompatibleModelHandler("m", model, FREE, {"mood": TASK})
        with local_pipeline() as pipeline:
            _ = pipeline | beam.Create(works) | RunInference(handler)
        times = batch_times(pipeline.result, handler)

    assert times is not None
    assert (times.records, times.batches) == (12, 3)
    assert 0.15 <= times.seconds < 1.5
    assert times.by_record(4) < 0.125


def test_the_first_batch_of_a_cold_server_is_left_out() -> None:
    """Twelve seconds, of which the first batch of four took nine: the other eight records took three."""
    assert BatchTimes(12.0, 9.0, 3, 12).by_record(4) == pytest.approx(3.0 / 8)


def test_batches_that_are_alike_all_count() -> None:
    """The slowest took twice as long as the others, which happens."""
    assert BatchTimes(4.0, 2.0, 3, 12).by_record(4) == pytest.approx(4.0 / 12)
    assert BatchTimes(10.0, 9.0, 2, 8).by_record(4) == pytest.approx(10.0 / 8)
