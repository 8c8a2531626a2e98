"""What is wrong with the adapters of a job's models: names that clash, adapters that no record can get."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.adapters import adapted_name, adapters_of
from router.rule_checks import rule_problems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from router.job import Job, Routing, When
    from router.job_adapters import Adapter
    from router.job_checks import Problem


def adapter_problems(job: Job) -> list[Problem]:
    """What is wrong with the adapters of a job, as triples of `router.job_checks`."""
    problems: list[Problem] = []
    for name, model in job.models.items():
        adapters, place = adapters_of(model), ("models", name, "adapters")
        problems += _clashes(name, adapters, job)
        problems += rule_problems(adapters, job.tasks, job.limits, job.router, place=place)
        if adapters and name == job.routing.escalate_to:
            says = (
                "are for models that answer first, and routing.escalate_to is asked as it is; give them to "
                "another name for the same source, and use that in routing.default or in a rule"
            )
            problems.append((place, says, None))
            continue
        problems += [
            (
                (*place, number),
                "can never match: no rule sends such records to this model; leave it out",
                None,
            )
            for number, adapter in enumerate(adapters)
            if _is_kept_away(name, adapter, job.routing)
        ]
    return problems


def _clashes(name: str, adapters: Sequence[Adapter], job: Job) -> list[Problem]:
    """Adapters whose names are taken."""
    problems: list[Problem] = []
    taken = set(job.models)
    for number, adapter in enumerate(adapters):
        full = adapted_name(name, adapter)
        if full in taken:
            place = ("models", name, "adapters", number, "name")
            problems.append(
                (place, f"makes a second {full}; give each adapter a name of its own", adapter.title)
            )
        taken.add(full)
    return problems


def _is_kept_away(name: str, adapter: Adapter, routing: Routing) -> bool:
    """Whether the rules that send records to a model ask for other languages or domains than its adapter."""
    if routing.default == name:
        return False
    leading = [rule.when for rule in routing.rules if rule.use == name]
    return bool(leading) and all(_exclude(when, adapter.when) for when in leading)


def _exclude(one: When, other: When) -> bool:
    pairs = ((one.languages, other.languages), (one.domains, other.domains))
    return any(mine and theirs and not set(mine) & set(theirs) for mine, theirs in pairs)
