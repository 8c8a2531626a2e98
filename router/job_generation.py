"""What a job file may say of generate tasks: checks of their keys, and of promises that need a checker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router.answer_checks import OWN_CHECKERS, SAME, is_entry_point, length_misfit
from router.answer_schema import misfit, schema_problems
from router.job_wording import dotted, looks_secret
from router.language import UNDETERMINED
from router.language_codes import CODES, language_suggestion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from router.job import Audit, Calibration, Routing, Task
    from router.job_checks import Problem

GENERATE = "generate"
KEYS = ("max_tokens", "schema", "language", "min_characters", "max_characters", "check", "samples")
"""Keys of a task that only generate tasks have."""
_FIELDS = {"schema": "answer_schema"}
MAX_TOKENS = 256
"""The longest answer where the task does not say it."""


def kept_keys(kind: str, dumped: dict[str, Any]) -> dict[str, Any]:
    """A task as it is written: without the keys that tasks of its kind do not have."""
    # Else the fingerprints of tasks with labels, which journals are found by, would change.
    without = {*KEYS, *_FIELDS.values()} if kind != GENERATE else set()
    return {key: value for key, value in dumped.items() if key not in without}


def misplaced_keys(task: Task) -> list[Problem]:
    """Refuse keys of generate tasks in a task that chooses labels."""
    says = "goes with kind: generate; leave it out, or change the kind"
    fields = {key: _FIELDS.get(key, key) for key in KEYS}
    return [((key,), says, None) for key, field in fields.items() if field in task.model_fields_set]


def generation_problems(task: Task) -> list[Problem]:
    """Refuse labels in a generate task, bounds that no text can keep, and schemas that nothing enforces."""
    problems: list[Problem] = []
    if task.labels:
        problems.append((("labels",), "does not go with kind: generate; leave it out", None))
    if not isinstance(task.examples, tuple):
        says = "takes a list of examples where the task is generate; write some into the job file"
        problems.append((("examples",), says, None))
    for number, example in enumerate(task.shown):
        if example.answer is None:
            problems.append((("examples", number, "answer"), "missing; give the right answer", None))
        if "label" in example.model_fields_set:
            says = "does not go with kind: generate; call it `answer`"
            problems.append((("examples", number, "label"), says, None))
    if task.answer_schema is not None:
        # What is in it is no key of the job file, so the place is said in words.
        problems += [
            (("schema",), f"{dotted(place)} {says}", None)
            for place, says, _ in schema_problems(task.answer_schema)
        ]
    if (task.min_characters or 0) > (most := task.max_characters or task.min_characters or 0):
        says = f"is more than max_characters ({most}); correct one of them"
        problems.append((("min_characters",), says, task.min_characters))
    if task.check is not None and task.check not in OWN_CHECKERS and not is_entry_point(task.check):
        says = f"is not one of {', '.join(OWN_CHECKERS)}, nor package.module:function; give one of these"
        problems.append((("check",), says, task.check))
    return problems


def file_problems(task: Task) -> list[Problem]:
    """Refuse what no answer can pass: a language that is never found, and examples that fail the checks.

    The language of the examples is not held against them: of a few words it cannot be told for certain.
    """
    problems: list[Problem] = []
    if task.language not in {None, SAME, *CODES}:
        problems.append((("language",), _unknown_language(str(task.language)), task.language))
    for number, example in enumerate(task.shown):
        answer = (example.answer or "").strip()
        why = None if task.answer_schema is None else misfit(task.answer_schema, answer)
        if why is not None:
            said = "" if looks_secret(why) else f" ({why})"
            says = f"does not fit the task's schema{said}; correct it"
        elif (why := length_misfit(task, answer)) is not None:
            says = f"is an answer that would not be trusted ({why}); correct it, or the bound"
        else:
            continue
        problems.append((("examples", number, "answer"), says, answer))
    return problems


def _unknown_language(code: str) -> str:
    if code == UNDETERMINED:
        return "stands for languages that cannot be told; leave it out to allow any"
    return (
        "is no code that the language detector can find, so answers would fail; "
        f"{language_suggestion(code)} (docs/generate.md lists all; same: the language of the text)"
    )


def example_problems(task: Task) -> list[Problem]:
    """Refuse examples of a task with labels that give none, or an answer in its place."""
    problems: list[Problem] = []
    for number, example in enumerate(task.shown):
        if "label" not in example.model_fields_set:
            problems.append(
                (("examples", number, "label"), "missing; give the right label from the list", None)
            )
        if example.answer is not None:
            says = "goes with kind: generate; call it `label`"
            problems.append((("examples", number, "answer"), says, None))
    return problems


def promise_problems(routing: Routing, tasks: Sequence[Task] | None) -> list[Problem]:
    """Refuse promises about written answers that nothing can judge. Invalid tasks say nothing here."""
    gate = routing.gate
    written = [task for task in tasks or () if task.kind == GENERATE]
    problems: list[Problem] = []
    if written and routing.judge is not None:
        says = "does not go with generate tasks: a judge ends with a label; leave it out"
        problems.append((("judge",), says, None))
    if not written or gate.target is None:
        return problems
    without = [task.name for task in written if task.check is None]
    if without:
        says = (
            f"cannot be certified for {', '.join(without)}: a generate task without `check` has nothing that "
            "tells a right answer; give it `check`, or use min_confidence"
        )
        problems.append((("gate", "target"), says, gate.target))
    if gate.per == "label":
        problems.append((("gate", "per"), "does not go with generate tasks, which have no labels", gate.per))
    if gate.student == "auto":
        says = "does not go with generate tasks: a student chooses among labels; leave it out"
        problems.append((("gate", "student"), says, gate.student))
    return problems


def corrections_problems(calibration: Calibration, tasks: Sequence[Task] | None) -> list[Problem]:
    """Refuse corrected labels where answers are written: they are not read back yet."""
    written = [task.name for task in tasks or () if task.kind == GENERATE]
    if calibration.corrections is None or not written:
        return []
    says = f"are not read for generate tasks ({', '.join(written)}) yet; put right answers into input.gold"
    return [(("corrections",), says, calibration.corrections)]


def audit_problems(audit: Audit | None, tasks: Sequence[Task] | None) -> list[Problem]:
    """Refuse an audit of written answers that nothing can compare."""
    without = [task.name for task in tasks or () if task.kind == GENERATE and task.check is None]
    if audit is None or not without:
        return []
    says = (
        f"cannot compare the answers of {', '.join(without)}: give the task `check`, or leave the audit out"
    )
    return [((), says, None)]
