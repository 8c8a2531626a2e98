"""Whether a job's money lets its judge judge: told before anything is asked."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal
from typing import TYPE_CHECKING

from transforms.judge_bound import least_steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transforms.judge_handler import JudgeHandler

_ROOM = 2_000
"""Bytes of text and of what tools tell that a dispute usually has at least."""


def check_judge_money(judge: JudgeHandler | None) -> None:
    """Raise `ValueError` where `routing.judge.max_usd` allows no request about any record."""
    if judge is None:
        return
    bound, steps = judge.job.judge.max_usd, least_steps(judge.job)
    if not steps or min(steps.values()) <= bound:
        return
    task = min(steps, key=lambda name: steps[name])
    least, fix = _least(judge, task, steps[task]), _fix(judge, steps[task])
    raise ValueError(
        f"routing.judge.max_usd: {least}, and ${bound:f} for a record allows none, so that nothing would "
        f"ever be judged. {fix}, or leave the judge out"
    )


def told_of_judge_money(judge: JudgeHandler | None) -> list[str]:
    """A line for each task of which few records or none can be judged, for want of money."""
    if judge is None:
        return []
    steps = least_steps(judge.job)
    lines = [_told(judge, task, least) for task, least in steps.items()]
    return [line for line in (*lines, _told_of_budget(judge, steps)) if line]


def _told(judge: JudgeHandler, task: str, least: Decimal) -> str:
    bound, fix = judge.job.judge.max_usd, _fix(judge, least)
    room = _bytes_for(judge, bound - least)
    if room >= _ROOM:
        return ""
    if room < 0:
        said = f"{_least(judge, task, least)}, and ${bound:f} for a record allows none"
        return f"routing.judge.max_usd: {said}, so that no record of {task} is judged. {fix}"
    return (
        f"routing.judge.max_usd: ${bound:f} for a record leaves room for {room:,} bytes of text and of what "
        f"tools tell (task {task}): disputes about more than that get no verdict. {fix}"
    )


def _told_of_budget(judge: JudgeHandler, steps: Mapping[str, Decimal]) -> str:
    budget = judge.job.budget
    if budget is None or not steps or min(steps.values()) <= budget.limit:
        return ""
    task = min(steps, key=lambda name: steps[name])
    said = _least(judge, task, steps[task])
    return f"budget.max_usd: {said}, and ${budget.limit:f} allows none, so that nothing is judged. Allow more"


def _least(judge: JudgeHandler, task: str, least: Decimal) -> str:
    bound = judge.job.judge.max_output_tokens
    return (
        f"the judge's request about the shortest text of {task} may cost ${_rounded(least):f} (each byte "
        f"is taken for a token, and the answer for one of max_output_tokens, {bound})"
    )


def _fix(judge: JudgeHandler, least: Decimal) -> str:
    enough = least + _ROOM * judge.job.price.input
    return f"Give ${_rounded(enough):f} or more, or fewer max_output_tokens"


def _rounded(usd: Decimal) -> Decimal:
    """Two digits that count, rounded up, so that giving just that suffices."""
    return usd.quantize(Decimal(1).scaleb(usd.adjusted() - 1), rounding=ROUND_UP)


def _bytes_for(judge: JudgeHandler, usd: Decimal) -> int:
    """How many bytes of a request so much money pays for, at most as many as matter here."""
    price = judge.job.price.input
    if usd < 0:
        return -1
    return _ROOM if price * _ROOM <= usd else int(usd / price)
