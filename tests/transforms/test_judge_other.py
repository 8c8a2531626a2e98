"""A second opinion is asked for once a record, and one that is missing for the moment is no view."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from router.judgement import Dispute, View
from router.records import Answer, Failure, Route, Usage, Work
from tests.router.work_examples import SENTIMENT, record
from transforms.judge_calls import CallRefusedError, JudgeCalls
from transforms.judge_other import OtherModel, OtherSession, SecondOpinion

if TYPE_CHECKING:
    from collections.abc import Sequence

USD = Decimal("0.002")


class Answering:
    """A model's handler that gives one answer to all."""

    def __init__(self, answer: Answer) -> None:
        """Count the questions."""
        self.answer, self.asked = answer, 0

    def run_inference(self, batch: Sequence[Work], *_: object) -> list[Work]:
        """Append the answer."""
        self.asked += len(batch)
        return [dataclasses.replace(work, answers=(*work.answers, self.answer)) for work in batch]


def opinion(handler: Answering, *views: View) -> SecondOpinion:
    """What the judge may ask about a record on which the views differ."""
    desk = cast("Any", SimpleNamespace(judge=SimpleNamespace(max_usd=Decimal(1))))
    other = OtherModel("third", cast("Any", handler), {SENTIMENT.name: SENTIMENT}, {})
    work = Work(
        record("fine", SENTIMENT.name), Route("en", SENTIMENT.name, "small", None), dispute=Dispute("", views)
    )
    return SecondOpinion(OtherSession(other, None), work, JudgeCalls(desk, SENTIMENT.name, bytes(16)))


def test_calls_of_one_step_cost_once() -> None:
    """However many there are, the model is asked once, and its dollars are counted once."""
    handler = Answering(Answer("third", Usage(usd=USD), labels=("good",)))
    asking = opinion(handler)

    assert asking() == asking() == View("third", ("good",), None)
    assert (handler.asked, asking.calls.spent) == (1, USD)


def test_who_disagrees_is_not_asked_again() -> None:
    """Its view is known."""
    handler, view = Answering(Answer("third", Usage())), View("third", ("bad",), 0.5)

    assert opinion(handler, view)() == view
    assert handler.asked == 0


@pytest.mark.parametrize("failure", [Failure.UNAVAILABLE, Failure.OVER_BUDGET])
def test_what_may_be_answered_later_ends_the_judging(failure: Failure) -> None:
    """The judge gets no verdict, and the error says why; what was paid is on the account."""
    handler = Answering(Answer("third", Usage(usd=USD), failure=failure, detail="HTTP 503"))
    asking = opinion(handler)

    with pytest.raises(CallRefusedError, match="third gave no answer: HTTP 503") as refused:
        asking()
    assert (refused.value.failure, asking.calls.error) == (failure, refused.value)
    assert asking.calls.spent == USD


def test_a_model_that_cannot_answer_is_final() -> None:
    """Asked again it would say the same."""
    answer = Answer("third", Usage(usd=USD), failure=Failure.UNUSABLE, detail="no label")

    assert opinion(Answering(answer))() == "third gave no answer."
