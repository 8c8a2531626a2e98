"""RunInference on an LLM: as many records out as in, each asked once, each with its account."""

from __future__ import annotations

import pickle
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import pytest
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.ml.inference.base import RunInference
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to

from router.job import Label, OpenAIModel, Task
from router.prices import TokenPrice
from router.records import Answer, Failure, Position, Record, Route, Usage, Work
from router.spending import worst_cost
from tests.fake_llm_server import Behaviour, FakeLlmServer, failing
from transforms.llm_client import LlmStop
from transforms.llm_handler import BudgetShare, OpenAICompatibleModelHandler

if TYPE_CHECKING:
    from collections.abc import Mapping

TASK = Task(name="t", instruction="Classify.", labels=(Label(name="negative"), Label(name="positive")))
OTHER = Task(name="u", instruction="True?", labels=(Label(name="yes"), Label(name="no")))
PRICE = TokenPrice(Decimal("0.000001"), Decimal("0.0000005"), Decimal("0.00001"), "a test")
EARLIER = Answer("small", Usage(), failure=Failure.ERROR)
NOBODY = "http://127.0.0.1:9/v1"
RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def work(number: int, task: str = "t") -> Work:
    """Make a record whose text is its number, with one answer already."""
    record = Record(Position(0, number), f"r{number}", f"text {number}", task, None, b"{}")
    return Work(record, Route("en", task, "big", None), answers=(EARLIER,))


def handler(server: FakeLlmServer | None = None, **fields: Any) -> OpenAICompatibleModelHandler:
    """Make a handler for a server, or for none; `fields` go into the model."""
    model = OpenAIModel(
        engine="openai", model="fake", base_url=server.base_url if server else NOBODY, **fields
    )
    return OpenAICompatibleModelHandler("big", model, PRICE, {"t": TASK, "u": OTHER})


def by_text(request: Mapping[str, Any]) -> Behaviour:
    """Answer even texts positive, odd ones negative, and 7 with nonsense."""
    number = int(request["messages"][-1]["content"].removeprefix("text ")) if _is_text(request) else 7
    if number == 7:
        return Behaviour(answer="I cannot tell.")
    return Behaviour(answer=f'{{"label": "{"negative" if number % 2 else "positive"}"}}')


def _is_text(request: Mapping[str, Any]) -> bool:
    return str(request["messages"][-1]["content"]).startswith("text ")


def test_ten_in_ten_out_each_asked_once() -> None:
    """In a pipeline: every record comes back with its own answer, nothing is asked twice but the nonsense."""
    expected = [(f"r{n}", None if n == 7 else (("negative",) if n % 2 else ("positive",))) for n in range(10)]
    with FakeLlmServer(behave=by_text) as server:
        pipeline = test_pipeline.TestPipeline(runner=RUNNER)
        answered = (
            pipeline
            | beam.Create([work(number) for number in range(10)])
            | RunInference(handler(server, concurrency=4))
        )
        assert_that(answered | beam.Map(lambda w: (w.record.id, w.answers[-1].labels)), equal_to(expected))
        result = pipeline.run()
        result.wait_until_finish()

    asked = [r["messages"][-1]["content"] for r in server.requests if _is_text(r)]
    assert sorted(asked) == [f"text {number}" for number in range(10)]
    assert (len(server.requests), server.billed) == (11, 11)
    assert _counters(result) == {
        "llm_requests": 11,
        "llm_retries": 0,
        "llm_unusable": 1,
        "llm_cost_micro_usd": 11 * 130,
    }
    latency = result.metrics().query(MetricsFilter().with_name("llm_latency_milliseconds"))["distributions"]
    assert latency[0].committed.count == 10


def _counters(result: Any) -> dict[str, int]:
    found = result.metrics().query(MetricsFilter().with_namespace("tekizai.big"))["counters"]
    return {row.key.metric.name: row.committed for row in found if row.key.metric.name.startswith("llm_")}


def test_a_stop_ends_the_pipeline_after_one_request() -> None:
    """A wrong key fails the job at once: the batch is not repeated, neither by Beam's handler nor by us."""
    with FakeLlmServer(behave=lambda _: failing(401, "no such key")) as server:
        pipeline = test_pipeline.TestPipeline(runner=RUNNER)
        _ = pipeline | beam.Create([work(1)]) | RunInference(handler(server, concurrency=1))
        with pytest.raises(Exception, match="HTTP 401"):
            pipeline.run()

    assert len(server.requests) == 1


