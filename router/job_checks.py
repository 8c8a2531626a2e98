"""The rules of a job file that no field can state alone: names that must exist, choices that exclude others.

Each `*_problems` function takes parts of a job whose fields are valid and returns what is wrong with them, as
(place below the part, predicate with the fix, value) triples; `refuse` turns those into a pydantic error.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError, ValidationInfo
from pydantic_core import InitErrorDetails, PydanticCustomError

from router.answer_schema import completed, load_schema, schema_problems
from router.job_generation import GENERATE, example_problems, generation_problems, misplaced_keys
from router.job_wording import looks_secret, suggestion
from router.names import STUDENT
from router.retrieval_checks import source_problems

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from router.job import Audit, Calibration, Gate, Input, Model, Output, Routing, Task, When

    Place = tuple[str | int, ...]
    Problem = tuple[Place, str, object]

RULE = "job_rule"
"""The type of the pydantic errors made here; their `says` is a predicate that can follow the value."""


def refuse(problems: Iterable[Problem]) -> None:
    """Raise one pydantic ValidationError that holds all the problems; do nothing where there is none."""
    details = [
        InitErrorDetails(type=_rule_error(says), loc=place, input=value) for place, says, value in problems
    ]
    if details:
        raise ValidationError.from_exception_data("job", details, hide_input=True)


def is_number(value: object) -> object:
    """Return the value, but refuse true and false, which Python would take for 1 and 0."""
    if isinstance(value, bool):
        raise _rule_error("is not a number; give a number")
    return value


def not_secret(value: str) -> str:
    """Return the name of an environment variable, but refuse keys that would pass for one (`gsk_...`)."""
    if looks_secret(value):
        raise _rule_error("looks like the key itself; put it in an environment variable and name that here")
    return value


def one_or_many(value: object) -> str:
    """Tell which form a label has: a list of labels, or a single one."""
    return "many" if isinstance(value, (list, tuple)) else "one"


def listed_or_source(value: object) -> str:
    """Tell which form examples have: a list of them, or where to draw them from."""
    return "source" if isinstance(value, dict) or hasattr(value, "path") else "listed"


def switch_or_settings(value: object) -> str:
    """Tell which form `batch` has: true or false, or settings."""
    return "settings" if isinstance(value, dict) or hasattr(value, "max_requests") else "switch"


def off_or_other(value: object) -> object:
    """Return the value, `off` for the false that YAML makes of it."""
    return "off" if value is False else value


def word_or_number(value: object) -> str:
    """Tell which form `pack` has: a word, or a number of records."""
    return "word" if isinstance(value, str) else "number"


def read_local(path: str) -> bytes:
    """The bytes of a file on this machine, by its path. Raises `OSError` where it cannot be read."""
    return Path(path).read_bytes()


def read_schema(value: object, info: ValidationInfo) -> object:
    """Return a task's JSON Schema, read from its file where it names one, with what its objects leave out.

    `read` in the validation's context reads the file; without it only paths of this machine are known.
    """
    try:
        found = load_schema(value, (info.context or {}).get("read", read_local))
    except ValueError as error:
        raise _rule_error(str(error)) from error
    if not isinstance(found, dict):
        raise _rule_error("is not a JSON Schema; give an object, or the path or URL of one")
    return found if schema_problems(found) else completed(found)


def complete_gate(data: object) -> object:
    """Add what a gate with a target left out: delta 0.05, the oracle `llm` and no student."""
    if not isinstance(data, dict) or data.get("target") is None:
        return data
    left_out = {"delta": 0.05, "oracle": "llm", "student": "off"}
    return data | {key: value for key, value in left_out.items() if data.get(key) is None}


def task_problems(task: Task) -> list[Problem]:
    """Say which labels of a task are twice there or too few, and which examples' labels it does not have."""
    if task.kind == GENERATE:
        return generation_problems(task)
    problems = [*misplaced_keys(task), *example_problems(task)]
    if not task.labels:
        if "labels" not in task.model_fields_set:
            return [*problems, (("labels",), "missing; give the labels to choose from", None)]
        return [*problems, (("labels",), "has 0 entries; give at least 1", [])]
    problems += _repeated([("labels", i, "name") for i in range(len(task.labels))], task.label_names)
    if task.kind == "single_label" and len(task.labels) < 2:  # noqa: PLR2004 - one label leaves no choice
        problems.append((("labels",), "has 1 label; single_label needs at least 2", None))
    if not isinstance(task.examples, tuple):
        problems += source_problems(task.examples, multi_label=task.kind == "multi_label")
    for i, example in enumerate(task.shown):
        at: Place = ("examples", i, "label")
        if "label" not in example.model_fields_set:
            continue
        if isinstance(example.label, str):
            problems += _unknown([(at, example.label)], task.label_names, "a label of this task")
        elif task.kind == "single_label":
            problems.append((at, "is a list, but single_label takes one label; give it as text", None))
        else:
            given = [((*at, j), label) for j, label in enumerate(example.label)]
            problems += _unknown(given, task.label_names, "a label of this task")
    return problems


