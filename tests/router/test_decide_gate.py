"""What a certified gate makes of a record: slices, audits, the pilot's answers, and a budget too short."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from router.confidence import ConfidenceCurve
from router.decide import Policy, ask_next, decide
from router.gate import NOTHING, GateRule
from router.head import Head
from router.job_loading import parse_job
from router.records import Annotated, Answer, DeadLetter, Failure, LabelScores, Opinion, Status, Usage, Work
from router.verdict import read_answer
from tests.router.calibration_examples import model
from tests.router.job_example import edited
from tests.router.work_examples import SENTIMENT, TOPICS, failed, policy, said, scored, work

SURE, UNSURE = scored([0.1, 0.9]), scored([0.6, 0.4])


def gated(rule: GateRule, *, final: bool = False) -> Policy:
    """A policy with this gate."""
    return replace(policy(), gate=rule, pilot_is_final=final)


def annotated(given: Work, rules: Policy, readings: Any = None) -> Annotated:
    """The outcome as an annotated record."""
    outcome = decide(given, rules, readings or {})
    assert isinstance(outcome, Annotated), outcome
    return outcome


def test_a_record_meets_the_threshold_of_its_slice() -> None:
    """The records are English: .9 is enough for .9, and not for a threshold of another language."""
    kept = annotated(work(SURE), gated(GateRule(NOTHING, "language", {"en": 0.9, "ja": 0.99})))
    sent = decide(work(SURE), gated(GateRule(0.0, "language", {"en": 0.91, "ja": 0.0})), {})

    assert kept.annotation.reason == "confidence 0.900 at least 0.9"
    assert isinstance(sent, Work)
    assert sent.ask == "big"


def test_the_slice_may_be_the_label_that_the_small_model_gave() -> None:
    """`good` is trusted and `bad` is not."""
    rule = GateRule(NOTHING, "label", {"good": 0.8, "bad": 0.99})

    assert annotated(work(SURE), gated(rule)).annotation.labels == ("good",)
    assert isinstance(decide(work(scored([0.9, 0.1])), gated(rule), {}), Work)


def test_labels_together_are_a_slice_in_any_order() -> None:
    """The task names z before a; the certificate sorts them."""
    task = TOPICS.model_validate({**TOPICS.model_dump(), "labels": [{"name": "z"}, {"name": "a"}]})
    rules = replace(gated(GateRule(NOTHING, "label", {"a, z": 0.7})), tasks={"topics": task})

    found = annotated(work(scored([0.8, 0.9]), task="topics"), rules)

    assert (found.annotation.labels, found.annotation.status) == (("z", "a"), Status.KEPT)


def test_where_nothing_can_be_trusted_the_reason_says_so() -> None:
    """Infinity would say nothing to people."""
    found = annotated(work(SURE, said("bad")), gated(GateRule(NOTHING)))

    assert found.annotation.reason == "small: confidence 0.900, but no threshold keeps the promise"
    assert found.overruled == Opinion("small", ("good",), 0.9)


def test_the_reason_shows_as_many_digits_as_tell_the_two_apart() -> None:
    """A certified threshold lies right above a confidence."""
    found = annotated(work(scored([0.20004, 0.79996]), said("bad")), gated(GateRule(0.8)))

    assert found.annotation.reason == "small: confidence 0.79996 below 0.8"


def test_an_audited_answer_is_checked() -> None:
    """It is trusted, and the large model is asked all the same."""
    outcome = decide(work(SURE), gated(GateRule(0.8, audit=1.0)), {})

    assert isinstance(outcome, Work)
    assert outcome.ask == "big"


@pytest.mark.parametrize(("word", "agreed"), [("good", True), ("bad", False)])
def test_the_row_says_what_the_audit_showed(word: str, agreed: bool) -> None:
    """The large model has the last word, whether it agrees or not."""
    found = annotated(work(SURE, said(word)), gated(GateRule(0.8, audit=1.0)))

    assert found.audit is agreed
    assert (found.annotation.labels, found.annotation.status) == ((word,), Status.ESCALATED)
    assert found.annotation.reason == "small: confidence 0.900 at least 0.8; asked to audit it"
    assert found.overruled == Opinion("small", ("good",), 0.9)


def test_an_audit_compares_labels_in_any_order() -> None:
    """multi_label: both say a and b."""
    found = annotated(
        work(scored([0.9, 0.9, 0.1]), said("b", "a"), task="topics"), gated(GateRule(0.8, audit=1.0))
    )

    assert found.audit is True


@pytest.mark.parametrize("failure", list(Failure))
def test_a_failed_audit_keeps_the_trusted_answer(failure: Failure) -> None:
    """Nothing that the gate wanted is missing, so the status is no trouble; the call is paid all the same."""
    found = annotated(work(SURE, failed(failure, usd="0.004")), gated(GateRule(0.8, audit=1.0)))

    assert (found.annotation.labels, found.annotation.status) == (("good",), Status.KEPT)
    assert found.annotation.reason == f"it was {failure.value}"
    assert found.audit is None
    assert found.usage.usd == Decimal("0.005")


def test_a_failed_audit_leaves_a_record_routed_by_a_rule_what_it_is() -> None:
    """Its status tells who chose the model."""
    given = work(SURE, failed(Failure.UNAVAILABLE), rule=0)

    assert annotated(given, gated(GateRule(0.8, audit=1.0))).annotation.status is Status.ROUTED


def test_doubted_records_are_no_audits() -> None:
    """They were asked about because they are not trusted."""
    rules = gated(GateRule(0.8, audit=1.0))

    assert annotated(work(UNSURE, said("bad")), rules).audit is None
    failing = annotated(work(UNSURE, failed(Failure.UNAVAILABLE)), rules)
    assert (failing.annotation.status, failing.audit) == (Status.LLM_UNAVAILABLE, None)


def test_records_of_the_large_model_are_no_audits() -> None:
    """Nobody else has said anything, or only that it failed."""
    rules = gated(GateRule(0.8, audit=1.0))

    assert annotated(work(said("bad"), model="big"), rules).audit is None
    assert annotated(work(failed(Failure.ERROR, model="small"), said("bad")), rules).audit is None


def test_what_the_large_model_said_in_the_pilot_is_final() -> None:
    """Though the small model was sure. Nothing is asked again, and nothing is paid twice."""
    found = annotated(work(SURE, pilot=(said("bad"),)), gated(GateRule(0.8), final=True))

    assert (found.annotation.labels, found.annotation.model) == (("bad",), "big")
    assert found.annotation.reason == "small: confidence 0.900 at least 0.8; asked for the pilot"
    assert (found.usage.usd, found.calibration_usd) == (Decimal("0.021"), Decimal(0))
    assert found.overruled == Opinion("small", ("good",), 0.9)


def test_a_record_of_the_pilot_is_no_audit() -> None:
    """Audits are drawn from what the gate has trusted; this record's answer was settled before."""
    found = annotated(work(SURE, pilot=(said("good"),)), gated(GateRule(0.8, audit=1.0), final=True))

    assert found.audit is None


