"""Writing answers with real small models."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from router.answer_prompt import PLAIN_ENDS, build_answer_prompt
from router.answer_schema import misfit
from router.job import Task
from tests.models import GEMMA, SMOLLM2, real_model
from transforms.label_scorer import PromptTooLongError, ScorerConfig
from transforms.llama_context import ContextConfig, EngineError
from transforms.llama_grammar import schema_grammar, unfolded
from transforms.text_generator import TextGenerator, _text

if TYPE_CHECKING:
    from transforms.llama_adapter import LlamaModel

SCHEMA = {
    "type": "object",
    "properties": {
        "product": {"type": "string"},
        "mood": {"enum": ["good", "bad"]},
        "stars": {"type": ["integer", "null"]},
        "words": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
    },
}
REVIEWS = [
    "The kettle broke after a day. One star.",
    'A "great" toaster!\nI love it: 5 stars.',
    "充电器很好用。",
]


def generator(
    model: LlamaModel, form: str = "plain", context: int | None = None, **keys: Any
) -> TextGenerator:
    """A generator of a task with these keys."""
    task = Task.model_validate(
        {"name": "t", "kind": "generate", "instruction": "Describe the review.", **keys}
    )
    bos, eos = model.token_text("bos"), model.token_text("eos")
    prompt = build_answer_prompt(task, form, chat_template=model.chat_template, bos=bos, eos=eos)
    return TextGenerator(model, task, prompt, ScorerConfig(context=context))


@pytest.mark.parametrize(("package", "form"), [(SMOLLM2, "chat"), (SMOLLM2, "plain"), (GEMMA, "plain")])
def test_answers_fit_the_schema(package: str, form: str) -> None:
    """Every answer that the bound did not cut is JSON of the schema, whatever the model would rather say."""
    made = generator(real_model(package), form, schema=SCHEMA, max_tokens=96)

    found = [made.generate(text)[0] for text in REVIEWS]

    assert not all(one.cut for one in found)
    for one in found:
        if not one.cut:
            assert misfit(made._task.answer_schema or {}, one.text) is None
            assert list(json.loads(one.text)) == ["product", "mood", "stars", "words"]
    made.close()


NESTED = {
    "type": "object",
    "properties": {
        "place": {"type": ["object", "null"], "properties": {"city": {"type": "string"}}},
        "名前": {"type": ["array", "null"], "items": {"enum": ["a", 1, None]}, "maxItems": 2},
        "a-b c": {"anyOf": [{"type": "boolean"}, {"type": "object", "properties": {"c": {"type": "null"}}}]},
    },
}


def test_nested_and_nullable_parts_are_enforced_too() -> None:
    """The bindings' converter alone would forget what is in an object that may be null."""
    made = generator(real_model(SMOLLM2), schema=NESTED, max_tokens=120)

    found = [made.generate(text)[0] for text in REVIEWS]

    whole = [one.text for one in found if not one.cut]
    assert whole
    assert [misfit(made._task.answer_schema or {}, text) for text in whole] == [None] * len(whole)
    made.close()


def test_a_list_of_types_becomes_alternatives() -> None:
    """Each with all that the schema says of it; an enumeration needs no type."""
    assert unfolded({"type": ["array", "null"], "items": {"type": "string"}, "description": "x"}) == {
        "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]
    }
    assert unfolded({"type": "string", "enum": ["a"]}) == {"enum": ["a"]}


@pytest.mark.parametrize("more", ["", "\n\nIt is.", "\nText: What is", "\nAnswer: Paris\nAnswer: Paris"])
def test_a_plain_answer_ends_where_another_text_or_answer_begins(more: str) -> None:
    """Base models go on to the bound with what they have seen so often."""
    assert _text(f" Paris,\nFrance{more}".encode(), PLAIN_ENDS) == "Paris,\nFrance"


def test_the_likeliest_tokens_are_taken_and_weighed() -> None:
    """The same as evaluating everything from the start, token by token."""
    model = real_model(SMOLLM2)
    made = generator(model, max_tokens=5)

    found, usage = made.generate("The cat sat on the mat.")

    tokens = [*made._beginning, *model.tokenize(" The cat sat on the mat.", special=False), *made._end]
    prompt, logs, pieces = len(tokens), [], b""
    context = model.open_context(ContextConfig(tokens=512))
    for _ in range(usage.output_tokens):
        logits = context.decode_run(tokens, 0, want_last=True)
        assert logits is not None
        values = logits.astype(np.float64)
        token = int(values.argmax())
        logs.append(float(values[token] - np.logaddexp.reduce(values)))
        pieces += model.tokens.piece(token)
        tokens.append(token)
        context.forget(0, 0)
    context.close()
    assert found.text == pieces.decode().strip().split("\n\n")[0]
    assert found.log_probability == pytest.approx(np.mean(logs), abs=0.02)
    assert found.least == pytest.approx(min(logs), abs=0.05)
    assert (usage.input_tokens, usage.cached_tokens) == (prompt, made.prefix_tokens)
    assert found.tokens == usage.output_tokens <= 5
    made.close()


def test_the_bound_cuts_an_answer() -> None:
    """Which is marked, also where a grammar is left unfinished."""
    made = generator(real_model(SMOLLM2), schema=SCHEMA, max_tokens=4)

    found, usage = made.generate(REVIEWS[0])

    assert found.cut
    assert usage.output_tokens == 4
    made.close()


def test_answers_do_not_depend_on_what_was_asked_before() -> None:
    """The cache holds the prompt's beginning only, and a second sample is drawn alike each time."""
    made = generator(real_model(SMOLLM2), "chat", samples=2, max_tokens=12)

    first = [made.generate(text)[0] for text in REVIEWS]
    again = [made.generate(text)[0] for text in reversed(REVIEWS)]

    assert again == first[::-1]
    assert all(one.agreement is None if one.cut else 0.0 <= (one.agreement or 0.0) <= 1.0 for one in first)
    assert all(math.exp(one.log_probability or 0.0) <= 1.0 for one in first)
    made.close()


def test_a_text_longer_than_the_context_is_an_error_and_costs_one_record() -> None:
    """An answer to a part of it would be no answer to it."""
    made = generator(real_model(SMOLLM2), max_tokens=8, context=512)

    with pytest.raises(EngineError, match="the context has room for"):
        made.generate("word " * 1000)
    assert made.generate("A cat.")[0].tokens > 0
    made.close()


def test_a_prompt_without_room_is_refused() -> None:
    """With what to shorten."""
    with pytest.raises(PromptTooLongError, match="a smaller max_tokens, or a larger"):
        generator(real_model(SMOLLM2), max_tokens=400, context=512)


def test_strings_hold_no_control_characters() -> None:
    """JSON forbids them, and the bindings' own rule does not."""
    grammar = schema_grammar({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]})

    assert r"\x00-\x1F" in grammar
