"""What a job file may say of a judge."""

from __future__ import annotations

from decimal import Decimal

import pytest

from router.job_loading import parse_job
from tests.router.job_example import EXAMPLE, edited, refused

RULES = "  rules:                             # first match wins\n"


def with_judge(text: str) -> str:
    """The example with a judge."""
    return edited((RULES, f"  judge: {{{text}}}\n{RULES}"))


def test_a_judge_has_defaults() -> None:
    """Its model alone is required."""
    judge = parse_job(with_judge("model: mine"), name="job.yaml", environ={}).routing.judge

    assert judge is not None
    assert (judge.when.disagree_above, judge.when.unsure_below) == (0.8, None)
    assert (judge.max_steps, judge.max_usd, judge.tool_calls) == (6, Decimal("0.01"), "native")


def test_whom_a_judge_asks_is_opened_and_not_routed_to() -> None:
    """Its models are none of the routing's."""
    job = parse_job(with_judge("model: mine, second_opinion: big"), name="job.yaml", environ={})

    assert "mine" not in job.used_models
    assert {"mine", "big"} <= set(job.opened_models)


def test_a_job_without_a_judge_is_written_as_before() -> None:
    """Digests of jobs stay the same."""
    assert "judge" not in parse_job(EXAMPLE, name="job.yaml", environ={}).model_dump()["routing"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model: gemma3", "routing.judge.model: 'gemma3' cannot judge"),
        ("model: bigg", "routing.judge.model: 'bigg' is not one of the models; did you mean big?"),
        ("model: big, second_opinion: none", "routing.judge.second_opinion: 'none' is not one of the models"),
        ("model: big, when: {}", "routing.judge.when: has no condition"),
        ("model: big, tools: [second_opinion]", "routing.judge.second_opinion names no model"),
        ("model: big, tools: [shell]", "routing.judge.tools[0]: 'shell' is not one of nearest_examples"),
        ("model: big, max_usd: 0", "routing.judge.max_usd: 0 is too small"),
        ("model: big, max_steps: 51", "routing.judge.max_steps: 51 is too large"),
    ],
)
def test_mistakes_are_told(text: str, says: str) -> None:
    """Each in one line with its place."""
    [line] = refused(with_judge(text))

    assert says in line


def test_a_judge_needs_somebody_to_disagree_with() -> None:
    """Without a large model there is no dispute."""
    text = with_judge("model: mine").replace("escalate_to: big ", "escalate_to: null ")

    assert any("needs a model in routing.escalate_to" in line for line in refused(text))


def test_no_model_is_called_as_verdicts_are() -> None:
    """Their cost would be added to its own."""
    text = with_judge("model: judge").replace("  mine:    {", "  judge:    {")

    assert any("is not possible where a model is named judge" in line for line in refused(text))
