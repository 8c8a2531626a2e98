"""Label probabilities from one forward pass, against a slow computation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import transforms.label_scorer
from router.prompts import LabelPrompt, PromptForm, Segment, build_prompt
from tests.models import (
    GEMMA,
    SMOLLM2,
    exact_model,
    probabilities,
    prompt_tokens,
    real_model,
    scorer_of,
    shares,
    short_prompt,
    slow_log_probability,
    task_of,
)
from transforms.label_scorer import LabelScorer, ScorerConfig
from transforms.llama_context import ContextConfig, EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from transforms.llama_adapter import LlamaModel

TEXT = "My card has not arrived."
CLOSE = 1e-4
MODELS = pytest.mark.parametrize("package", [SMOLLM2, GEMMA])


def scored_slowly(
    model: LlamaModel, prompt: LabelPrompt, text: str, ends: Sequence[str] = ()
) -> npt.NDArray[np.float64]:
    """Probabilities of single labels, each evaluated from nothing; those in `ends` with a line end."""
    before = prompt_tokens(model, prompt, text)
    line_end = model.tokenize("\n", special=False)
    scored = [
        model.tokenize(answer, special=False) + (line_end if answer in ends else [])
        for _, answer in prompt.answers
    ]
    return shares([slow_log_probability(model, before, tokens) for tokens in scored])


# Each case: the labels, and those that are the beginning of another one.
SINGLE_TOKEN = [" card", " money"]
SHARED_FIRST = [" card payment declined", " card payment fee", " card arrival", " cash withdrawal"]
ONE_BEGINS_ANOTHER = [" card", " card payment", " card payment fee", " money"]


@pytest.mark.parametrize(
    ("answers", "ends"),
    [
        pytest.param(SINGLE_TOKEN, [], id="single tokens"),
        pytest.param(SHARED_FIRST, [], id="shared first tokens"),
        pytest.param(ONE_BEGINS_ANOTHER, [" card", " card payment"], id="one begins another"),
    ],
)
def test_scores_equal_the_slow_computation(
    monkeypatch: pytest.MonkeyPatch, answers: list[str], ends: list[str]
) -> None:
    """A label's probability is that of its tokens after the prompt, among the labels."""
    model = exact_model(monkeypatch)
    scorer = scorer_of(model, answers)

    found = probabilities(scorer.score(TEXT))

    assert found == pytest.approx(scored_slowly(model, short_prompt(answers), TEXT, ends), abs=CLOSE)
    assert found.sum() == pytest.approx(1.0, abs=1e-9)
    scorer.close()


@MODELS
def test_quantised_models_come_close(package: str) -> None:
    """What is left of the difference is the rounding inside of them (see `exact_model`)."""
    model = real_model(package)
    scorer = scorer_of(model, ONE_BEGINS_ANOTHER)

    found = probabilities(scorer.score(TEXT))

    ends = [" card", " card payment"]
    expected = scored_slowly(model, short_prompt(ONE_BEGINS_ANOTHER), TEXT, ends)
    assert found == pytest.approx(expected, abs=0.06)
    scorer.close()


def test_many_labels_equal_the_slow_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 42 labels, more than one batch of the tree is evaluated."""
    model = exact_model(monkeypatch)
    objects = ["card", "cash", "transfer", "balance", "account", "refund", "pin"]
    answers = [
        f" {one} {what}" for one in objects for what in ("lost", "fee", "limit", "help", "delay", "error")
    ]
    assert len(answers) == 42
    scorer = scorer_of(model, answers)

    found = probabilities(scorer.score("Hm."))

    assert found == pytest.approx(scored_slowly(model, short_prompt(answers), "Hm."), abs=CLOSE)
    scorer.close()


@pytest.mark.parametrize("limit", [2, 3, 4])
def test_more_branches_than_sequences(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """Branches that the context has no sequence for are evaluated after the others, with the same result."""
    model = exact_model(monkeypatch)
    answers = [" card payment declined", " card payment fee", " cash now", " money back please", " card"]
    plain = scorer_of(model, answers)
    expected = probabilities(plain.score(TEXT))
    plain.close()
    monkeypatch.setattr(transforms.label_scorer, "MAX_SEQUENCES", limit)

    scorer = scorer_of(model, answers)

    assert probabilities(scorer.score(TEXT)) == pytest.approx(expected, abs=CLOSE)
    assert probabilities(scorer.score(TEXT)) == pytest.approx(expected, abs=CLOSE)
    scorer.close()


def test_the_whole_way_from_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task in the chat form, scored as its prompt is written; the template's own tokens act."""
    model = exact_model(monkeypatch)
    task = task_of(["complaint", "praise", "praise of staff"])
    prompt = build_prompt(task, PromptForm("chat", "The {task} is"), chat_template=model.chat_template)
    scorer = LabelScorer(model, task, prompt, ScorerConfig())

    found = probabilities(scorer.score("Great!"))

    assert found == pytest.approx(scored_slowly(model, prompt, "Great!", [" praise"]), abs=CLOSE)
    scorer.close()