def test_answers_are_appended_in_order() -> None:
    """Each work keeps what it had and gains one answer with model, labels and usage."""
    with FakeLlmServer(behave=by_text) as server:
        subject = handler(server)
        client = subject.create_client()
        done = subject.request([work(2), work(1), work(7)], client)
        client.client.close()

    assert [item.record.id for item in done] == ["r2", "r1", "r7"]
    assert all(item.answers[0] is EARLIER and len(item.answers) == 2 for item in done)
    good, _, bad = (item.answers[1] for item in done)
    assert (good.model, good.labels, good.usage.usd) == ("big", ("positive",), Decimal("0.00013"))
    assert (bad.labels, bad.failure, bad.raw) == (None, Failure.UNUSABLE, "I cannot tell.")
    assert (bad.usage.usd, bad.usage.input_tokens) == (Decimal("0.00026"), 200)


def test_each_record_is_asked_about_its_own_task() -> None:
    """Two tasks in one batch do not mix."""
    with FakeLlmServer(
        lambda text: '{"label": "no"}' if text == "text 1" else '{"label": "positive"}'
    ) as server:
        subject = handler(server)
        client = subject.create_client()
        done = subject.request([work(1, "u"), work(2, "t")], client)
        client.client.close()

    assert [item.answers[-1].labels for item in done] == [("no",), ("positive",)]


def test_a_stop_is_not_retried_by_the_base_class() -> None:
    """run_inference, which the base class wraps in retries, lets LlmStop through at the first time."""
    with FakeLlmServer(behave=lambda _: failing(404, "no such model")) as server:
        subject = handler(server)
        client = subject.create_client()
        with pytest.raises(LlmStop, match="no such model"):
            subject.run_inference([work(1)], client)
        client.client.close()

    assert len(server.requests) == 1


def test_batches_are_as_large_as_the_concurrency() -> None:
    """A batch fills the pool, neither more nor less."""
    assert handler(concurrency=3).batch_elements_kwargs() == {
        "min_batch_size": 3,
        "max_batch_size": 3,
    }


def test_inference_args_are_refused() -> None:
    """Nothing would heed them, so they are an error and not silence."""
    subject = handler()

    subject.validate_inference_args(None)
    subject.validate_inference_args({})
    with pytest.raises(ValueError, match=r"takes no inference_args, got \['temperature'\]"):
        subject.validate_inference_args({"temperature": 1})


def test_the_handler_travels_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent to workers names the key's variable; the key itself stays in the environment."""
    monkeypatch.setenv("MY_KEY", "sk-very-secret")

    sent = pickle.dumps(handler(api_key_env="MY_KEY"))

    assert b"MY_KEY" in sent
    assert b"sk-very-secret" not in sent
    assert pickle.loads(sent).get_metrics_namespace() == "tekizai.big"


def test_bytes_are_those_of_the_texts() -> None:
    """A batch of two texts of six bytes each."""
    assert handler().get_num_bytes([work(1), work(2)]) == 12


def test_records_over_the_budget_are_not_asked() -> None:
    """Room for the worst case of three calls: of a batch of ten, three are asked.

    What is billed in the end stays under the limit.
    """
    text = "text 2"
    limit = worst_cost(TASK, text, PRICE, 64) * 3
    with FakeLlmServer(behave=lambda _: Behaviour(delay_seconds=0.3)) as server:
        model = OpenAIModel(engine="openai", model="fake", base_url=server.base_url, concurrency=10)
        subject = OpenAICompatibleModelHandler("big", model, PRICE, {"t": TASK}, BudgetShare(limit))
        session = subject.create_client()
        done = [one.answers[-1] for one in subject.request([work(2)] * 10, session)]
        session.client.close()

    assert Counter(answer.failure for answer in done) == {None: 3, Failure.OVER_BUDGET: 7}
    assert server.billed == 3
    assert sum(answer.usage.usd for answer in done) <= limit
    assert {"budget.max_usd" in answer.detail for answer in done if answer.failure} == {True}
