"""Written answers that stand although they fail a check of their task: how many, and what to do then."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from router.answer_checks import CUT_OFF
from router.records import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.records import Annotation

_ANSWERS, _FAILED, _CUT = "answers", "failed", "cut"
_CHECK, _STATUS = "check ", "status "


def count_checks(said: Annotation) -> Counter[str]:
    """What one record adds to the sums over written answers; nothing where labels were chosen."""
    if said.checks is None:
        return Counter()
    if not said.checks:
        return Counter((_ANSWERS,))
    failed = {one.partition(":")[0] for one in said.checks}
    cut = [_CUT] if any(one.startswith(CUT_OFF) for one in said.checks) else []
    status = f"{_STATUS}{said.status.value}"
    return Counter((_ANSWERS, _FAILED, status, *cut, *(f"{_CHECK}{name}" for name in failed)))


def checks_summary(counted: Counter[str], large: str | None) -> dict[str, Any]:
    """The sums as `summary.json` has them, with a `note` on what to do where any answer fails.

    An answer that fails two checks counts under each of them in `by_check`.

    Args:
        counted: Sums of what `count_checks` gives.
        large: The model that others escalate to, if there is one.
    """
    found = {
        "answers": counted[_ANSWERS],
        "failed": counted[_FAILED],
        "by_check": _under(counted, _CHECK),
        "by_status": _under(counted, _STATUS),
    }
    return {**found, "note": _note(counted, large)} if counted[_FAILED] else found


def _under(counted: Counter[str], prefix: str) -> dict[str, int]:
    named = {key.removeprefix(prefix): count for key, count in counted.items() if key.startswith(prefix)}
    return dict(_most_first(named))


def _most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def told_checks(counts: Mapping[str, int]) -> str:
    """How many answers fail each check, the most frequent first, in words; "" where none is failed."""
    return ", ".join(f"{count:,} {name}" for name, count in _most_first(counts))


def _note(counted: Counter[str], large: str | None) -> str:
    checks, statuses = _under(counted, _CHECK), _under(counted, _STATUS)
    remedies = [
        (bool(counted[_CUT]), "raise max_tokens or ask for less"),
        (checks.get("length", 0) > counted[_CUT], "say in the instruction how long answers may be"),
        ("language" in checks, "say in the instruction which language to answer in"),
        # What is cut off is no JSON either.
        (checks.get("schema", 0) > counted[_CUT], "simplify the schema"),
        (Status.OVER_BUDGET.value in statuses, "raise budget.max_usd"),
        (Status.LLM_UNAVAILABLE.value in statuses, "run the same command again: it asks what is left"),
        (large is None, "name a larger model in routing.escalate_to"),
    ]
    return "; ".join(remedy for holds, remedy in remedies if holds)


def failed_checks_line(found: Mapping[str, Any] | None) -> str | None:
    """One line for people: how many answers fail which checks, and what to do; None where all pass.

    `found` is what `checks_summary` returned; None where the job has no written answers.
    """
    if found is None or not found["failed"]:
        return None
    return (
        f"Failed checks: {found['failed']:,} of {found['answers']:,} written answers "
        f"({told_checks(found['by_check'])}) stand "
        f"but are not to be trusted. To do: {found['note']}. annotation.checks says why."
    )