def test_each_label_of_many_has_its_own_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    """multi_label: the share of yes after the label's question, whatever the other labels are."""
    model = exact_model(monkeypatch)
    answers = tuple((f"Is it {name}?", word) for name in ("price", "delivery") for word in (" no", " yes"))
    prompt = LabelPrompt((Segment("Text:"),), " ", (Segment("\n"),), answers)
    scorer = LabelScorer(model, task_of(["price", "delivery"], "multi_label"), prompt, ScorerConfig())
    alone = LabelPrompt(prompt.beginning, " ", prompt.end, answers[2:])
    second = LabelScorer(model, task_of(["delivery"], "multi_label"), alone, ScorerConfig())

    found, usage = scorer.score(TEXT)

    before = prompt_tokens(model, prompt, TEXT)
    words = [model.tokenize(word, special=False) for word in (" no", " yes")]
    for index, name in enumerate(("price", "delivery")):
        asked = [*before, *model.tokenize(f"Is it {name}?", special=False)]
        expected = shares([slow_log_probability(model, asked, word) for word in words])[1]
        assert found.probabilities[index] == pytest.approx(expected, abs=CLOSE)
    assert probabilities(second.score(TEXT))[0] == pytest.approx(found.probabilities[1], abs=CLOSE)
    # The text's tokens once; "Is it" once for both questions, then a name and a question mark for each.
    questions = {tuple(model.tokenize(before, special=False)) for before, _ in answers}
    nodes = {question[:size] for question in questions for size in range(1, len(question) + 1)}
    assert usage.input_tokens == len(before) + len(nodes)
    scorer.close()
    second.close()


def test_what_ran_before_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same scores after a long record, a failed one, other tasks, and in a new scorer."""
    model = exact_model(monkeypatch)
    answers = [" card payment", " card", " money"]
    scorer, other = scorer_of(model, answers), scorer_of(model, [" yes", " no"])
    multi = LabelScorer(
        model,
        task_of(["price"], "multi_label"),
        LabelPrompt((Segment("T:"),), " ", (Segment("\n"),), (("Price?", " no"), ("Price?", " yes"))),
        ScorerConfig(),
    )
    expected = probabilities(scorer.score(TEXT))

    scorer.score("The card did not come, and nobody told me why. " * 5)
    assert probabilities(scorer.score(TEXT)) == pytest.approx(expected, abs=CLOSE)

    other.score(TEXT)
    multi.score(TEXT)
    assert probabilities(scorer.score(TEXT)) == pytest.approx(expected, abs=CLOSE)

    for method in ("decode_tree", "decode_wanted"):
        with monkeypatch.context() as patch:
            patch.setattr(scorer._context, method, fails_after_evaluating(scorer, method))
            with pytest.raises(EngineError, match="out of luck"):
                scorer.score("Another text.")
        assert probabilities(scorer.score(TEXT)) == pytest.approx(expected, abs=CLOSE)

    new = scorer_of(model, answers)
    assert probabilities(new.score(TEXT)) == pytest.approx(expected, abs=CLOSE)
    for one in (scorer, other, multi, new):
        one.close()


def fails_after_evaluating(scorer: LabelScorer, method: str) -> object:
    """A method of the context that leaves its tokens in the cache and then fails."""
    real = getattr(scorer._context, method)

    def fail(*args: object, **options: object) -> None:
        real(*args, **options)
        raise EngineError("out of luck")

    return fail


def test_the_beginning_is_evaluated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record costs its own tokens and the prompt's end; the beginning is counted as cached."""
    model = real_model(SMOLLM2)
    scorer = scorer_of(model, SINGLE_TOKEN, beginning="Name the topic of the text.\n\nText:")
    runs: list[tuple[int, int]] = []
    real = scorer._context.decode_wanted

    def noted(given: Sequence[Sequence[int]], start: int, *rest: Any) -> object:
        runs.extend((len(run), start) for run in given)
        return real(given, start, *rest)

    monkeypatch.setattr(scorer._context, "decode_wanted", noted)

    usages = [scorer.score(text)[1] for text in (TEXT, TEXT)]

    beginning = len(model.tokenize("Name the topic of the text.\n\nText:", special=False))
    rest = len(model.tokenize(f" {TEXT}", special=False)) + len(model.tokenize("\nTopic:", special=False))
    assert scorer.prefix_tokens == beginning
    assert runs == [(rest, beginning), (rest, beginning)]
    assert [usage.cached_tokens for usage in usages] == [beginning, beginning]
    assert [usage.input_tokens for usage in usages] == [beginning + rest, beginning + rest]
    assert all(usage.seconds > 0.0 and usage.output_tokens == 0 and usage.usd == 0 for usage in usages)
    scorer.close()