def test_with_a_gold_oracle_the_pilots_answer_is_not_final() -> None:
    """The large model may be wrong, so the gate decides; what it said is paid as calibration."""
    found = annotated(work(SURE, pilot=(said("bad"),)), gated(GateRule(0.8)))

    assert (found.annotation.labels, found.annotation.status) == (("good",), Status.KEPT)
    assert (found.usage.usd, found.calibration_usd) == (Decimal("0.021"), Decimal("0.02"))


SPARE_SMALL, SPARE_BIG = replace(SURE, scores=None, spare=True), replace(said("bad"), spare=True)


def test_a_spare_answer_counts_on_the_account_only() -> None:
    """The same model was asked twice, with two prompts: both calls are on its account."""
    found = annotated(work(SURE, pilot=(SPARE_SMALL, SPARE_SMALL)), gated(GateRule(0.8)))

    assert found.annotation.labels == ("good",)
    assert found.calls == {"small": Usage(30, 18, 0, 1.5, Decimal("0.003"))}
    assert found.usage == found.calls["small"]
    assert found.calibration_usd == Decimal("0.002")


def test_a_spare_answer_answers_nothing() -> None:
    """Neither a question to its model nor, in a pilot, for good."""
    waiting = work(pilot=(SPARE_BIG,))

    assert ask_next(waiting, "big").ask == "big"
    found = annotated(work(SURE, pilot=(SPARE_BIG,)), gated(GateRule(0.8), final=True))
    assert (found.annotation.labels, found.calibration_usd) == (("good",), Decimal("0.02"))


def test_spare_answers_beside_one_that_is_used() -> None:
    """Small and large were asked, and the small one twice more; what was used is no calibration."""
    found = annotated(
        work(UNSURE, pilot=(SPARE_SMALL, said("good"), SPARE_SMALL)), gated(GateRule(0.8), final=True)
    )

    assert found.annotation.labels == ("good",)
    assert found.usage.usd == Decimal("0.023")
    assert found.calibration_usd == Decimal("0.002")
    assert {name: used.usd for name, used in found.calls.items()} == {
        "small": Decimal("0.003"),
        "big": Decimal("0.02"),
    }


