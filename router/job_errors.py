"""What pydantic found wrong with a job file, said in the file's own terms: place, value, cause and fix."""

from __future__ import annotations

import copy
import functools
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from router.job_checks import RULE
from router.job_wording import dotted, names_secret, nearest, shown, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic_core import ErrorDetails

    Path = tuple[str | int, ...]
    Schema = Mapping[str, Any]

_GATE = ("routing", "gate")
_NUMBER = "is not a number; give a number"
_WHOLE = "is not a whole number; give a whole number"
_MAPPING = "is not keys with values; give {keys}"
_SAYS = {
    "bool_parsing": "is neither true nor false; give one of them",
    "bool_type": "is neither true nor false; give one of them",
    "decimal_parsing": _NUMBER,
    "decimal_type": _NUMBER,
    "dict_type": _MAPPING,
    "finite_number": "is not finite; give a finite number",
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "greater_than": "is too small; give more than {gt:g}",
    "greater_than_equal": "is too small; give {ge:g} or more",
    "int_from_float": _WHOLE,
    "int_parsing": _WHOLE,
    "int_type": _WHOLE,
    "less_than": "is too large; give less than {lt:g}",
    "less_than_equal": "is too large; give {le:g} or less",
    "model_attributes_type": _MAPPING,
    "model_type": _MAPPING,
    "string_pattern_mismatch": "is not in the right form; give {hint}",
    "string_too_short": "is empty; give {hint}",
    "too_short": "has {actual_length} entries; give at least {min_length}",
    "tuple_type": "is not a list; write it as [...], or each entry on a line of its own after a dash",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a job file."""

    path: Path
    says: str
    """The value, what is wrong with it, and the fix."""
    unknown_key: bool = False
    better: str | None = None
    """What was probably meant, for the key where that is unknown, else for the value."""

    @property
    def can_be_mended(self) -> bool:
        """Whether the key can go, or the value is known that was probably meant."""
        return self.unknown_key or self.better is not None

    def line(self, name: str) -> str:
        """Write the problem as one line that starts with the file's name and the dotted path."""
        return ": ".join(part for part in (name, dotted(self.path), self.says) if part)


def explain(errors: Sequence[ErrorDetails], schema: Schema, originals: Mapping[str, str]) -> list[Problem]:
    """Put pydantic's errors into words.

    Args:
        errors: what `ValidationError.errors()` returned for the model that the schema describes.
        schema: the JSON schema of the job file; it knows keys, choices and descriptions.
        originals: for text that came from the environment, what stands in the file: the latter is shown.

    """
    return [_explained(error, schema, originals) for error in errors if not _is_echo(error)]


def mended(data: object, problems: Sequence[Problem]) -> object:
    """Return a copy of the data with the probable meaning in place of misspelt keys and choices.

    Validating it tells what else is wrong: the rules of a section are checked only when its keys are right.
    """
    whole: Any = copy.deepcopy(data)
    beyond = [problem.path[:2] for problem in problems if not problem.can_be_mended]
    for problem in problems:
        if problem.can_be_mended:
            _mend(whole, problem)
    # A stand-in lets the names of the models be checked although one of these is wrong in itself.
    for section, name in (place for place in beyond if len(place) == len(_GATE)):
        if section == "models":
            whole["models"][name] = {"engine": "openai", "model": "stand-in"}
        elif (section, name) == _GATE:
            whole["routing"]["gate"] = {"min_confidence": 0.5}
    return whole


def _mend(whole: Any, problem: Problem) -> None:  # noqa: ANN401 - whatever the YAML holds
    *way, last = problem.path
    parent = functools.reduce(operator.getitem, way, whole)
    if not problem.unknown_key:
        parent[last] = problem.better
        return
    value = parent.pop(last)
    # Under a key that is no secret's, what is in it would be shown.
    if problem.better is not None and not (isinstance(value, dict) and names_secret(last)):
        parent.setdefault(problem.better, value)


def merged(first: Sequence[Problem], more: Sequence[Problem]) -> list[Problem]:
    """Append those of `more` that are not about the place of one of the first, nor one above or below it."""

    def same_place(one: Path, other: Path) -> bool:
        common = min(len(one), len(other))
        return one[:common] == other[:common]

    return [*first, *(new for new in more if not any(same_place(new.path, old.path) for old in first))]


def _is_echo(error: ErrorDetails) -> bool:
    # Pydantic counts the valid entries only, and each of the others is a problem of its own.
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _explained(error: ErrorDetails, schema: Schema, originals: Mapping[str, str]) -> Problem:
    kind, loc, value = error["type"], error["loc"], error["input"]
    if isinstance(value, str):
        value = originals.get(value, value)
    if kind == "extra_forbidden":
        return _unknown_key(loc, value, schema)
    if kind == "invalid_key" or loc[-1:] == ("[key]",):
        parent, _, _ = _located(loc[:-1] if kind == "invalid_key" else loc[:-2], schema)
        return Problem(parent, f"the key {shown(value) or 'there'} is not a name; put it in quotes")
    path, node, hint = _located(loc, schema)
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        key = str(error["ctx"]["discriminator"]).strip("'")
        given = value.get(key)
        given = originals.get(given, given) if isinstance(given, str) else given
        return _choice((*path, key), given, _tags(node, schema))
    if kind == "literal_error":
        return _choice(path, value, _literals(node, schema))
    return Problem(path, _says(error, _subject(value, path), hint, _keys(node, schema)))


def _says(error: ErrorDetails, subject: str, hint: str, keys: Sequence[str]) -> str:
    kind, value = error["type"], error["input"]
    wanted = f"the keys {', '.join(keys)}" if keys else hint
    if kind == "missing":
        return f"missing; give {wanted}"
    if kind == RULE:
        return str(error["ctx"]["says"]) if value is None else f"{subject} {error['ctx']['says']}"
    if value is None:
        return f"null is not allowed; give {wanted}"
    if kind == "string_type":
        fix = f"give {hint}" if isinstance(value, (list, dict)) else "put it in quotes"
        return f"{subject} is not text; {fix}"
    words = {**error.get("ctx", {}), "hint": hint, "keys": wanted}
    unworded = error["msg"].replace("Input should", "should", 1)
    return f"{subject} " + (_SAYS[kind].format(**words) if kind in _SAYS else unworded)


def _unknown_key(loc: Path, value: object, schema: Schema) -> Problem:
    parent, node, _ = _located(loc[:-1], schema)
    path, key, known = (*parent, loc[-1]), str(loc[-1]), _keys(node, schema)
    says = f"unknown key (value {shown(value, path) or 'not shown'}); {suggestion(key, known)}"
    return Problem(path, says, unknown_key=True, better=nearest(key, known))


def _choice(path: Path, value: object, choices: Sequence[str]) -> Problem:
    listed = ", ".join(choices)
    if value is None:
        return Problem(path, f"missing; give one of {listed}")
    near = nearest(str(value), choices)
    fix = f"did you mean {near}?" if near else "give one of them"
    says = f"{_subject(value, path)} is not one of {listed}; {fix}"
    return Problem(path, says, better=near)


def _subject(value: object, path: Path) -> str:
    return shown(value, path) or "the value (not shown)"


def _located(loc: Path, schema: Schema) -> tuple[Path, Schema, str]:
    """Follow a pydantic location through the schema; return it without union tags, its node and a hint."""
    path: list[str | int] = []
    node, hint = schema, "a value"
    for part in loc:
        node, is_tag = _step(node, part, schema)
        if is_tag:
            continue
        path.append(part)
        described = (variant.get("description") for variant in _variants(node, schema))
        fallback = hint if isinstance(part, int) else f"its {part}"
        hint = _phrase(next(filter(None, described), fallback))
    return tuple(path), node, hint


def _step(node: Schema, part: str | int, schema: Schema) -> tuple[Schema, bool]:
    """Return the node below and whether the part was only the tag of a union, which is not in the file."""
    for variant in _variants(node, schema):
        tagged = variant.get("discriminator", {}).get("mapping", {})
        if part in tagged:
            return {"$ref": tagged[part]}, True
        if isinstance(part, int) and "items" in variant:
            return variant["items"], False
        if part in variant.get("properties", {}):
            return variant["properties"][part], False
        if isinstance(variant.get("additionalProperties"), dict):
            return variant["additionalProperties"], False
    return node, True


def _variants(node: Schema, schema: Schema) -> Iterator[Schema]:
    """Yield the node and everything that it refers to or offers as an alternative."""
    yield node
    if "$ref" in node:
        yield from _variants(schema["$defs"][node["$ref"].rpartition("/")[2]], schema)
    for alternative in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from _variants(alternative, schema)


def _keys(node: Schema, schema: Schema) -> list[str]:
    keys = (key for variant in _variants(node, schema) for key in variant.get("properties", {}))
    return list(dict.fromkeys(keys))


def _tags(node: Schema, schema: Schema) -> list[str]:
    variants = _variants(node, schema)
    return [tag for variant in variants for tag in variant.get("discriminator", {}).get("mapping", {})]


def _literals(node: Schema, schema: Schema) -> list[str]:
    return [str(value) for variant in _variants(node, schema) for value in variant.get("enum", ())]


def _phrase(description: str) -> str:
    """Make a description fit into a sentence: no capital (unless of an acronym) and no full stop."""
    text = description.rstrip(".")
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
