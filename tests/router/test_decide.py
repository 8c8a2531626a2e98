"""What becomes of a record, given the answers on it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from router.bias import LabelBias
from router.confidence import ConfidenceCurve
from router.decide import Policy, ask_next, decide
from router.records import (
    Annotated,
    Answer,
    DeadLetter,
    Failure,
    LabelScores,
    Opinion,
    Reason,
    Status,
    Usage,
    Work,
)
from router.student import StudentReading
from router.verdict import read_answer
from tests.router.job_example import EXAMPLE
from tests.router.work_examples import SENTIMENT, TOPICS, failed, policy, said, scored, work


def annotated(outcome: object) -> Annotated:
    """The outcome as an annotated record."""
    assert isinstance(outcome, Annotated), outcome
    return outcome


def test_a_trusted_answer_is_kept() -> None:
    """The annotation has the likeliest label, its probability, all scores and the account of the call."""
    found = annotated(decide(work(scored([0.05, 0.95])), policy(), {}))

    said_of_it = found.annotation
    assert said_of_it.labels == ("good",)
    assert said_of_it.confidence == pytest.approx(0.95)
    assert said_of_it.scores == (("good", 0.95), ("bad", 0.05))
    assert (said_of_it.model, said_of_it.status) == ("small", Status.KEPT)
    assert said_of_it.reason == "confidence 0.950 at least 0.8"
    assert found.usage == Usage(10, 6, 0, 0.5, Decimal("0.001"))
    assert found.calls == {"small": found.usage}
    assert found.calibration_usd == 0


def test_an_answer_that_does_not_count_is_on_the_account() -> None:
    """The student looked and was not sure: what that took is its own, and the small model's answer stands."""
    looked = Answer("student", Usage(seconds=0.002, usd=Decimal("0.000001")))
    asked = replace(work(scored([0.05, 0.95])), passed=(looked,))

    found = annotated(decide(asked, policy(), {}))

    assert (found.annotation.model, found.annotation.status) == ("small", Status.KEPT)
    assert found.calls == {"student": looked.usage, "small": Usage(10, 6, 0, 0.5, Decimal("0.001"))}
    assert found.usage.usd == Decimal("0.001001")
    assert found.calibration_usd == 0
    assert found.overruled is None


def test_the_student_answers_in_place_of_the_small_model() -> None:
    """Its answer is read by its own curve, and passes the same gate."""
    readings = {("student", SENTIMENT.name): StudentReading("student", SENTIMENT.name, ConfidenceCurve(), 90)}
    sure = Answer("student", Usage(), scores=LabelScores(np.array([0.1, 0.9])))
    less = Answer("student", Usage(), scores=LabelScores(np.array([0.3, 0.7])))

    kept = annotated(decide(work(sure), policy(), readings))
    sent = decide(work(less), policy(), readings)

    assert (kept.annotation.labels, kept.annotation.model, kept.annotation.status) == (
        ("good",),
        "student",
        Status.KEPT,
    )
    assert kept.annotation.reason == "confidence 0.900 at least 0.8"
    assert isinstance(sent, Work)
    assert sent.ask == "big"


def test_confidence_exactly_at_the_threshold_is_trusted() -> None:
    """`min_confidence` itself is enough."""
    found = annotated(decide(work(scored([0.25, 0.75])), policy(min_confidence=0.75), {}))

    assert (found.annotation.status, found.annotation.confidence) == (Status.KEPT, 0.75)


def test_confidence_just_below_the_threshold_sends_the_record_on() -> None:
    """The work comes back with the large model to ask, and with the answer it has."""
    small = scored([0.2501, 0.7499])

    outcome = decide(work(small), policy(min_confidence=0.75), {})

    assert isinstance(outcome, Work)
    assert (outcome.ask, outcome.answers) == ("big", (small,))


def test_work_that_waits_for_an_answer_comes_back_as_it_is() -> None:
    """A rule chose the large model, which nobody has asked yet."""
    waiting = work(model="big", rule=0, ask="big")

    assert decide(waiting, policy(), {}) is waiting


