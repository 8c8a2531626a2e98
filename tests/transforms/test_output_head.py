"""Rows of the output head applied apart from the engine."""

from __future__ import annotations

import numpy as np
import pytest

import transforms.llama_context
import transforms.llama_tap
from tests.models import GEMMA, SMOLLM2, probabilities, prompt_tokens, real_model, scorer_of, short_prompt
from transforms.llama_context import ContextConfig
from transforms.output_head import OutputHead, find_head, round_to_8_bits, round_to_bf16, round_to_f16

TOKENS = np.array([2, 5])
ROWS = np.zeros((2, 32), np.float32)
ROWS[0, 0], ROWS[1, :2] = 2.0, (1.0, 3.0)
STATE = np.zeros(32, np.float32)
STATE[:2] = 127.0, 10.28


def vocabulary(second: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Logits of six tokens, of which tokens 2 and 5 matter."""
    return np.array([9.0, 9.0, 254.0, 9.0, 9.0, second], np.float32)


def test_rounding_to_8_bits() -> None:
    """A block's largest number becomes 127 steps; each block of 32 has steps of its own size."""
    states = np.zeros((2, 64), np.float32)
    states[0, :3] = 127.0, 10.4, -10.6
    states[1, 32:34] = -2.54, 0.011

    found = round_to_8_bits(states)

    assert found[0, :4].tolist() == [127.0, 10.0, -11.0, 0.0]
    assert found[0, 32:].tolist() == [0.0] * 32
    # The step is .02, which 16 bits hold as .0200042724609375.
    assert found[1, 32:34] == pytest.approx([-127 * 0.0200042724609375, 0.0200042724609375], rel=1e-6)


def test_rounding_to_16_bits() -> None:
    """Each format keeps its own number of digits; of two equally near ones the even one is taken."""
    # After 1, bf16 has steps of 2**-7 and f16 of 2**-10: odd multiples of 2**-8 lie between two of bf16.
    states = np.array([[1.0, -1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-10, 1e5]], np.float32)

    assert round_to_bf16(states)[0, :5].tolist() == [1.0, -1.0, 1.0, 1 + 2 * 2**-7, 1.0]
    assert round_to_f16(states)[0].tolist() == [*states[0, :5].tolist(), np.inf]


@pytest.mark.parametrize(
    ("second", "rounding"),
    [
        pytest.param(10.0, "q8_0", id="steps of 1, as 127 is the largest"),
        pytest.param(10.25, "bf16", id="steps of 1/16"),
        pytest.param(10.28125, "f16", id="steps of 1/128"),
        pytest.param(10.28, "none", id="as it is"),
    ],
)
def test_the_arithmetic_is_found_out(second: float, rounding: str) -> None:
    """What the engine made of one state tells how it does it."""
    logit = 127.0 + 3 * second
    head = find_head(TOKENS, ROWS, STATE, vocabulary(logit))

    assert head is not None
    assert head.rounding == rounding
    assert head.logits(STATE[np.newaxis])[0] == pytest.approx([254.0, logit], abs=1e-4)


def test_another_head_is_not_taken_for_this_one() -> None:
    """Where no known arithmetic gives the engine's logits, there are no rows to use."""
    assert find_head(TOKENS, ROWS, STATE, vocabulary(150.0)) is None


def test_a_state_gives_the_same_beside_others() -> None:
    """Bit by bit, however many there are."""
    rng = np.random.default_rng(1)
    head = OutputHead(np.arange(50), rng.normal(size=(50, 64)).astype(np.float32), "q8_0")
    states = rng.normal(size=(17, 64)).astype(np.float32)

    together = head.logits(states)

    assert [row.tolist() for row in together] == [
        head.logits(state[np.newaxis])[0].tolist() for state in states
    ]


@pytest.mark.parametrize("package", [SMOLLM2, GEMMA])
def test_it_gives_what_the_engine_gives(package: str) -> None:
    """Within 1e-3 of the whole head's logits, which moves no probability by more than half of that."""
    model = real_model(package)
    prompt = prompt_tokens(model, short_prompt([" a"]), "My card has not arrived.")
    tokens = np.arange(0, model.vocabulary, model.vocabulary // 1000)
    context = model.open_context(ContextConfig(tokens=512))
    head = context.head(tokens, prompt[:4])
    assert head is not None

    by_rows = context.decode_wanted([prompt[4:]], 4, tokens, head)
    context.forget(0, 4)
    by_engine = context.decode_wanted([prompt[4:]], 4, tokens, None)

    assert by_rows.shape == (1, len(tokens))
    assert by_rows == pytest.approx(by_engine, abs=1e-3)
    context.close()


def test_a_missed_state_costs_time_only() -> None:
    """Where the step before the head is not met, the evaluation goes to its end; the logits are the same."""
    model = real_model(SMOLLM2)
    prompt = prompt_tokens(model, short_prompt([" a"]), "My card has not arrived.")
    context = model.open_context(ContextConfig(tokens=512))
    head = context.head(TOKENS, prompt[:4])
    expected = context.decode_wanted([prompt[4:]], 4, TOKENS, head)
    context.forget(0, 4)

    context._tap._places[transforms.llama_tap.STATE] = 1_000_000
    found = context.decode_wanted([prompt[4:]], 4, TOKENS, head)

    assert found == pytest.approx(expected, abs=1e-3)
    context.close()


def test_a_model_without_known_arithmetic_uses_its_whole_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answers are those that the rows would give."""
    model = real_model(SMOLLM2)
    by_rows = scorer_of(model, [" card", " money"])
    monkeypatch.setattr(transforms.llama_context, "find_head", lambda *_: None)
    by_engine = scorer_of(model, [" card", " money"])

    expected = probabilities(by_engine.score("My card has not arrived."))

    assert by_engine._head is None
    assert by_rows._head is not None
    assert probabilities(by_rows.score("My card has not arrived.")) == pytest.approx(expected, abs=1e-3)
    for scorer in (by_rows, by_engine):
        scorer.close()
