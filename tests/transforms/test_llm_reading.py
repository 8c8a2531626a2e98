"""What was read of a hosted model's answer, and what only the record's text can add to it."""

from __future__ import annotations

from router.answer_prompt import hosted_answer
from router.records import Answer, Usage
from transforms.llm_reading import with_language


def test_an_answer_read_without_its_text_gets_the_texts_language() -> None:
    """A batch's answer may come before a record asks for it; only then is its language checked."""
    early = Answer("big", Usage(), generated=hosted_answer("It arrived late.", ""))

    found = with_language(early, "商品の到着が遅かったので、とても困りました。")

    assert early.generated is not None
    assert early.generated.asked_in == "und"
    assert found.generated is not None
    assert (found.generated.asked_in, found.generated.text) == ("ja", "It arrived late.")


def test_labels_and_answers_that_know_their_text_stay_as_they_are() -> None:
    """The very same value."""
    labels = Answer("big", Usage(), labels=("positive",))
    known = Answer(
        "big", Usage(), generated=hosted_answer("Late.", "Die Lieferung kam leider viel zu spät an.")
    )

    assert with_language(labels, "text") is labels
    assert with_language(known, "text") is known