def test_the_large_model_has_the_last_word() -> None:
    """An LLM gives labels without probabilities; both calls are on the account."""
    found = annotated(decide(work(scored([0.5, 0.5]), said("bad")), policy(), {}))

    assert (found.annotation.labels, found.annotation.confidence) == (("bad",), None)
    assert (found.annotation.model, found.annotation.status) == ("big", Status.ESCALATED)
    assert found.annotation.reason == "small: confidence 0.500 below 0.8"
    assert found.usage == Usage(110, 46, 5, 2.0, Decimal("0.021"))
    assert {model: used.usd for model, used in found.calls.items()} == {
        "small": Decimal("0.001"),
        "big": Decimal("0.02"),
    }


def test_a_large_local_model_is_believed_however_unsure() -> None:
    """There is nobody left to ask."""
    large = scored([0.45, 0.55], model="big")

    found = annotated(decide(work(scored([0.6, 0.4]), large), policy(), {}))

    assert (found.annotation.labels, found.annotation.status) == (("good",), Status.ESCALATED)
    assert found.annotation.confidence == pytest.approx(0.55)


def test_what_the_small_model_said_stays_beside_the_large_ones_answer() -> None:
    """So that a disagreement can be looked at."""
    found = annotated(decide(work(scored([0.6, 0.4]), said("good")), policy(), {}))

    assert found.overruled == Opinion("small", ("bad",), 0.6)


def test_nobody_is_overruled_where_one_model_answered() -> None:
    """Neither by a kept answer nor by a routed one."""
    assert annotated(decide(work(scored([0.9, 0.1])), policy(), {})).overruled is None
    assert annotated(decide(work(said("good")), policy(), {})).overruled is None


def test_without_a_model_to_escalate_to_every_answer_stands() -> None:
    """The reason says that the answer was not trusted."""
    found = annotated(decide(work(scored([0.6, 0.4])), policy(escalate_to=None), {}))

    assert (found.annotation.labels, found.annotation.status) == (("bad",), Status.KEPT)
    assert found.annotation.reason == "confidence 0.600 below 0.8, no model to escalate to"


def test_a_rule_to_the_large_model_is_routed() -> None:
    """The status says that a rule chose the model, and the reason which."""
    outcome = decide(work(said("good"), model="big", rule=2), policy(), {})

    found = annotated(outcome)
    assert (found.annotation.status, found.annotation.reason) == (Status.ROUTED, "rule 2")


def test_a_rule_to_a_small_model_is_routed_where_that_is_trusted() -> None:
    """A rule chooses who answers, not whether the answer is good enough."""
    trusted = annotated(decide(work(scored([0.1, 0.9]), rule=0), policy(), {}))
    doubted = decide(work(scored([0.4, 0.6]), rule=0), policy(), {})

    assert trusted.annotation.status is Status.ROUTED
    assert trusted.annotation.reason == "rule 0; confidence 0.900 at least 0.8"
    assert isinstance(doubted, Work)
    assert doubted.ask == "big"