def test_a_call_that_gains_too_little_is_not_made() -> None:
    """The text has 4 characters: a doubt of .5 gains .5/404 = .00124, one of .4 only .00099."""
    rules = gated(GateRule(0.8, least_gain=0.001))

    asked = decide(work(scored([0.5, 0.5])), rules, {})
    spared = annotated(work(UNSURE), rules)

    assert isinstance(asked, Work)
    assert (spared.annotation.labels, spared.annotation.status) == (("bad",), Status.OVER_BUDGET)
    assert spared.annotation.reason.startswith("not asked: other records gain more")
    assert spared.usage.usd == Decimal("0.001")


def test_what_is_trusted_or_in_the_pilot_needs_no_gain() -> None:
    """The one is not asked about, the other has been."""
    rules = gated(GateRule(0.8, least_gain=NOTHING), final=True)

    assert annotated(work(SURE), rules).annotation.status is Status.KEPT
    assert annotated(work(UNSURE, pilot=(said("good"),)), rules).annotation.labels == ("good",)


def test_a_small_model_that_failed_is_escalated_whatever_it_gains() -> None:
    """Without an answer there is nothing to fall back on."""
    outcome = decide(work(failed(Failure.ERROR, model="small")), gated(GateRule(0.8, least_gain=NOTHING)), {})

    assert isinstance(outcome, Work)
    assert outcome.ask == "big"


def test_a_pilots_answer_that_failed_leaves_a_dead_letter() -> None:
    """Nothing else is there to annotate the record with."""
    given = work(failed(Failure.ERROR, model="small"), pilot=(failed(Failure.UNUSABLE),))

    assert isinstance(decide(given, gated(GateRule(0.8), final=True), {}), DeadLetter)


def test_learned_readings_give_labels_and_confidence() -> None:
    """Scores of .4 and .6 over means of .8 and .2 are 1 to 6; a curve takes 6/7 down to a half."""
    readings = {("small", "mood"): model(curve=ConfidenceCurve(1.0, 1.0, -np.log(6.0)))}

    verdict = read_answer(scored([0.4, 0.6]), SENTIMENT, readings)
    outcome = decide(work(scored([0.4, 0.6])), gated(GateRule(0.8)), readings)

    assert verdict is not None
    assert verdict.labels == ("good",)
    assert verdict.confidence == pytest.approx(0.5)
    assert dict(verdict.scores) == pytest.approx({"good": 6 / 7, "bad": 1 / 7})
    assert isinstance(outcome, Work)


def test_learned_readings_are_of_a_model_and_a_task() -> None:
    """Others are read as they are."""
    readings = {("other", "mood"): model(), ("small", "topics"): model()}

    verdict = read_answer(scored([0.6, 0.4]), SENTIMENT, readings)

    assert verdict is not None
    assert (verdict.labels, verdict.confidence) == (("bad",), 0.6)


def test_a_head_reads_the_features() -> None:
    """A feature of log(9) against the scores."""
    head = Head("features", np.zeros(3), np.array([[0.0] * 3, [1.0, 0.0, 0.0]]), np.zeros(2))
    given = LabelScores(np.array([0.9, 0.1]), np.array([np.log(9.0)], np.float32))

    readings = {("small", "mood"): model(head=head)}

    found = annotated(work(Answer("small", Usage(), scores=given)), gated(GateRule(0.8)), readings)

    assert found.annotation.labels == ("good",)
    assert found.annotation.confidence == pytest.approx(0.9)


@pytest.mark.parametrize(("oracle", "final"), [("llm", True), ("gold", False)])
def test_a_policy_with_a_calibrated_gate(oracle: str, final: bool) -> None:
    """The calibration's thresholds, the job's share of audits; an LLM's word in the pilot is final."""
    text = edited(
        ("gold: null ", "gold: truth "),
        ("{min_confidence: 0.80}", f"{{target: 0.95, oracle: {oracle}}}"),
        ("budget: {max_usd: 5.00}", "audit: {fraction: 0.02}"),
    )
    job = parse_job(text, name="job.yaml", environ={})

    found = Policy.of(job, GateRule(0.7, "language", {"en": 0.6}, least_gain=0.1))

    assert found.gate == GateRule(0.7, "language", {"en": 0.6}, 0.02, 0.1)
    assert (found.escalate_to, found.pilot_is_final) == ("big", final)
