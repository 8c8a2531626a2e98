"""What stands of written answers, where two local models wrote one."""

from __future__ import annotations

import math

import pytest

from router.decide import Policy, decide
from router.gate import GateRule
from router.generated import Generated
from router.job import Task
from router.records import Annotated, Answer, Status, Usage
from tests.router.work_examples import work

SUMMARY = Task(name="mood", kind="generate", instruction="Summarise.", max_tokens=8)
POLICY = Policy({"mood": SUMMARY}, GateRule(0.8), "big")


def written(model: str, text: str, *, likely: float = 0.5, cut: bool = False) -> Answer:
    """A local model's answer, whose tokens are so likely; `cut` fails the check of its length."""
    answer = Generated(text, "en", 8 if cut else 3, math.log(likely), math.log(likely), cut=cut)
    return Answer(model, Usage(), generated=answer)


@pytest.mark.parametrize(
    ("small_cut", "big_cut", "model", "status"),
    [
        (False, False, "big", Status.ESCALATED),
        (False, True, "small", Status.LLM_UNUSABLE),
        (True, False, "big", Status.ESCALATED),
        (True, True, "big", Status.ESCALATED),
    ],
)
def test_a_large_models_answer_that_fails_a_check_gives_way_to_one_that_passes(
    small_cut: bool, big_cut: bool, model: str, status: Status
) -> None:
    """As a hosted model's does; where both fail, the large one's stands."""
    answers = (written("small", "Late.", cut=small_cut), written("big", "It came late.", cut=big_cut))

    found = decide(work(*answers), POLICY, {})

    assert isinstance(found, Annotated)
    assert (found.annotation.model, found.annotation.status) == (model, status)
    assert bool(found.annotation.checks) is (small_cut and big_cut)


def test_a_trusted_answer_that_was_only_audited_stays_kept() -> None:
    """The small one's .9 is at least .8; that the auditor wrote too much says nothing about it."""
    answers = (written("small", "Late.", likely=0.9), written("big", "It came la", cut=True))

    found = decide(work(*answers), POLICY, {})

    assert isinstance(found, Annotated)
    assert (found.annotation.model, found.annotation.status) == ("small", Status.KEPT)
    assert found.annotation.reason.startswith("big: length")