def test_the_large_model_as_the_default_is_kept() -> None:
    """Nothing was escalated and no rule matched."""
    found = annotated(decide(work(said("good"), model="big"), policy(), {}))

    assert (found.annotation.status, found.annotation.reason) == (Status.KEPT, "default model")


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (Failure.UNUSABLE, Status.LLM_UNUSABLE),
        (Failure.UNAVAILABLE, Status.LLM_UNAVAILABLE),
        (Failure.OVER_BUDGET, Status.OVER_BUDGET),
        (Failure.ERROR, Status.LLM_UNAVAILABLE),
    ],
)
def test_the_small_answer_stands_where_the_large_model_fails(failure: Failure, status: Status) -> None:
    """The status says why, and what the failed call cost is paid by the record."""
    no_answer = failed(failure, usd="0.004", raw="I would rather not")

    found = annotated(decide(work(scored([0.3, 0.7]), no_answer), policy(), {}))

    assert (found.annotation.labels, found.annotation.model) == (("good",), "small")
    assert found.annotation.confidence == pytest.approx(0.7)
    assert (found.annotation.status, found.annotation.reason) == (status, f"it was {failure.value}")
    assert found.annotation.raw_answer == "I would rather not"
    assert found.usage.usd == Decimal("0.005")


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (Failure.UNUSABLE, Reason.LLM_UNUSABLE),
        (Failure.UNAVAILABLE, Reason.LLM_UNAVAILABLE),
        (Failure.OVER_BUDGET, Reason.OVER_BUDGET),
        (Failure.ERROR, Reason.MODEL_ERROR),
    ],
)
def test_a_record_nobody_answered_is_a_dead_letter(failure: Failure, reason: Reason) -> None:
    """A rule sent it to the large model alone, so there is no answer to fall back on."""
    outcome = decide(work(failed(failure), model="big", rule=0), policy(), {})

    assert isinstance(outcome, DeadLetter)
    assert (outcome.reason, outcome.id, outcome.stage) == (reason, "r0", "answer")
    assert outcome.detail == f"big: it was {failure.value}"


def test_a_small_model_that_fails_passes_the_record_on() -> None:
    """The large model's answer is the first one, and the reason names the failure."""
    broken = failed(Failure.ERROR, model="small")

    sent = decide(work(broken), policy(), {})
    found = annotated(decide(work(broken, said("good")), policy(), {}))

    assert isinstance(sent, Work)
    assert sent.ask == "big"
    assert (found.annotation.status, found.annotation.reason) == (Status.ESCALATED, "small: it was error")


def test_a_small_model_that_fails_with_nobody_to_ask_costs_the_record() -> None:
    """The dead letter's reason is the engine's failure."""
    outcome = decide(work(failed(Failure.ERROR, model="small")), policy(escalate_to=None), {})

    assert isinstance(outcome, DeadLetter)
    assert outcome.reason is Reason.MODEL_ERROR


def test_a_pilot_answer_is_used_instead_of_asking_again() -> None:
    """The calibration sample asked the large model already: the record is done, and pays each answer once."""
    small, large = scored([0.5, 0.5]), scored([0.1, 0.9], model="big", usd="0.003")

    found = annotated(decide(work(small, pilot=(large, small)), policy(), {}))

    assert (found.annotation.labels, found.annotation.status) == (("good",), Status.ESCALATED)
    assert found.usage.usd == Decimal("0.004")
    assert found.calibration_usd == 0


def test_an_unused_pilot_answer_is_paid_as_calibration() -> None:
    """The small model was trusted; what the large one said went into its bias only."""
    small, large = scored([0.1, 0.9]), scored([0.9, 0.1], model="big", usd="0.003")

    found = annotated(decide(work(small, pilot=(large, small)), policy(), {}))

    assert found.annotation.labels == ("good",)
    assert found.usage == Usage(20, 12, 0, 1.0, Decimal("0.004"))
    assert found.calibration_usd == Decimal("0.003")
    assert {model: used.usd for model, used in found.calls.items()} == {
        "small": Decimal("0.001"),
        "big": Decimal("0.003"),
    }


def test_a_pilot_answer_that_was_copied_on_the_way_is_still_paid_once() -> None:
    """Workers pickle the answers, so that the same one may come as two objects."""
    small, copied = scored([0.1, 0.9]), scored([0.1, 0.9])

    found = annotated(decide(work(small, pilot=(copied,)), policy(), {}))

    assert found.usage.usd == Decimal("0.001")
    assert found.calibration_usd == 0


def test_the_first_question_is_answered_by_the_pilot_too() -> None:
    """`ask_next` asks nobody where the answer is there."""
    small = scored([0.1, 0.9])

    assert ask_next(work(pilot=(small,)), "small").answers == (small,)
    assert ask_next(work(pilot=(small,)), "small").ask is None
    assert ask_next(work(pilot=(small,)), "big").ask == "big"


