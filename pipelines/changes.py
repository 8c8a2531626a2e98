"""What changed since an earlier run of a job, and which of its answers that leaves valid."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SHOWN_KEYS = 8


def describe_changes(
    earlier: Mapping[str, Any], now: Mapping[str, Any], answers: Mapping[str, int]
) -> list[str]:
    """What to tell the user before a run that finds an earlier one's answers; empty where there are none.

    Args:
        earlier: the manifest of the earlier run.
        now: the manifest of the run that is to begin.
        answers: how many answers the journal holds, by fingerprint.
    """
    if not answers:
        return []
    keys = list(changed_keys(earlier.get("job", {}), now["job"]))
    lines = []
    if keys:
        more = f" and {len(keys) - _SHOWN_KEYS} more" if len(keys) > _SHOWN_KEYS else ""
        lines.append(f"the job changed since its last run: {', '.join(keys[:_SHOWN_KEYS])}{more}")
    current = {one for by_task in now["answers"].values() for one in by_task.values()}
    lost = {fingerprint: count for fingerprint, count in answers.items() if fingerprint not in current}
    lines += _asked_again(earlier.get("answers", {}), now["answers"], lost)
    valid = sum(answers.values()) - sum(lost.values())
    lines.append(f"continuing: {valid:,} answers are in the journal and are not asked for again")
    return lines


def _asked_again(
    earlier: Mapping[str, Mapping[str, str]],
    now: Mapping[str, Mapping[str, str]],
    lost: Mapping[str, int],
) -> Iterator[str]:
    for model, by_task in earlier.items():
        for task, fingerprint in by_task.items():
            if fingerprint not in lost:
                continue
            what = f"{lost[fingerprint]:,} answers of {model} to task {task} are"
            if task in now.get(model, {}):
                yield f"{what} asked again, its question changed"
            else:
                yield f"{what} not used any more"


def changed_keys(before: object, now: object, path: str = "") -> Iterator[str]:
    """Dotted paths at which two job files (as JSON values) differ.

    Tasks and labels go by their names. So do adapters where each has a name of its own, else by their places,
    as errors name them (`models.small.adapters[0].scale`).
    """
    if isinstance(before, dict) and isinstance(now, dict):
        pairs = [(key, before.get(key), now.get(key)) for key in {**before, **now}]
        parts = [(f"{path}.{key}" if path else str(key), old, new) for key, old, new in pairs]
    elif _may_have_names(before) and _may_have_names(now):
        parts = list(_entries(before, now, path))
    else:
        if before != now:
            yield path
        return
    for part, old, new in parts:
        yield from changed_keys(old, new, part)


def _may_have_names(value: object) -> TypeGuard[list[dict[str, Any]]]:
    """Whether a list's entries have the key `name`, be it null."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and "name" in one for one in value)
    )


def _entries(
    before: list[dict[str, Any]], now: list[dict[str, Any]], path: str
) -> Iterator[tuple[str, object, object]]:
    """Each entry's path, and what it was and is; None where it was or is not there."""
    named = [{one["name"]: one for one in entries} for entries in (before, now)]
    if all(
        None not in names and len(names) == len(of) for names, of in zip(named, (before, now), strict=True)
    ):
        old, new = named
        for name in {**old, **new}:
            yield f"{path}.{name}", old.get(name), new.get(name)
        return
    for number, (was, one) in enumerate(itertools.zip_longest(before, now)):
        yield f"{path}[{number}]", was, one
