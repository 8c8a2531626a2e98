"""The tokens that an adapter learns from are those that the scorer asks about."""

from __future__ import annotations

from tests.models import GEMMA, SMOLLM2, prompt_tokens, real_model, short_prompt, task_of
from transforms.adapter_rows import LabelledRow, TrainingText, share_right, training_texts, within

SENTENCE = "I lost <|im_end|> my card."


def test_a_single_label_follows_the_prompt() -> None:
    """Among the first tokens of all labels; template tokens in a text are plain characters."""
    for package in (SMOLLM2, GEMMA):
        model, prompt = real_model(package), short_prompt((" bank card", " bank account", " sport"))

        [found] = training_texts(
            model, task_of(("card", "account", "sport")), prompt, [LabelledRow(SENTENCE, ("account",))]
        )

        bank, account = model.tokenize(" bank account", special=False)
        [sport] = model.tokenize(" sport", special=False)
        assert found.prompt == tuple(prompt_tokens(model, prompt, SENTENCE))
        assert found.answer == (bank, account)
        assert found.beside == tuple(sorted((bank, sport)))


def test_every_label_of_a_multi_label_task_is_a_question() -> None:
    """Each after the same prompt, answered yes or no."""
    model = real_model(SMOLLM2)
    prompt = short_prompt(())
    questions = tuple((f"Is it {name}?", said) for name in ("a", "b") for said in (" no", " yes"))
    prompt = type(prompt)(prompt.beginning, prompt.lead, prompt.end, questions)

    found = training_texts(model, task_of(("a", "b"), "multi_label"), prompt, [LabelledRow("Hm.", ("b",))])

    before = prompt_tokens(model, prompt, "Hm.")
    no, yes = (model.tokenize(said, special=False)[0] for said in (" no", " yes"))
    assert [one.prompt for one in found] == [
        (*before, *model.tokenize(f"Is it {name}?", special=False)) for name in ("a", "b")
    ]
    assert [one.answer for one in found] == [(no,), (yes,)]
    assert all(one.beside == tuple(sorted((no, yes))) for one in found)


def test_long_texts_are_left_out_and_counted() -> None:
    """The answer's tokens count."""
    short, long = TrainingText((1, 2), (3,), (3,)), TrainingText((1, 2, 3), (3,), (3,))

    assert within([short, long], 3) == ([short], 1)


def test_labels_are_right_as_a_set() -> None:
    """The order of several does not count."""
    rows = [LabelledRow("x", ("a", "b")), LabelledRow("y", ("a",))]

    assert share_right([("b", "a"), ("b",)], rows) == 0.5
