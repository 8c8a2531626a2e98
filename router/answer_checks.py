"""What can be checked of a written answer: its length, schema and language; and its truth, by a checker.

A checker compares the answer with a reference: what the oracle wrote about the same text.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from router.agreement import folded
from router.answer_schema import misfit
from router.language import UNDETERMINED, identify_language

if TYPE_CHECKING:
    from collections.abc import Iterable

    from router.generated import Generated
    from router.job import Task

Checker = Callable[[str, str, str], bool]
"""Takes the answer, the reference and the text."""

SAME = "same"
"""The `language` of a task whose answers are to be in the language of the text."""

_CUT = "cut off at max_tokens"
CUT_OFF = f"length: {_CUT}"
"""How the failed check begins of an answer that was as long as it may be."""

_ENTRY_POINT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_ARGUMENTS = 3


class CheckerError(ValueError):
    """A checker cannot be used, or failed; one line that says which and why."""


def failed_checks(task: Task, answer: Generated) -> tuple[str, ...]:
    """The checks that an answer does not pass, each as `name: why`; empty where it passes all."""
    found = [
        ("length", _length(task, answer)),
        ("schema", None if task.answer_schema is None else misfit(task.answer_schema, answer.text)),
        ("language", _language(task, answer)),
    ]
    return tuple(f"{name}: {why}" for name, why in found if why is not None)


def _length(task: Task, answer: Generated) -> str | None:
    if answer.cut:
        return f"{_CUT} ({task.token_bound})"
    return length_misfit(task, answer.text)


def length_misfit(task: Task, text: str) -> str | None:
    """Why an answer is shorter or longer than its task allows; None where it is not."""
    size = len(text)
    if size < (least := task.min_characters or 1):
        return f"{size} characters, fewer than {least}" if size else "the answer is empty"
    if task.max_characters is not None and size > task.max_characters:
        return f"{size} characters, more than {task.max_characters}"
    return None


def _language(task: Task, answer: Generated) -> str | None:
    wanted = answer.asked_in if task.language == SAME else task.language
    if wanted in (None, UNDETERMINED):
        return None
    found = identify_language(_words(answer.text, as_json=task.answer_schema is not None))
    # What is too short to tell is not held against it.
    return None if found in (wanted, UNDETERMINED) else f"{found} in the place of {wanted}"


def _words(text: str, *, as_json: bool) -> str:
    """The words of an answer: of JSON its values, not its keys, which are the schema's."""
    if not as_json:
        return text
    found: list[str] = []

    def look(value: object) -> None:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, (list, dict)):
            for one in value.values() if isinstance(value, dict) else value:
                look(one)

    try:
        look(json.loads(text))
    except (ValueError, RecursionError):
        return text
    return " ".join(found)


def is_entry_point(name: str) -> bool:
    """Whether a name is of the form `package.module:function`."""
    return _ENTRY_POINT.fullmatch(name) is not None


@functools.cache
def find_checker(name: str) -> Checker:
    """The checker of a name: `exact`, `contains`, or a function of the user's own.

    `exact`: the two are equal, case, width of letters, white space and a last full stop apart; JSON objects
    where they have equal values under equal keys. `contains`: the answer holds the reference, read in the
    same way.

    Raises `CheckerError` where there is no such function, or it does not take three arguments.
    """
    if name in _OWN:
        return _OWN[name]
    if not is_entry_point(name):
        raise CheckerError(f"{name!r} is neither exact nor contains nor of the form package.module:function")
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    # A module of the user's may fail to import in any way, and each is to be told in one line.
    except Exception as error:
        said = " ".join(str(error).split())
        raise CheckerError(
            f"{name}: cannot be imported ({type(error).__name__}: {said}); install the module in this "
            "environment, or put its folder on PYTHONPATH"
        ) from error
    try:
        inspect.signature(found).bind(*[""] * _ARGUMENTS)
    except (TypeError, ValueError) as error:
        raise CheckerError(
            f"{name}: cannot be called as check(answer, reference, text) ({error}); give a function that can"
        ) from error
    checker: Checker = found
    return checker


def check_checkers(tasks: Iterable[Task]) -> None:
    """Raise `CheckerError` unless the checkers that tasks name can be used."""
    for number, task in enumerate(tasks):
        if task.check is not None:
            try:
                find_checker(task.check)
            except CheckerError as error:
                raise CheckerError(f"tasks[{number}].check: {error}") from error


def passes(task: Task, answer: str, reference: str, text: str) -> bool:
    """Whether an answer passes the task's checker against a reference.

    Raises `CheckerError` where the task has no checker, or the user's function fails.
    """
    if task.check is None:
        raise CheckerError(f"task {task.name!r} has no `check`, so nothing tells whether an answer is right")
    checker = find_checker(task.check)
    try:
        found = checker(answer, reference, text)
    # The user's own function: whatever goes wrong in it stops the job, with its name.
    except Exception as error:
        raise CheckerError(
            f"tasks: {task.name}: check {task.check} failed on the answer {answer[:80]!r} "
            f"({type(error).__name__}: {' '.join(str(error).split())}); mend the function"
        ) from error
    if not isinstance(found, bool):
        raise CheckerError(
            f"tasks: {task.name}: check {task.check} returned {type(found).__name__}, not True or False"
        )
    return found


def _exact(answer: str, reference: str, text: str) -> bool:  # noqa: ARG001 - the form of every checker
    given, wanted = _object(answer), _object(reference)
    if given is not None and wanted is not None:
        return given == wanted
    return folded(answer) == folded(reference)


def _contains(answer: str, reference: str, text: str) -> bool:  # noqa: ARG001 - the form of every checker
    wanted = folded(reference)
    return bool(wanted) and wanted in folded(answer)


def _object(text: str) -> dict[str, object] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


_OWN: dict[str, Checker] = {"exact": _exact, "contains": _contains}
OWN_CHECKERS = tuple(_OWN)
