"""The handler of local models, on Beam's local runner: with a fake engine, and once with a real one."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.ml.inference.base import RunInference
from apache_beam.testing.util import assert_that, equal_to

import transforms.slm_handler
from router.assets import asset_path
from router.job import Label, LlamaCppModel, Task
from router.prices import local_cost
from router.records import Answer, Failure, LabelScores, Route, Usage, Work
from tests.models import SMOLLM2, real_model
from tests.router.work_examples import record, said
from tests.transforms.local_pipeline import local_pipeline
from transforms.journal import JournalOf, JournalPlace
from transforms.label_scorer import PromptTooLongError
from transforms.llama_adapter import LlamaModel, ModelFileError
from transforms.llama_context import ContextConfig, EngineError
from transforms.local_scorer import LocalModel, LocalScorer
from transforms.slm_handler import LlamaCppModelHandler
from transforms.text_encoder import ENCODER, TextEncoder

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping

MOOD = Task(name="mood", instruction="Judge.", labels=(Label(name="bad"), Label(name="good")))
TOPIC = Task(name="topic", instruction="Which topic?", labels=(Label(name="card"), Label(name="cash")))
TASKS = {"mood": MOOD, "topic": TOPIC}


class FakeScorer:
    """Gives every text (.75, .25) for 20 tokens and half a second; fails on texts with `!`."""

    made: ClassVar[list[str]] = []

    def __init__(self, local: LocalModel, tasks: Mapping[str, Task]) -> None:
        self.made.append(local.name)

    def score(self, task: str, text: str) -> tuple[LabelScores, Usage]:
        if "long!" in text:
            raise PromptTooLongError("the prompt takes 900 tokens")
        if "!" in text:
            raise EngineError("llama.cpp failed to evaluate 7 tokens")
        return LabelScores(np.array([0.75, 0.25])), Usage(20, 15, 0, 0.5)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the models that were loaded, where none really is."""
    monkeypatch.setattr(transforms.slm_handler, "LocalScorer", FakeScorer)
    monkeypatch.setattr(FakeScorer, "made", [])
    return FakeScorer.made


def handler(source: str = "nowhere.gguf", *, name: str = "small", **fields: Any) -> LlamaCppModelHandler:
    """A model at 3.60 dollars an hour, which is a thousandth of a dollar a second."""
    model = LlamaCppModel(engine="llama_cpp", source=source, **fields)
    return LlamaCppModelHandler(LocalModel(name, model, 1, Decimal("3.60")), TASKS)


def asking(text: str = "fine", *, ask: str | None = "small", offset: int = 0, task: str = "mood") -> Work:
    """A record that has one answer and waits for a model's."""
    return Work(record(text, task, offset=offset), Route("en", task, "small", None), ask, (said("good"),))


def seen(work: Work) -> tuple[Any, ...]:
    """What can be compared of a work: its id, whom to ask, and who answered with what."""
    answers = [
        (
            answer.model,
            None if answer.scores is None else answer.scores.probabilities.tolist(),
            answer.failure,
            answer.detail,
            str(answer.usage.usd),
        )
        for answer in work.answers[1:]
    ]
    return work.record.id, work.ask, answers


SCORED = ("small", [0.75, 0.25], None, "", "0.000500000000")
FAILED = ("small", None, Failure.ERROR, "llama.cpp failed to evaluate 7 tokens", "0")


def test_as_many_out_as_in(made: list[str]) -> None:
    """Eight records: six answered, one that the engine fails on, one that asks another model."""
    works = [asking(offset=number) for number in range(6)]
    works += [asking("fails!", offset=6), asking(ask="other", offset=7)]

    with local_pipeline() as pipeline:
        found = pipeline | beam.Create(works) | RunInference(handler()) | beam.Map(seen)
        assert_that(
            found,
            equal_to(
                [(f"r{number}", None, [SCORED]) for number in range(6)]
                + [("r6", None, [FAILED]), ("r7", "other", [])]
            ),
        )


def test_who_asks_nobody_passes(made: list[str]) -> None:
    """Works that are answered already go by, the very same."""
    work = asking(ask=None)
    one = handler()

    assert list(one.run_inference([work], one.load_model())) == [work]


def test_earlier_answers_stay_first(made: list[str]) -> None:
    """The new answer stands after those given before, and nobody is to be asked any more."""
    one = handler()

    (found,) = one.run_inference([asking()], one.load_model())

    assert [answer.model for answer in found.answers] == ["big", "small"]
    assert found.ask is None
    assert found.answers[1].usage == Usage(20, 15, 0, 0.5, Decimal("0.0005"))


