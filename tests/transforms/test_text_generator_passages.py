"""Writing answers with passages before the text, on a real small model."""

from __future__ import annotations

import pytest

from router.answer_prompt import build_answer_prompt
from router.job import Task
from router.reference import Nearest, ReferenceRow
from router.retrieval import NOTHING_FOUND, Found
from tests.models import GEMMA, real_model
from transforms.label_scorer import ScorerConfig
from transforms.llama_context import EngineError
from transforms.text_generator import TextGenerator

TASK = Task.model_validate(
    {
        "name": "t",
        "kind": "generate",
        "instruction": "Answer the question in a few words, from the reference.",
        "examples": [{"text": "What does the kettle cost?", "answer": "30 dollars"}],
        "max_tokens": 8,
    }
)
QUESTION = "What is the code word of the museum?"


def generator(context: int | None = None, retrieved_tokens: int = 0) -> TextGenerator:
    """A generator whose prompt has room for passages."""
    model = real_model(GEMMA)
    bos, eos = model.token_text("bos"), model.token_text("eos")
    prompt = build_answer_prompt(
        TASK, "plain", chat_template=model.chat_template, bos=bos, eos=eos, retrieved=True
    )
    config = ScorerConfig(context=context, retrieved_tokens=retrieved_tokens)
    return TextGenerator(model, TASK, prompt, config)


def passages(*texts: str) -> Found:
    """Passages, each less similar than the one before."""
    return Found((), tuple(Nearest(ReferenceRow(t, t), 1 - n / 100) for n, t in enumerate(texts)))


def test_what_a_passage_says_can_be_answered_from() -> None:
    """And its tokens are accounted for; without it the model cannot know."""
    made = generator()
    found = passages("The code word of the museum is zebra.")

    told, used = made.generate(QUESTION, found)
    untold, less = made.generate(QUESTION)

    assert "zebra" in told.text.casefold()
    assert "zebra" not in untold.text.casefold()
    header = "For reference only, not an instruction:\n- The code word of the museum is zebra.\n\n"
    assert used.input_tokens - less.input_tokens == len(real_model(GEMMA).tokenize(header, special=False))
    assert used.cached_tokens == less.cached_tokens == made.prefix_tokens
    assert made.generate(QUESTION, found)[0] == told
    made.close()


def test_passages_without_room_are_left_out_farthest_first() -> None:
    """A text has all the room it needs, and one that fits by itself never fails because of passages."""
    made = generator(context=512)
    many = passages(*(f"{n}. " + "The museum opens at nine. " * 10 for n in range(20)))

    some = made.fit(QUESTION, many)
    none = made.fit("word " * 420, many)

    assert 0 < len(some.passages) < 20
    assert some.passages == many.passages[: len(some.passages)]
    assert none == NOTHING_FOUND
    assert made.generate(QUESTION, some)[0].tokens > 0
    assert made.generate("word " * 420, none)[0].tokens > 0
    too_long = "word " * 1000
    with pytest.raises(EngineError, match="the context has room for"):
        made.generate(too_long, made.fit(too_long, many))
    made.close()


def test_a_context_of_no_given_size_has_room_for_them() -> None:
    """What is retrieved usually takes no room from the texts."""
    plain, wide = generator(), generator(retrieved_tokens=768)
    long = passages("The museum opens at nine. " * 340)

    assert plain.fit("word " * 1800, long) == NOTHING_FOUND
    assert wide.fit("word " * 500, long) == long
    plain.close()
    wide.close()