def test_bias_changes_label_and_confidence() -> None:
    """The probabilities .4 and .6 over means of .2 and .8 are as 2 to .75: 8/11 and 3/11."""
    biases = {("small", "mood"): LabelBias("small", "mood", (0.2, 0.8), 20)}

    found = annotated(decide(work(scored([0.4, 0.6])), policy(min_confidence=0.7), biases))

    assert found.annotation.labels == ("bad",)
    assert found.annotation.confidence == pytest.approx(8 / 11)


def test_bias_of_another_model_or_task_is_not_used() -> None:
    """Biases belong to a model and a task."""
    biases = {
        ("big", "mood"): LabelBias("big", "mood", (0.2, 0.8), 20),
        ("small", "topics"): LabelBias("small", "topics", (0.2, 0.8), 20),
    }

    verdict = read_answer(scored([0.4, 0.6]), SENTIMENT, biases)

    assert verdict is not None
    assert (verdict.labels, verdict.confidence) == (("good",), 0.6)


def test_multi_label_takes_every_label_from_one_half_on() -> None:
    """The confidence is that of the least certain of the decisions: .5 for b."""
    verdict = read_answer(scored([0.9, 0.5, 0.2]), TOPICS, {})

    assert verdict is not None
    assert verdict.labels == ("a", "b")
    assert verdict.confidence == pytest.approx(0.5)
    assert verdict.scores == (("a", 0.9), ("b", 0.5), ("c", 0.2))


def test_multi_label_may_have_no_label_at_all() -> None:
    """All labels are unlikely, the least so with .3: the decision against it is .7 certain."""
    verdict = read_answer(scored([0.1, 0.3, 0.2]), TOPICS, {})

    assert verdict is not None
    assert (verdict.labels, verdict.confidence) == ((), 0.7)


def test_multi_label_ignores_the_bias() -> None:
    """Each label has a probability of its own, so that there is nothing to normalise."""
    biases = {("small", "topics"): LabelBias("small", "topics", (0.9, 0.05, 0.05), 20)}

    verdict = read_answer(scored([0.9, 0.1, 0.1]), TOPICS, biases)

    assert verdict is not None
    assert verdict.scores[0] == ("a", 0.9)


def test_equal_probabilities_take_the_label_that_the_job_names_first() -> None:
    """The outcome must not depend on anything but the job file."""
    verdict = read_answer(scored([0.5, 0.5]), SENTIMENT, {})

    assert verdict is not None
    assert verdict.labels == ("bad",)
    assert verdict.scores == (("bad", 0.5), ("good", 0.5))


def test_a_failure_is_no_verdict() -> None:
    """Neither labels nor scores."""
    assert read_answer(failed(Failure.UNUSABLE), SENTIMENT, {}) is None


def test_the_parts_of_a_long_text_are_told() -> None:
    """A text over the context's room is scored in pieces."""
    answer = scored([0.1, 0.9])
    assert answer.scores is not None
    in_three = Answer(
        answer.model, answer.usage, scores=type(answer.scores)(answer.scores.probabilities, parts=3)
    )

    assert annotated(decide(work(in_three), policy(), {})).annotation.parts == 3


def test_a_target_without_a_calibration_is_refused() -> None:
    """Nothing would keep the promise."""
    from router.job_loading import parse_job  # noqa: PLC0415

    gate = ("{min_confidence: 0.80}", "{target: 0.95, delta: 0.05, oracle: llm}")
    job = parse_job(EXAMPLE.replace(*gate), name="job.yaml", environ={})

    with pytest.raises(ValueError, match="needs a calibration"):
        Policy.of(job)


def test_a_policy_is_read_from_the_job() -> None:
    """Threshold, large model and tasks."""
    from router.job_loading import parse_job  # noqa: PLC0415

    found = Policy.of(parse_job(EXAMPLE, name="job.yaml", environ={}))

    assert (found.gate.threshold, found.escalate_to, list(found.tasks)) == (0.8, "big", ["sentiment"])