def test_one_copy_a_process(made: list[str]) -> None:
    """Two steps with one handler, as for the sample and the main pass, share one model."""
    one = handler()

    with local_pipeline() as pipeline:
        first = pipeline | beam.Create([asking()]) | "First" >> RunInference(one)
        second = first | "Again" >> beam.Map(_ask_again) | "Second" >> RunInference(one)
        assert_that(second | beam.Map(seen), equal_to([("r0", None, [SCORED, SCORED])]))

    assert made == ["small"]


def _ask_again(work: Work) -> Work:
    return Work(work.record, work.route, "small", work.answers)


def test_two_models_are_two_copies(made: list[str]) -> None:
    """Handlers of different models do not share."""
    with local_pipeline() as pipeline:
        works = [asking(), asking(ask="other", offset=1)]
        first = pipeline | beam.Create(works) | "First" >> RunInference(handler())
        second = first | "Second" >> RunInference(handler(name="other"))
        expected = [("r0", None, [SCORED]), ("r1", None, [("other", *SCORED[1:])])]
        assert_that(second | beam.Map(seen), equal_to(expected))

    assert sorted(made) == ["other", "small"]


def test_a_model_that_no_record_asks_is_not_loaded(made: list[str]) -> None:
    """A continued run may find every answer in the journal."""
    one = handler()

    assert list(one.run_inference([asking(ask="other")], one.load_model()))
    assert made == []


def test_an_answer_in_the_journal_is_not_asked_for_again(made: list[str], tmp_path: pathlib.Path) -> None:
    """Not by another process either: same scores, same account, and no model was loaded."""
    of = JournalOf(JournalPlace(str(tmp_path)), "slm", "small", {"mood": "aa", "topic": "bb"})
    local = LocalModel("small", LlamaCppModel(engine="llama_cpp", source="nowhere.gguf"), 1, Decimal("3.6"))

    def answer() -> tuple[Any, ...]:
        one = LlamaCppModelHandler(local, TASKS, of)
        (found,) = one.run_inference([asking()], one.load_model())
        return seen(found)

    assert answer() == answer() == ("r0", None, [SCORED])
    assert made == ["small"]


def test_metrics(made: list[str]) -> None:
    """Records, tokens that were evaluated and milliseconds; failed records are counted as records."""
    pipeline = local_pipeline()
    _ = pipeline | beam.Create([asking(), asking("fails!"), asking(ask=None)]) | RunInference(handler())
    result = pipeline.run()
    result.wait_until_finish()

    found = result.metrics().query(MetricsFilter().with_namespace("tekizai.small"))
    counters = {metric.key.metric.name: metric.committed for metric in found["counters"]}
    assert counters["slm_records"] == 2
    assert counters["slm_evaluated_tokens"] == 5
    (latency,) = (
        metric.committed
        for metric in found["distributions"]
        if metric.key.metric.name == "slm_latency_milliseconds"
    )
    assert (latency.count, latency.min, latency.max) == (2, 0, 500)


def test_no_inference_args(made: list[str]) -> None:
    """An option that would have no effect is refused."""
    one = handler()

    with pytest.raises(ValueError, match=r"takes no inference_args, got \['temperature'\]"):
        list(one.run_inference([asking()], one.load_model(), {"temperature": 0}))


def test_batches_are_of_one_size() -> None:
    """Whether its model is packed or not; bytes are counted for any text."""
    one = handler()

    assert one.batch_elements_kwargs() == {"min_batch_size": 16, "max_batch_size": 16}
    assert handler(pack=8).batch_elements_kwargs() == {"min_batch_size": 32, "max_batch_size": 32}
    assert one.get_num_bytes([asking("aé"), asking("\ud800")]) == 6


def test_a_missing_model_is_said_in_one_line() -> None:
    """The model's name in the job, and what to do."""
    with pytest.raises(
        ModelFileError, match=r"^models\.small\.source: nowhere\.gguf: no such model file; give"
    ):
        _ = handler().load_model().scorer


