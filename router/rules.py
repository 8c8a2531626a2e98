"""Which model a record goes to: that of the first rule whose conditions all hold, and which adapter."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from router.adapters import adapted_name, adapters_of
from router.findings import Wanted
from router.records import Route

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from router.findings import Findings
    from router.job import Job, Model, Routing, When
    from router.records import Record

_NO_MODELS: Mapping[str, Model] = MappingProxyType({})


def choose_model(
    record: Record, found: Findings, routing: Routing, models: Mapping[str, Model] = _NO_MODELS
) -> Route:
    """The route of a record: the first rule that matches, else the default model.

    `models` are the job's; of one with adapters, the route names the first adapter that matches too.
    """
    for number, rule in enumerate(routing.rules):
        if matches(rule.when, record, found):
            return _route(record, found, with_adapter(rule.use, record, found, models), number)
    return _route(record, found, with_adapter(routing.default, record, found, models), None)


def with_adapter(name: str, record: Record, found: Findings | Route, models: Mapping[str, Model]) -> str:
    """Under which name a model answers a record: with the first of its adapters that matches, if one does."""
    model = models.get(name)
    for adapter in () if model is None else adapters_of(model):
        if matches(adapter.when, record, found):
            return adapted_name(name, adapter)
    return name


def _route(record: Record, found: Findings, model: str, rule: int | None) -> Route:
    return Route(found.language, found.task or record.task, model, rule, found.domain, found.complexity)


def matches(when: When, record: Record, found: Findings | Route) -> bool:
    """Whether every condition that is given holds; one on something that was not found does not."""
    return (
        (when.languages is None or found.language in when.languages)
        and (when.tasks is None or record.task in when.tasks or found.task in when.tasks)
        and (when.domains is None or found.domain in when.domains)
        and (when.characters_above is None or len(record.text) > when.characters_above)
        and (
            when.complexity_above is None
            or (found.complexity is not None and found.complexity > when.complexity_above)
        )
    )


def why_matched(when: When, record: Record, found: Route) -> str:
    """The values that met a rule's conditions, for people."""
    said = []
    if when.languages is not None:
        said.append(f"language {found.language}")
    if when.tasks is not None:
        said.append(f"task {record.task if record.task in when.tasks else found.task}")
    if when.domains is not None:
        said.append(f"domain {found.domain}")
    if when.complexity_above is not None:
        said.append(f"complexity {found.complexity} above {when.complexity_above:g}")
    if when.characters_above is not None:
        said.append(f"{len(record.text)} characters")
    return ", ".join(said)


def sorts_tasks(job: Job) -> bool:
    """Whether the router says which task a record belongs to, because no column does."""
    return job.input.task is None and len(job.tasks) > 1


def chooses(job: Job) -> bool:
    """Whether it depends on the record which model it goes to."""
    return bool(job.routing.rules or adapters_of(job.models[job.routing.default]))


def _conditions(job: Job) -> Iterator[When]:
    """All that records are told apart by: of the rules, and of the adapters of models that can be chosen."""
    yield from (rule.when for rule in job.routing.rules)
    for name in {job.routing.default, *(rule.use for rule in job.routing.rules)}:
        yield from (adapter.when for adapter in adapters_of(job.models[name]))


def decisive(job: Job) -> Wanted:
    """What has to be found before it is known which model a record goes to."""
    conditions = list(_conditions(job))
    named = {name for when in conditions for name in when.tasks or ()}
    return Wanted(
        task=bool(named - {task.name for task in job.tasks}),
        domain=job.routing.gate.per == "domain" or any(when.domains is not None for when in conditions),
        complexity=any(when.complexity_above is not None for when in conditions),
    )


def wanted(job: Job) -> Wanted:
    """What is found in every record that is annotated."""
    needed = decisive(job)
    if job.router.find == "needed":
        return needed
    # What a text asks for is about prompts: where nobody sorts by it, the job's own task is what counts.
    return Wanted(task=needed.task)
