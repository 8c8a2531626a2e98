"""Which model a record goes to: the first rule of the job file whose conditions all hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.records import Route

if TYPE_CHECKING:
    from router.job import Routing, When
    from router.records import Record


def choose_model(record: Record, language: str, routing: Routing) -> Route:
    """The route of a record in a known language: the first rule that matches, else the default model."""
    for number, rule in enumerate(routing.rules):
        if matches(rule.when, record, language):
            return Route(language, record.task, rule.use, number)
    return Route(language, record.task, routing.default, None)


def matches(when: When, record: Record, language: str) -> bool:
    """Whether every condition that is given holds.

    Domain and complexity are not known yet (they are None on the route), so a condition on them never holds.
    """
    return (
        (when.languages is None or language in when.languages)
        and (when.tasks is None or record.task in when.tasks)
        and (when.characters_above is None or len(record.text) > when.characters_above)
        and when.domains is None
        and when.complexity_above is None
    )