def when_problems(when: When) -> list[Problem]:
    """Refuse a rule without a condition: it would hold for every record, which is what the default is for."""
    conditions = type(when).model_fields
    if any(getattr(when, name) is not None for name in conditions):
        return []
    return [((), f"has no condition; give at least one of {', '.join(conditions)}", None)]


def gate_problems(gate: Gate) -> list[Problem]:
    """Refuse a gate that is of no kind or of both, and a promise's terms without the promise."""
    if (gate.min_confidence is None) == (gate.target is None):
        says = "needs exactly one of min_confidence and target; give one and leave out the other"
        return [((), says, None)]
    if gate.target is not None:
        return []
    # `off` is said where a pack brings a student.
    student = None if gate.student == "off" else gate.student
    terms = {"delta": gate.delta, "oracle": gate.oracle, "per": gate.per, "student": student}
    says = "goes with target; leave it out, or give target in place of min_confidence"
    return [((name,), says, value) for name, value in terms.items() if value is not None]


def _escalation_problems(routing: Routing) -> list[Problem]:
    problems: list[Problem] = []
    if routing.escalate_to == routing.default:
        says = "is routing.default too; name another model, or null"
        problems.append((("escalate_to",), says, routing.escalate_to))
    if routing.gate.oracle == "llm" and routing.escalate_to is None:
        says = "needs a model in routing.escalate_to; name the LLM there, or write oracle: gold"
        problems.append((("gate", "oracle"), says, "llm"))
    return problems


def output_problems(output: Output, source: Input | None) -> list[Problem]:
    """Refuse to write to the place that is read. What is None was invalid, so nothing is said about it."""
    if source is None or posixpath.normpath(source.path) != posixpath.normpath(output.path):
        return []
    return [(("path",), "is input.path too; give another folder", output.path)]


def tasks_problems(tasks: Sequence[Task]) -> list[Problem]:
    """Refuse tasks of the same name."""
    return _repeated([(i, "name") for i in range(len(tasks))], [task.name for task in tasks])


def routing_problems(
    routing: Routing,
    source: Input | None,
    models: Mapping[str, Model] | None,
) -> list[Problem]:
    """Refuse models that do not exist, an escalation to the default, and an oracle that is missing.

    What is None was invalid itself, so nothing is said about it.
    """
    problems = _escalation_problems(routing)
    if routing.gate.oracle == "gold" and source is not None and source.gold is None:
        says = "needs input.gold; name the column that holds the true labels there, or write oracle: llm"
        problems.append((("gate", "oracle"), says, "gold"))
    if models is not None:
        problems += _unknown(_models_named(routing), models, "one of the models")
        problems += _not_gated(routing, models)
        if routing.gate.student == "auto" and STUDENT in models:
            says = f"is not possible where a model is named {STUDENT}, as its answers are; rename the model"
            problems.append((("gate", "student"), says, "auto"))
    return problems


def _not_gated(routing: Routing, models: Mapping[str, Model]) -> list[Problem]:
    """Models that a gate with a target cannot judge, because they give no scores."""
    if routing.gate.target is None:
        return []
    says = "gives no scores, so routing.gate.target cannot judge it; name a llama_cpp model, or escalate_to"
    return [
        (place, says, name)
        for place, name in _models_named(routing)
        if place != ("escalate_to",)
        and name != routing.escalate_to
        and name in models
        and models[name].engine != "llama_cpp"
    ]


def calibration_problems(calibration: Calibration, routing: Routing | None) -> list[Problem]:
    """Refuse corrections that nothing would learn from. What is None was invalid, so nothing is said."""
    if calibration.corrections is None or routing is None or routing.gate.oracle == "gold":
        return []
    says = "are the true labels, so they need routing.gate: {target: ..., oracle: gold}; or leave them out"
    return [(("corrections",), says, calibration.corrections)]


def audit_problems(audit: Audit | None, routing: Routing | None) -> list[Problem]:
    """Refuse an audit that nobody can make. What is None was invalid or left out, so nothing is said."""
    if audit is None or routing is None or routing.escalate_to is not None:
        return []
    return [((), "needs a model in routing.escalate_to to ask; name one, or leave the audit out", None)]


def _models_named(routing: Routing) -> list[tuple[Place, str]]:
    named: list[tuple[Place, str]] = [(("default",), routing.default)]
    if routing.escalate_to is not None:
        named.append((("escalate_to",), routing.escalate_to))
    return named + [(("rules", i, "use"), rule.use) for i, rule in enumerate(routing.rules)]


def _unknown(named: Iterable[tuple[Place, str]], known: Collection[str], what: str) -> list[Problem]:
    wrong = [(place, name) for place, name in named if name not in known]
    return [(place, f"is not {what}; {suggestion(name, known)}", name) for place, name in wrong]


def _repeated(places: Sequence[Place], names: Sequence[str]) -> list[Problem]:
    pairs = enumerate(zip(places, names, strict=True))
    says = "is there twice; give each its own name"
    return [(place, says, name) for i, (place, name) in pairs if name in names[:i]]


def _rule_error(says: str) -> PydanticCustomError:
    # A template of its own, so that braces in what is said are not read as one.
    return PydanticCustomError(RULE, "{says}", {"says": says})
