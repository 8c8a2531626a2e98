"""Rules that can never match: what they name does not exist, or earlier rules take all of it.

So can a model's adapters: wherever it says rules here, these are meant too (`router.adapter_checks`).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Protocol

from router.job_wording import suggestion
from router.language import LANGUAGES
from router.language_codes import language_suggestion
from router.route_labels import DOMAINS, TASKS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from router.job import Limits, RouterSettings, Task, When
    from router.job_checks import Place, Problem

    Atom = tuple[str | None, str | None, str | None]
    """One language, task and domain; None where the rule does not ask."""


class Conditional(Protocol):
    """A rule, or what else is for some records only."""

    @property
    def when(self) -> When:
        """For which records it is."""


def rule_problems(
    rules: Sequence[Conditional],
    tasks: Sequence[Task] | None,
    limits: Limits | None,
    router: RouterSettings | None,
    *,
    place: Place = ("rules",),
) -> list[Problem]:
    """What is wrong with the rules of a job, as triples of `router.job_checks`.

    What is None was invalid itself, so nothing is said about it. What heads of the user's own know is not
    known here: `pipelines.prepare` looks at the names then.
    """
    names = [task.name for task in tasks or ()]
    problems = unreachable(rules, names, limits, place=place)
    if tasks is not None and router is not None and router.heads is None and router.encoder is None:
        domains = [one.name for one in router.domains] if router.domains is not None else list(DOMAINS)
        problems += unknown_names(rules, names, list(TASKS), domains, place=place)
    return problems


def unknown_names(
    rules: Sequence[Conditional],
    tasks: Collection[str],
    asked: Collection[str],
    domains: Collection[str],
    *,
    place: Place = ("rules",),
) -> list[Problem]:
    """Names in rules that nothing can be called.

    Args:
        rules: The job's rules.
        tasks: Names of the job's tasks.
        asked: What the router says that texts ask for.
        domains: The domains that the router knows.
        place: Where the rules stand.
    """
    problems: list[Problem] = []
    known = {
        "languages": (LANGUAGES, "a language that can be found (ISO 639-1, in lower case)"),
        "tasks": ([*tasks, *asked], "one of the tasks, nor of those that the router knows"),
        "domains": (domains, "one of the domains that the router knows"),
    }
    for number, rule in enumerate(rules):
        for key, (names, what) in known.items():
            for at, name in enumerate(getattr(rule.when, key) or ()):
                if name not in names:
                    where = (*place, number, "when", key, at)
                    meant = language_suggestion(name) if key == "languages" else suggestion(name, list(names))
                    problems.append((where, f"is not {what}; {meant}", name))
    return problems


def unreachable(
    rules: Sequence[Conditional], tasks: Sequence[str], limits: Limits | None, *, place: Place = ("rules",)
) -> list[Problem]:
    """Rules that no record can get to.

    A rule is split into its languages, tasks and domains, one of each: it is unreachable where each such part
    is taken by an earlier rule whose numbers are as low.
    """
    problems: list[Problem] = []
    for number, rule in enumerate(rules):
        when, where = rule.when, (*place, number)
        if when.complexity_above is not None and when.complexity_above >= 1.0:
            says = "can never match: complexity is at most 1; give a lower complexity_above"
            problems.append((where, says, None))
            continue
        longest = None if limits is None else limits.max_characters
        if longest is not None and when.characters_above is not None and when.characters_above >= longest:
            says = (
                f"can never match: texts over limits.max_characters ({longest}) become dead letters; give "
                "a lower characters_above, or raise the limit"
            )
            problems.append((where, says, None))
            continue
        takers = [_taker(atom, when, rules[:number], tasks) for atom in _atoms(when)]
        if all(taker is not None for taker in takers):
            earlier = sorted({one for one in takers if one is not None})
            noun = str(place[-1]).removesuffix("s")
            named = f"{noun}{'s' * (len(earlier) > 1)} {', '.join(map(str, earlier))}"
            says = f"can never match: {named} before it took all its records; move it up, or leave it out"
            problems.append((where, says, None))
    return problems


def _atoms(when: When) -> Iterator[Atom]:
    return itertools.product(when.languages or (None,), when.tasks or (None,), when.domains or (None,))


def _taker(atom: Atom, when: When, earlier: Sequence[Conditional], tasks: Sequence[str]) -> int | None:
    """The first earlier rule that takes all records of this part."""
    for number, rule in enumerate(earlier):
        if _covers(rule.when, atom, when, tasks):
            return number
    return None


def _covers(earlier: When, atom: Atom, when: When, tasks: Sequence[str]) -> bool:
    language, task, domain = atom
    every_task = earlier.tasks is not None and task is None and set(tasks) <= set(earlier.tasks)
    return (
        (earlier.languages is None or language in earlier.languages)
        and (earlier.tasks is None or task in earlier.tasks or every_task)
        and (earlier.domains is None or domain in earlier.domains)
        and _as_low(earlier.complexity_above, when.complexity_above)
        and _as_low(earlier.characters_above, when.characters_above)
    )


def _as_low(earlier: float | None, later: float | None) -> bool:
    return earlier is None or (later is not None and earlier <= later)
