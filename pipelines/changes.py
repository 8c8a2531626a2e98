"""What changed since an earlier run of a job, and which of its answers that leaves valid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    """Dotted paths at which two job files (as JSON values) differ; tasks and labels go by their names."""
    before, now = _by_name(before), _by_name(now)
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(key for key in now if key not in before)]:
            yield from changed_keys(before.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif before != now:
        yield path


def _by_name(value: object) -> object:
    if isinstance(value, list) and value and all(isinstance(one, dict) and "name" in one for one in value):
        return {one["name"]: one for one in value}
    return value