def test_the_real_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tasks: one prefix for each. A record that is not Unicode fails alone."""
    real_model(SMOLLM2)
    opened: list[ContextConfig] = []
    real = LlamaModel.open_context

    def counted(self: LlamaModel, config: ContextConfig) -> Any:
        opened.append(config)
        return real(self, config)

    monkeypatch.setattr(LlamaModel, "open_context", counted)
    one = handler(f"pypi://{SMOLLM2}").load_model()
    texts = [
        ("mood", "Great."),
        ("mood", "a\ud800"),
        ("topic", "My card."),
        ("mood", "Great."),
        ("topic", "Hm"),
    ]
    works = [asking(text, task=task, offset=number) for number, (task, text) in enumerate(texts)]

    answers = [work.answers[-1] for work in handler().run_inference(works, one)]

    assert len(opened) == 2
    assert [answer.failure for answer in answers] == [None, Failure.ERROR, None, None, None]
    assert "not Unicode" in answers[1].detail
    first, again = answers[0], answers[3]
    assert first.scores is not None
    assert again.scores is not None
    assert first.scores.probabilities == pytest.approx(again.scores.probabilities, abs=1e-4)
    assert first.usage.cached_tokens == again.usage.cached_tokens > 5
    assert first.usage.usd > 0


def test_packed_records_are_answered_as_alone() -> None:
    """Two tasks, a record that is not Unicode, one text twice, and one that asks nobody, all in one batch."""
    real_model(SMOLLM2)
    packing, alone = (handler(f"pypi://{SMOLLM2}", pack=pack) for pack in (4, "off"))
    texts = [
        ("mood", "Great."),
        ("topic", "My card."),
        ("mood", "a\ud800"),
        ("mood", "Bad, bad."),
        ("topic", "Hm"),
    ]
    texts += [("mood", "Great."), ("mood", "I would not buy it again."), ("topic", "Cash")]
    works = [asking(text, task=task, offset=number) for number, (task, text) in enumerate(texts)]
    works.insert(3, asking(ask=None, offset=99))

    found = list(packing.run_inference(works, packing.load_model()))

    session = alone.load_model()
    assert found[3] == works[3]
    for work, given in zip(found[:3] + found[4:], works[:3] + works[4:], strict=True):
        (expected,) = alone.run_inference([given], session)
        assert work.record == given.record
        mine, its = work.answers[-1], expected.answers[-1]
        assert mine.failure == its.failure
        assert mine.usage.input_tokens == its.usage.input_tokens
        assert mine.usage.cached_tokens == its.usage.cached_tokens
        if mine.scores is not None and its.scores is not None:
            assert mine.scores.probabilities == pytest.approx(its.scores.probabilities, abs=1e-3)
            assert mine.usage.usd == local_cost(mine.usage.seconds, Decimal("3.60"))


def test_a_prompt_that_does_not_fit_ends_the_job() -> None:
    """It would fail with every record, so it is no record's failure."""
    real_model(SMOLLM2)
    one = handler(f"pypi://{SMOLLM2}", context=256)

    with pytest.raises(ValueError, match=r"the prompt of task 'mood' takes \d+ tokens and leaves"):
        list(one.run_inference([asking()], one.load_model()))


def test_a_prompt_that_is_too_long_ends_the_job_or_the_trial(made: list[str]) -> None:
    """It would be too long for every record, but where prompts are tried, another one may fit."""
    local = LocalModel("small", LlamaCppModel(engine="llama_cpp", source="nowhere.gguf"), 1, Decimal(0))
    trying = LlamaCppModelHandler(dataclasses.replace(local, trial=True), TASKS)
    earnest = LlamaCppModelHandler(local, TASKS)

    (found,) = trying.run_inference([asking("long!")], trying.load_model())

    assert found.answers[-1].failure is Failure.ERROR
    assert found.answers[-1].detail == "the prompt takes 900 tokens"
    with pytest.raises(PromptTooLongError):
        list(earnest.run_inference([asking("long!")], earnest.load_model()))


def test_a_text_is_read_by_the_sentence_encoder_where_a_head_wants_it(made: list[str]) -> None:
    """Its time is on the record's account; else there is no vector."""
    local = LocalModel("small", LlamaCppModel(engine="llama_cpp", source="nowhere.gguf"), 1, Decimal("3.6"))

    def answer(*, embedding: bool) -> Answer:
        one = LlamaCppModelHandler(dataclasses.replace(local, embedding=embedding), TASKS)
        (found,) = one.run_inference([asking("fine")], one.load_model())
        return found.answers[-1]

    plain, both = answer(embedding=False), answer(embedding=True)

    assert plain.scores is not None
    assert both.scores is not None
    assert plain.scores.embedding is None
    assert both.scores.embedding == pytest.approx(TextEncoder(asset_path(ENCODER)).encode("fine"), abs=1e-3)
    assert both.scores.embedding.tolist() == both.scores.embedding.astype(np.float16).tolist()
    assert both.usage.seconds > plain.usage.seconds
    assert both.usage.usd > plain.usage.usd


def test_no_memory_for_a_context_ends_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """So does a context that cannot be made; the message names the model."""
    real_model(SMOLLM2)

    def fail(self: LlamaModel, config: ContextConfig) -> None:
        raise EngineError("llama.cpp could not open a context of 2304 tokens")

    monkeypatch.setattr(LlamaModel, "open_context", fail)
    local = LocalModel("small", LlamaCppModel(engine="llama_cpp", source=f"pypi://{SMOLLM2}"), 1, Decimal(0))

    with pytest.raises(ModelFileError, match=r"^models\.small: llama\.cpp could not open a context"):
        LocalScorer(local, TASKS).score("mood", "fine")
