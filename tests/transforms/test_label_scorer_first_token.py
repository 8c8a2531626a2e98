"""Labels scored by their first token only, against a slow computation."""

from __future__ import annotations

import numpy as np
import pytest

from router.prompts import LabelPrompt, Segment
from tests.models import (
    exact_model,
    probabilities,
    prompt_tokens,
    scorer_of,
    shares,
    short_prompt,
    slow_log_probability,
    task_of,
)
from transforms.label_scorer import LabelScorer, ScorerConfig

TEXT = "My card has not arrived."
LABELS = [" card payment declined", " card payment fee", " card", " cash withdrawal", " money"]
CLOSE = 1e-4
FIRST_TOKENS = ScorerConfig(label_tree=False)


def test_a_label_counts_as_much_as_its_first_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels that begin alike are then equal; among all labels the probabilities sum to one."""
    model = exact_model(monkeypatch)
    prompt = short_prompt(LABELS)
    scorer = LabelScorer(model, task_of(LABELS), prompt, FIRST_TOKENS)
    before = prompt_tokens(model, prompt, TEXT)
    first = [model.tokenize(label, special=False)[:1] for label in LABELS]

    found = probabilities(scorer.score(TEXT))

    assert first[0] == first[1] == first[2]
    assert found == pytest.approx(
        shares([slow_log_probability(model, before, one) for one in first]), abs=CLOSE
    )
    assert found[0] == found[1] == found[2]
    assert found.sum() == pytest.approx(1.0)
    scorer.close()


def test_labels_of_one_token_have_the_same_scores_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the same account, because there is nothing more to evaluate."""
    model = exact_model(monkeypatch)
    whole = scorer_of(model, [" card", " money"])
    first = LabelScorer(model, task_of([" card", " money"]), short_prompt([" card", " money"]), FIRST_TOKENS)

    (said, used), (said_first, used_first) = whole.score(TEXT), first.score(TEXT)

    assert said_first.probabilities == pytest.approx(said.probabilities, abs=CLOSE)
    assert used_first.input_tokens == used.input_tokens
    for one in (whole, first):
        one.close()


def test_the_features_are_those_of_a_whole_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that learned from the one may read the other."""
    model = exact_model(monkeypatch)
    whole, first = (
        LabelScorer(model, task_of(LABELS), short_prompt(LABELS), config)
        for config in (ScorerConfig(), FIRST_TOKENS)
    )

    expected, found = (one.score(TEXT)[0].features for one in (whole, first))

    assert expected is not None
    assert found == pytest.approx(expected, abs=1e-3)
    for one in (whole, first):
        one.close()


def test_no_more_than_the_text_is_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompt and text are on the account, and no token of a label; the longer way takes each beginning."""
    model = exact_model(monkeypatch)
    prompt = short_prompt(LABELS)
    whole, first = (
        LabelScorer(model, task_of(LABELS), prompt, config) for config in (ScorerConfig(), FIRST_TOKENS)
    )
    monkeypatch.setattr(first._context, "decode_tree", None)

    used, used_whole = first.score(TEXT)[1], whole.score(TEXT)[1]

    length = len(prompt_tokens(model, prompt, TEXT))
    tokens = [tuple(model.tokenize(label, special=False)) for label in LABELS]
    # A label that begins another one is ended by a line, so that it is evaluated whole.
    inner = {label[:size] for label in tokens for size in range(1, len(label))}
    assert used.input_tokens == length
    assert used_whole.input_tokens == length + len(inner)
    assert used.cached_tokens == used_whole.cached_tokens == first.prefix_tokens
    for one in (whole, first):
        one.close()


def test_what_was_scored_before_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor how long it was: the cache holds the prompt's beginning and nothing else."""
    model = exact_model(monkeypatch)
    scorer = LabelScorer(model, task_of(LABELS), short_prompt(LABELS), FIRST_TOKENS)
    expected = probabilities(scorer.score(TEXT))

    scorer.score("The card did not come, and nobody told me why. " * 5)

    assert probabilities(scorer.score(TEXT)) == pytest.approx(expected, abs=CLOSE)
    scorer.close()


def test_a_long_text_is_scored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by first tokens, averaged by length; what is evaluated is each part and the prompt for it."""
    model = exact_model(monkeypatch)
    prompt = LabelPrompt((Segment("Text:"),), " ", (Segment("\nTopic:"),), (("", " card"), ("", " cash now")))
    task = task_of(["card", "cash now"])
    config = ScorerConfig(context=300, label_tree=False)
    scorer = LabelScorer(model, task, prompt, config)

    said, used = scorer.score("The card did not come, and nobody told me why. " * 40)

    assert said.parts > 1
    assert said.probabilities.sum() == pytest.approx(1.0)
    assert np.isfinite(said.probabilities).all()
    assert used.cached_tokens == scorer.prefix_tokens * said.parts
    scorer.close()
