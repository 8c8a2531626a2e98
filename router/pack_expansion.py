"""`tasks: [{pack: NAME}]` in a job file: the pack's task takes its place before anything is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router.domain_pack import find_pack, overridden, task_values
from router.job_errors import Problem
from router.job_tasks import Task
from router.job_wording import nearest, shown, suggestion
from router.job_yaml import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.domain_pack import ReadFile
    from router.job_errors import Path

PACK = "pack"
"""The key of a task that names its pack."""

_SETTLED = "is noted by Tekizai itself; write `tasks: [{pack: NAME}]` to use a pack"


def expand_packs(data: object, read: ReadFile) -> tuple[object, list[Problem]]:
    """Put packs' tasks in the place of the lines that name them, and note under `packs` which they are.

    Args:
        data: a job file's values.
        read: reads the packs' files.

    Returns:
        The values, and what is wrong with those lines. Everything else is left to the job's own checks.
    """
    if not isinstance(data, dict):
        return data, []
    problems = [Problem(("packs",), _SETTLED)] if "packs" in data else []
    tasks = data.get("tasks")
    if not isinstance(tasks, list):
        return data, problems
    expanded = list(tasks)
    for number, entry in enumerate(tasks):
        expanded[number], wrong = _named_right(entry, ("tasks", number))
        problems += wrong
    if not any(isinstance(one, dict) and PACK in one for one in expanded):
        return data, problems
    tasks = list(expanded)
    used: dict[str, Any] = {}
    for number, entry in enumerate(tasks):
        if isinstance(entry, dict) and PACK in entry:
            expanded[number], wrong = _expanded(entry, ("tasks", number), used, read)
            problems += wrong
    return {**data, "tasks": expanded, **({"packs": used} if used else {})}, problems


def _named_right(entry: object, at: Path) -> tuple[object, list[Problem]]:
    """A task with `pack` where a key was probably meant to be that, and what to say of it.

    Of what the task lacks nothing is said then: the pack has it.
    """
    if not isinstance(entry, dict) or PACK in entry:
        return entry, []
    known = {*Task.model_fields, PACK}
    meant = [
        key for key in entry if isinstance(key, str) and key not in known and nearest(key, known) == PACK
    ]
    if len(meant) != 1:
        return entry, []
    [key] = meant
    says = f"unknown key (value {shown(entry[key]) or 'not shown'}); {suggestion(key, known)}"
    rest = {name: value for name, value in entry.items() if name != key}
    return {PACK: entry[key], **rest}, [Problem((*at, key), says)]


def _expanded(
    entry: Mapping[str, Any], at: Path, used: dict[str, Any], read: ReadFile
) -> tuple[object, list[Problem]]:
    given = entry[PACK]
    if not isinstance(given, str) or not given:
        says = f"pack {shown(given) or '(not shown)'} is not a name; give a pack's name or folder"
        return entry, [Problem(at, says)]
    try:
        found = find_pack(given, read)
    except JobError as error:
        return entry, [Problem(at, line) for line in error.lines]
    own = {key: value for key, value in entry.items() if key != PACK}
    values, unknown = overridden(task_values(found.pack), own)
    known = found.pack.task.label_names
    problems = [
        Problem((*at, "labels"), f"{shown(name)} is no label of pack {given}; {suggestion(name, known)}")
        for name in unknown
    ]
    if isinstance(values["name"], str):
        used[values["name"]] = {"pack": found.pack.name, "source": given, "digest": found.digest}
    return values, problems
