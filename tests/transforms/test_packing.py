"""Several records in one evaluation."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.models import GEMMA, SMOLLM2, real_model, short_prompt, task_of
from transforms.label_scorer import LabelScorer, ScorerConfig
from transforms.llama_adapter import LlamaModel
from transforms.llama_context import EngineError, LlamaContext
from transforms.packing import PackSize, bundles, pack_size
from transforms.quantize_model import describe_model, quantise

if TYPE_CHECKING:
    from router.records import LabelScores, Usage

LABELS = [" card", " money"]
TEXTS = [
    "My card has not arrived.",
    "No.",
    "I sent money to my sister in Spain last week and she still does not have it, what can I do about it?",
    "Where do I see the exchange rate?",
    "",
    "カードが届きません。",
    "Why was I charged a fee for paying by card in a shop abroad?",
    "top up",
    "It does not work" + ", and that has been so for days" * 12,
]


@pytest.mark.parametrize(
    ("lengths", "records", "expected"),
    [
        pytest.param([30, 10, 20], 2, [[1, 2], [0]], id="shortest first"),
        pytest.param([5, 5, 5], 16, [[0, 1, 2]], id="all at once"),
        pytest.param([256, 256, 1], 16, [[2, 0], [1]], id="1 is filled up to 256: 512 are two"),
        pytest.param([512, 509, 3], 16, [[2], [1], [0]], id="too long for company"),
        pytest.param([170, 170, 170], 16, [[0, 1], [2]], id="170 is filled up to 172, and 516 are too many"),
        pytest.param([], 4, [], id="none"),
    ],
)
def test_bundles(lengths: list[int], records: int, expected: list[list[int]]) -> None:
    """Runs of about one length come together, as many as are allowed and 512 tokens have room for."""
    assert bundles(lengths, records) == expected


@pytest.mark.parametrize(
    ("beginning", "expected"),
    [
        pytest.param(20, PackSize(16, 256), id="short"),
        pytest.param(128, PackSize(16, 256), id="just room for 128"),
        pytest.param(129, PackSize(16, 512), id="no room"),
        pytest.param(1000, PackSize(6, 1280), id="8192 tokens hold six"),
        pytest.param(9000, PackSize(1, 9216), id="one at a time"),
    ],
)
def test_pack_size(beginning: int, expected: PackSize) -> None:
    """Caches have room for 128 tokens after the beginning, and are not larger than 8192 tokens together."""
    assert pack_size(16, beginning) == expected


def scorer_with(model: LlamaModel, pack: int, labels: list[str] | None = None, **changes: Any) -> LabelScorer:
    """A scorer that packs, after a beginning of some tokens."""
    names = labels or LABELS
    prompt = short_prompt(names, beginning="What is the message about?\n\nText:")
    return LabelScorer(model, task_of(names), prompt, ScorerConfig(pack=pack, **changes))


def scored(results: list[tuple[LabelScores, Usage] | EngineError]) -> list[tuple[LabelScores, Usage]]:
    """The results, none of which may be an error."""
    assert not [one for one in results if isinstance(one, EngineError)]
    return [one for one in results if not isinstance(one, EngineError)]


@pytest.mark.parametrize("package", [SMOLLM2, GEMMA])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_as_alone(package: str, threads: int) -> None:
    """Labels, probabilities, features and tokens do not depend on what a record is beside."""
    model = real_model(package)
    alone, packed = scorer_with(model, 1), scorer_with(model, 4, threads=threads)
    expected = [alone.score(text) for text in TEXTS]

    for order in (list(range(len(TEXTS))), [8, 3, 0, 5, 7, 1, 4, 2, 6], [6, 4]):
        found = scored(packed.score_many([TEXTS[index] for index in order]))
        for index, (scores, usage) in zip(order, found, strict=True):
            one, its_usage = expected[index]
            assert scores.probabilities == pytest.approx(one.probabilities, abs=1e-3)
            assert scores.probabilities.argmax() == one.probabilities.argmax()
            assert scores.features == pytest.approx(one.features, abs=2e-2)
            assert scores.parts == one.parts
            assert (usage.input_tokens, usage.cached_tokens) == (
                its_usage.input_tokens,
                its_usage.cached_tokens,
            )
            assert usage.seconds > 0.0
    for scorer in (alone, packed):
        scorer.close()


@pytest.mark.parametrize("wanted", ["bf16", "q8_0"])
def test_the_same_as_alone_in_other_formats(wanted: str, tmp_path: pathlib.Path) -> None:
    """Bit by bit, also where a kernel sums one row in another order than several."""
    source = describe_model(pathlib.Path(real_model(SMOLLM2).path))
    model = LlamaModel(quantise(source, tmp_path / "model.gguf", wanted).path)
    alone, packed = scorer_with(model, 1), scorer_with(model, 4)

    found = scored(packed.score_many(TEXTS))

    assert alone._head is not None
    assert [scores.probabilities.tolist() for scores, _ in found] == [
        alone.score(text)[0].probabilities.tolist() for text in TEXTS
    ]
    for scorer in (alone, packed):
        scorer.close()
    model.close()


@pytest.mark.parametrize(("package", "rows"), [(SMOLLM2, 1), (GEMMA, 4)])
def test_what_runs_are_filled_up_to(package: str, rows: int) -> None:
    """Q4_1 has no kernel that rounds rows left over in another way; Q4_K has one, where ggml repacks it."""
    found = real_model(package).rows_together

    assert found in {1, rows}


def test_seconds_are_shared_by_tokens() -> None:
    """The sum is what the call took, and of two records in one evaluation the longer one pays more."""
    scorer = scorer_with(real_model(SMOLLM2), 4)
    scorer.score_many(["warm", "up"])

    (_, short), (_, long) = scored(scorer.score_many(["No.", "No. " * 30]))

    own = [usage.input_tokens - usage.cached_tokens for usage in (short, long)]
    assert long.seconds / short.seconds == pytest.approx(own[1] / own[0], rel=0.2)
    scorer.close()


def test_a_bad_record_costs_its_neighbours_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an evaluation fails, each of its records gets one of its own; what is not Unicode fails alone."""
    scorer = scorer_with(real_model(SMOLLM2), 4)
    expected = [scores.probabilities for scores, _ in scored(scorer.score_many(TEXTS[:3]))]
    real = LlamaContext.decode_wanted
    tries: list[int] = []

    def fail(context: LlamaContext, runs: list[list[int]], *rest: Any) -> Any:
        tries.append(len(runs))
        found = real(context, runs, *rest)
        if len(runs) > 1:
            raise EngineError("out of luck")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(LlamaContext, "decode_wanted", fail)
        first, broken, *others = scorer.score_many([TEXTS[0], "\ud800", *TEXTS[1:3]])

    assert tries == [3, 1, 1, 1]
    assert isinstance(broken, EngineError)
    assert "not Unicode" in str(broken)
    for (scores, _), probabilities in zip(scored([first, *others]), expected, strict=True):
        assert scores.probabilities.tolist() == probabilities.tolist()
    again = [scores.probabilities.tolist() for scores, _ in scored(scorer.score_many(TEXTS[:3]))]
    assert again == [row.tolist() for row in expected]
    scorer.close()