def test_begin_token_stands_once() -> None:
    """Gemma wants a BOS before every prompt; a template that writes it itself gets no second one."""
    model = real_model(GEMMA)
    written = LabelPrompt(
        (Segment("<bos>Text:", template=True),), " ", (Segment("\n"),), (("", " a"), ("", " b"))
    )
    unwritten = LabelPrompt((Segment("Text:"),), " ", (Segment("\n"),), (("", " a"), ("", " b")))

    for prompt in (written, unwritten):
        scorer = LabelScorer(model, task_of(["a", "b"]), prompt, ScorerConfig())
        assert scorer._beginning == [2, *model.tokenize("Text:", special=False)]
        scorer.close()


def test_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,024 fixed logits after the prompt: the same for the same text, whatever the labels are."""
    model = exact_model(monkeypatch)
    scorer, other = scorer_of(model, SINGLE_TOKEN), scorer_of(model, SHARED_FIRST)

    first, again, others = (one.score(TEXT)[0].features for one in (scorer, scorer, other))
    different = scorer.score("Something else.")[0].features
    assert different is not None

    context = model.open_context(ContextConfig(tokens=512))
    logits = context.decode_run(prompt_tokens(model, short_prompt(SINGLE_TOKEN), TEXT), 0, want_last=True)

    assert first is not None
    assert logits is not None
    assert first.shape == (1024,)
    assert first.dtype == np.float32
    assert first.tolist() == first.astype(np.float16).tolist()  # as the journal gives them back
    assert first == pytest.approx(logits[scorer._feature_tokens], rel=1e-3, abs=1e-2)
    assert first == pytest.approx(again, rel=1e-3, abs=1e-2)
    assert first == pytest.approx(others, rel=1e-3, abs=1e-2)
    assert np.abs(first - different).max() > 0.1
    assert scorer._feature_tokens.tolist() == sorted(set(other._feature_tokens.tolist()))
    for one in (scorer, other, context):
        one.close()


def test_a_prompt_without_room_for_texts_is_refused() -> None:
    """The message says how many tokens it takes, and what to do."""
    model = real_model(SMOLLM2)
    prompt = short_prompt(SINGLE_TOKEN, beginning="word " * 100)

    with pytest.raises(
        ValueError, match=r"task 'topic' takes \d+ tokens .* in a context of 300; .* `context`"
    ):
        LabelScorer(model, task_of(SINGLE_TOKEN), prompt, ScorerConfig(context=300))


def test_equal_labels_are_refused() -> None:
    """Two labels with the same tokens cannot be told apart."""
    with pytest.raises(ValueError, match="two labels have the same tokens"):
        LabelScorer(real_model(SMOLLM2), task_of(["a", "b"]), short_prompt([" a", " a"]), ScorerConfig())
