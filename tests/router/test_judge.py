"""Which records are judged, and what a judgement makes of an annotation: values worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from router.decide import decide
from router.judge import JudgeRule
from router.judgement import Judgement, Step, ToolUse, View, as_answer, of_answer
from router.records import Annotated, Failure, Status, Usage, Work
from router.summary import gate_summary, tally_annotated
from tests.router.work_examples import policy, said, scored, work

RULE = JudgeRule("big", disagree_above=0.7, unsure_below=0.6)
SPENT = Usage(300, 0, 30, 2.0, Decimal("0.003"))
BOTH_SURE = policy(min_confidence=0.9)


def judged_by(rule: JudgeRule, given: Work) -> Annotated | Work:
    """What is decided of a record with answers of both models."""
    found = decide(given, replace(BOTH_SURE, judge=rule), {})
    assert isinstance(found, Annotated | Work)
    return found


def settled(judgement: Judgement) -> Annotated:
    """A dispute (small: good at .8, big: bad) with this judgement."""
    waiting = judged_by(RULE, work(scored([0.2, 0.8]), said("bad")))
    assert isinstance(waiting, Work)
    found = judged_by(RULE, replace(waiting, ask=None, judgement=judgement))
    assert isinstance(found, Annotated)
    return found


def test_a_sure_small_model_that_disagrees_makes_a_dispute() -> None:
    """Small said good with .8, big bad: the judge is asked, and knows what both said."""
    found = judged_by(RULE, work(scored([0.2, 0.8]), said("bad")))

    assert isinstance(found, Work)
    assert found.ask == "judge"
    assert found.dispute is not None
    assert found.dispute.why == "small said good with confidence 0.800, big bad"
    assert found.dispute.views == (
        View("small", ("good",), 0.8, (("good", 0.8), ("bad", 0.2))),
        View("big", ("bad",), None, ()),
    )


@pytest.mark.parametrize(
    ("small", "large"),
    [([0.2, 0.8], "good"), ([0.31, 0.69], "bad")],
    ids=["they agree", "small is not sure"],
)
def test_other_records_are_not_judged(small: list[float], large: str) -> None:
    """What both say, or what the small one was not sure of, the large one decides."""
    found = judged_by(RULE, work(scored(small), said(large)))

    assert isinstance(found, Annotated)
    assert found.annotation.status is Status.ESCALATED


@pytest.mark.parametrize(("sure", "is_judged"), [(0.59, True), (0.61, False)])
def test_an_unsure_large_model_is_judged(sure: float, *, is_judged: bool) -> None:
    """Its confidence comes from its scores, or from the probabilities of its tokens."""
    hosted = work(scored([0.5, 0.5]), replace(said("good"), confidence=sure))
    local = work(scored([0.5, 0.5]), scored([1 - sure, sure], model="big"))

    for given in (hosted, local):
        assert isinstance(judged_by(RULE, given), Work) is is_judged


def test_a_large_model_without_a_confidence_is_not_unsure() -> None:
    """Nobody knows."""
    assert isinstance(judged_by(RULE, work(scored([0.5, 0.5]), said("bad"))), Annotated)


def test_what_only_the_small_model_answered_is_not_judged() -> None:
    """There is no dispute where the gate trusted it, nor where the large one failed."""
    assert isinstance(judged_by(RULE, work(scored([0.05, 0.95]))), Annotated)


def test_a_verdict_takes_the_place_of_the_answer() -> None:
    """Without a confidence; what it took is on the account, beside what the models took."""
    found = settled(Judgement("it is praise", ("good",), calls={"judge": SPENT}))

    said_then = found.annotation
    assert (said_then.labels, said_then.model, said_then.status) == (("good",), "judge", Status.JUDGED)
    assert (said_then.confidence, said_then.scores) == (None, ())
    assert said_then.reason == (
        "small said good with confidence 0.800, big bad; the judge decided good: it is praise"
    )
    assert found.judged is not None
    assert found.judged.changed
    assert found.calls["judge"] == SPENT
    # 0.001 for small, 0.02 for big.
    assert found.usage.usd == Decimal("0.024")
    assert sum(found.calls.values(), Usage()) == found.usage


def test_a_person_is_needed() -> None:
    """The large model's label stands until then, without a confidence."""
    found = settled(Judgement("irony?"))

    said_then = found.annotation
    assert (said_then.labels, said_then.model, said_then.status) == (("bad",), "big", Status.NEEDS_HUMAN)
    assert said_then.confidence is None
    assert said_then.reason.endswith("the judge says that a person must decide: irony?")


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Failure.OVER_BUDGET, "the judge was not asked to the end: no money"),
        (Failure.UNAVAILABLE, "the judge could not be asked: no money"),
        (Failure.UNUSABLE, "the judge gave no verdict: no money"),
    ],
)
def test_without_a_verdict_the_large_model_is_right(failure: Failure, words: str) -> None:
    """The reason says what happened."""
    found = settled(Judgement("no money", failure=failure)).annotation

    assert (found.labels, found.status) == (("bad",), Status.ESCALATED)
    assert found.reason.endswith(words)


def test_totals_are_sums_over_what_was_judged() -> None:
    """A changed verdict, a person, and none at all."""
    steps = (Step("2 messages", "", (), SPENT),)
    rows = [
        settled(Judgement("", ("good",), steps=steps, calls={"judge": SPENT})),
        settled(Judgement("", ("bad",), steps=steps, calls={"judge": SPENT})),
        settled(Judgement("")),
        settled(Judgement("", failure=Failure.UNAVAILABLE)),
        settled(Judgement("", failure=Failure.OVER_BUDGET)),
    ]

    assert dict(tally_annotated(rows).judge) == {
        "disputes": 5,
        "steps": 2,
        "verdicts": 2,
        "changed": 1,
        "needs_human": 1,
        "without_verdict": 2,
        "unavailable": 1,
        "over_budget": 1,
    }


def test_a_promise_does_not_cover_what_a_judge_changed() -> None:
    """It is about the oracle's answers."""
    gate = {"certified": True, "note": ""}

    found = gate_summary(gate, tally_annotated([settled(Judgement("", ("good",)))]))

    assert found["certified"] is False
    assert found["note"] == "the promise is about the answers before the judge, which changed 1 of them"
    assert gate_summary(gate, tally_annotated([settled(Judgement("", ("bad",)))])) == gate


def test_a_judgement_survives_the_journal() -> None:
    """All but the money of the line itself, because the steps are journaled one by one."""
    tools = (ToolUse("calculator", '{"expression": "1+1"}', "2"), ToolUse("x", "{", "no", valid=False))
    judgement = Judgement("so", ("good",), None, (Step("2", "hm", tools, SPENT),), {"judge": SPENT})

    answer = as_answer(judgement, "judge")

    assert answer.usage == Usage()
    assert of_answer(answer) == judgement
    assert of_answer(replace(answer, raw="{}")) is None