def test_long_texts_are_scored_in_parts_beside_short_ones() -> None:
    """A text over the context's room, and one over a packed record's room, come out as alone."""
    model = real_model(SMOLLM2)
    alone, packed = scorer_with(model, 1, context=400), scorer_with(model, 4, context=400)
    texts = ["Short.", "This is a sentence. " * 120, "word " * 300, "Also short."]

    found = scored(packed.score_many(texts))

    assert [scores.parts for scores, _ in found] == [1, 2, 1, 1]
    for (scores, usage), text in zip(found, texts, strict=True):
        expected, its_usage = alone.score(text)
        assert scores.probabilities == pytest.approx(expected.probabilities, abs=1e-3)
        assert usage.input_tokens == its_usage.input_tokens
    for scorer in (alone, packed):
        scorer.close()


def test_labels_with_a_tree_go_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their branches are sequences of the record's own cache."""
    scorer = scorer_with(real_model(SMOLLM2), 4, [" card payment", " card fee", " money"])
    sizes: list[int] = []
    real = LlamaContext.decode_wanted

    def noted(context: LlamaContext, runs: list[list[int]], *rest: Any) -> Any:
        sizes.append(len(runs))
        return real(context, runs, *rest)

    monkeypatch.setattr(LlamaContext, "decode_wanted", noted)

    found = scored(scorer.score_many(TEXTS[:3]))

    assert sizes == [1, 1, 1]
    for (scores, _), text in zip(found, TEXTS, strict=False):
        assert scores.probabilities.tolist() == scorer.score(text)[0].probabilities.tolist()
        assert np.isclose(scores.probabilities.sum(), 1.0)
    scorer.close()
