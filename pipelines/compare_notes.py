"""What is to be said of a comparison beside its figures: what it does not know, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipelines.compare_rows import GOLD
from router.job import Job
from router.planned import describe_when
from router.proposal import least_records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.compare_rows import Rows
    from router.escalation import Terms
    from router.job import When
    from router.proposal import Chosen


def too_few(size: int, terms: Terms) -> str | None:
    """Why so many records cannot lead to a proposal; None where they can."""
    least = least_records(terms.target, terms.delta)
    if size >= least:
        return None
    return (
        f"{size:,} records are too few to promise {terms.target:g} of anything: at least {least:,} are "
        "needed; give more with --records"
    )


def why_nothing(rows: Rows) -> str:
    """Why there is no proposal."""
    terms = rows.terms
    if (why := too_few(len(rows.works), terms)) is not None:
        return why
    rates = {name: float(rows.right(rows.labels(name)).mean()) for name in rows.names}
    best = max(rates, key=lambda name: rates[name])
    return (
        f"no model or pair of models reaches {terms.target:g} for sure: the best one alone, {best}, has "
        f"{rates[best]:.3f}. Give a lower --target, a better model, or a better instruction and examples"
    )


def about_proposal(rows: Rows, chosen: Chosen, routing: Mapping[str, Any]) -> list[str]:
    """What the proposal does not promise or take over."""
    job, large = rows.run.plan.job, chosen.large.name
    notes = []
    if chosen.way.large is not None and rows.oracle not in (GOLD, large):
        notes.append(
            f"the run promises agreement with {large}; that {large} agrees with {rows.oracle} was seen in "
            "this comparison and is promised by nobody"
        )
    if chosen.large.answers and float(chosen.large.usd.sum()) == 0.0:
        notes.append(
            f"{large} costs nothing, so no small model can save anything: give it the price of its machine's "
            "time, and compare again"
        )
    notes += [
        f"the job's rule for {describe_when(rule.when)} is not weighed here: put it back in front if you "
        "need it"
        for rule in job.routing.rules
        if _is_unweighed(rule.when) and rule.when.characters_above != job.limits.max_characters
    ]
    if job.routing.gate.per is not None and chosen.way.large is not None:
        notes.append(
            f"the gate keeps per: {job.routing.gate.per}, and the figures are for all records together"
        )
    if job.routing.judge is not None:
        notes.append("the job's judge is not weighed here: put `judge` back if you need it")
    return [*notes, *_misfits(job, routing)]


def _misfits(job: Job, routing: Mapping[str, Any]) -> list[str]:
    """What of the job file does not go with the routing, such as an audit without a model to ask."""
    try:
        Job.model_validate(job.model_dump() | {"routing": dict(routing)})
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, one['loc']))} {one['msg']}" for one in error.errors())
        return [f"with this routing the job file has to change elsewhere too: {said}"]
    return []


def _is_unweighed(when: When) -> bool:
    return when.complexity_above is not None or when.characters_above is not None


def about_pilot(rows: Rows, proposal: Mapping[str, Any] | None, few_left: str | None) -> list[str]:
    """What a run has to know of the records that were compared, where the proposal does not tell it."""
    pilot = rows.run.plan.job.calibration.pilot
    if proposal is not None and "calibration" in proposal:
        return [] if few_left is None else [few_left]
    order = f", adapters: [{', '.join(pilot.adapters)}]" if pilot.adapters else ""
    said = (
        "whatever routing with a target you choose by these figures, give the job `calibration: {pilot: "
        f"{{compared: {pilot.compared}{order}}}}}` with it: records that have chosen cannot certify"
    )
    return [said]


def about_input(records: int, large: str, saved: float) -> list[str]:
    """Whether the whole input is large enough for a gate to pay."""
    if saved > 0.0:
        return []
    said = (
        f"of the {records:,} records of this input, the run's own pilot takes so many that asking {large} "
        "about all of them costs no more; a larger input pays"
    )
    return [said]


def about_adapters(models: Mapping[str, Any]) -> list[str]:
    """How many of a model's answers came from which adapter."""
    return [
        f"{name} answered with the adapter that is for the record: "
        + ", ".join(f"{called} {count:,}" for called, count in about["adapted"].items())
        for name, about in models.items()
        if "adapted" in about
    ]


def about_prompts(rows: Rows) -> list[str]:
    """What a run may do better."""
    if not rows.local or not rows.run.plan.job.calibration.search_seconds:
        return []
    said = (
        "small models were asked as the job file says; a run with a target looks for a better prompt, so it "
        "may keep more"
    )
    return [said]
