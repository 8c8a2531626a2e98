"""What a plan says of the judge: how many disputes to expect, and what they will cost at most."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from router.decide import decide
from router.evaluation import share
from router.forecast import Interval
from router.identity import text_key
from router.job import OpenAIModel
from router.judge_prompt import instructions
from router.names import JUDGE
from router.planned import interval_value, money_value
from router.prices import cost, hosted_price
from router.records import Work
from transforms.llm_wire import estimated_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipelines.annotate import Plan
    from router.records import Answer
    from router.verdict import Readings

_STEPS = 3
"""Requests about a dispute, where none was judged yet: two tools and a verdict."""
_TOLD_CHARACTERS, _SAID_TOKENS = 900, 60
"""What a tool answers, and what a step makes (measured, docs/judge.md)."""


def judge_forecast(
    plan: Plan,
    answers: Mapping[tuple[str, bytes], Answer],
    works: Sequence[Work],
    readings: Readings,
    large: Interval,
) -> dict[str, Any] | None:
    """The plan's `judge`; None for a job without one.

    Args:
        plan: The prepared job.
        answers: What the pilot's models said, by model and text key.
        works: The pilot's records.
        readings: How scores are read.
        large: How many records the large model will be asked about.
    """
    judge, name, policy = plan.job.routing.judge, plan.job.routing.escalate_to, plan.policy
    if judge is None or name is None:
        return None
    both = []
    for work in works:
        key = text_key(work.record.text, work.record.task)
        said = answers.get((work.route.model, key)), answers.get((name, key))
        if said[0] is not None and said[1] is not None and policy is not None:
            both.append(replace(work, answers=(said[0], said[1]), pilot=()))
    outcomes = [decide(work, policy, readings) for work in both if policy is not None]
    disputes = share(sum(isinstance(one, Work) and one.ask == JUDGE for one in outcomes), len(outcomes))
    expected = Interval(
        large.expected * (disputes.rate if disputes.rate is not None else 0.5),
        large.low * disputes.low,
        large.high * disputes.high,
    )
    a_dispute = _usual(plan, works)
    most = float(judge.max_usd)
    return {
        "seen": {"records": disputes.of, "disputes": disputes.count},
        "disputes": interval_value(expected),
        "usd": {
            "expected": money_value(expected.expected * a_dispute),
            "most": money_value(expected.high * most),
            "most_per_record": f"{judge.max_usd:f}",
        },
    }


def _usual(plan: Plan, works: Sequence[Work]) -> float:
    """What judging a record usually costs, in USD, from the length of what is sent."""
    judge = plan.job.routing.judge
    model = None if judge is None else plan.job.models[judge.model]
    if judge is None or not isinstance(model, OpenAIModel) or not works:
        return 0.0
    steps = min(_STEPS, judge.max_steps)
    sent = 0
    for work in works:
        first = len(instructions(plan.task(work.record.task))) + len(work.record.text)
        sent += sum(estimated_tokens(first + step * _TOLD_CHARACTERS) for step in range(steps))
    usd = cost(hosted_price(model), sent // len(works), 0, steps * _SAID_TOKENS)
    return min(float(usd), float(judge.max_usd))


def judge_line(found: Mapping[str, Any]) -> str:
    """What is printed of it."""
    disputes, usd = found["disputes"], found["usd"]
    seen = found["seen"]
    told = (
        f"{seen['disputes']} of {seen['records']} records that both models answered in the pilot are disputed"
        if seen["records"]
        else "no record of the pilot was answered by both models: half of them is a mere guess"
    )
    return (
        f"The judge: about {disputes['expected']:,.0f} disputes ({disputes['low']:,.0f} to "
        f"{disputes['high']:,.0f}; {told}), about ${usd['expected']} more than the figures above, and "
        f"${usd['most']} at most (${usd['most_per_record']} a record)"
    )
