"""The JSON Schema of a generate task: the part that both llama.cpp's grammars and hosted models enforce.

What only one of them, or neither, can hold a model to is refused with its place, because an answer would
look checked and not be.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from router.chat_text import unique_keys
from router.job_wording import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Place = tuple[str | int, ...]
    Problem = tuple[Place, str, object]

_SAID = ("title", "description", "$schema")
"""Keywords that explain and enforce nothing."""
_OF = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "minItems", "maxItems"),
    "string": (),
    "number": (),
    "integer": (),
    "boolean": (),
    "null": (),
}
_KEYWORDS = ("type", "enum", "anyOf", *(key for keys in _OF.values() for key in keys), *_SAID)
_UNSPEAKABLE = re.compile(r'["\\\x00-\x1f\x7f]')
_CANNOT_SPELL = (
    "holds a quotation mark, a backslash or a control character, which the grammar cannot spell; use others"
)
_MOST_ITEMS = 100
"""llama.cpp writes a rule for each."""
_MOST_SAID = 200
"""A message holds the value that it is about."""


def load_schema(value: object, read: Callable[[str], bytes]) -> object:
    """The schema in the file that a text names, as JSON or YAML; anything else as it is.

    `read` reads a file by its path or URL (`router.domain_pack.ReadFile`). Raises `ValueError` where the file
    cannot be read, in words that can follow the value.
    """
    if not isinstance(value, str):
        return value
    # A job without such a task need not load it.
    import yaml  # noqa: PLC0415 - see above

    try:
        return yaml.safe_load(read(value).decode("utf-8"))
    except (OSError, ImportError, ValueError, yaml.YAMLError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"cannot be read as a JSON Schema ({said}); give its path or URL") from error


def completed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with what its objects leave out: all properties are required, and there are no others."""
    found = dict(schema)
    if "properties" in found:
        found["properties"] = {name: completed(one) for name, one in found["properties"].items()}
        found["required"] = list(found["properties"])
        found["additionalProperties"] = False
    if isinstance(found.get("items"), dict):
        found["items"] = completed(found["items"])
    if "anyOf" in found:
        found["anyOf"] = [completed(one) for one in found["anyOf"]]
    return found


def schema_problems(schema: object) -> list[Problem]:
    """What of a schema cannot be enforced everywhere, with its place; nothing where all of it can."""
    if isinstance(schema, dict) and schema.get("type") != "object":
        return [(("type",), "must be object at the top, as hosted models want it", schema.get("type"))]
    return list(_problems(schema, ()))


def _problems(node: object, at: Place) -> Iterator[Problem]:
    if not isinstance(node, dict):
        yield at, "is not a JSON Schema; give an object with `type`", node
        return
    types = _types(node)
    allowed = {key for name in types for key in _OF.get(name, ())} | {"type", "enum", "anyOf", *_SAID}
    for key, value in node.items():
        if key not in allowed:
            yield (*at, str(key)), _unenforced(str(key), types), value
    for name in types:
        if name not in _OF:
            yield (*at, "type"), f"is not one of {', '.join(_OF)}; {suggestion(name, list(_OF))}", name
    if not types and "enum" not in node and "anyOf" not in node:
        yield (*at, "type"), f"missing; give one of {', '.join(_OF)}, or `enum` or `anyOf`", None
    yield from _enum_problems(node, at, types)
    yield from _alternative_problems(node, at)
    if "object" in types:
        yield from _object_problems(node, at)
    if "array" in types:
        yield from _array_problems(node, at)


def _alternative_problems(node: Mapping[str, Any], at: Place) -> Iterator[Problem]:
    if "anyOf" not in node:
        return
    beside = [key for key in node if key not in _SAID and key != "anyOf"]
    if beside:
        yield (*at, "anyOf"), f"stands alone; put {', '.join(beside)} into each alternative", None
    if not _listed(node["anyOf"]):
        yield (*at, "anyOf"), "is not a list of schemas; give at least one", node["anyOf"]
    for number, one in enumerate(_listed(node["anyOf"])):
        yield from _problems(one, (*at, "anyOf", number))


def _types(node: Mapping[str, Any]) -> list[str]:
    given = node.get("type", [])
    return [given] if isinstance(given, str) else [str(one) for one in _listed(given)]


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _unenforced(key: str, types: list[str]) -> str:
    if key in _KEYWORDS:
        return f"does not go with type {', '.join(types) or 'none'}; leave it out"
    return (
        "cannot be enforced by llama.cpp's grammar and hosted structured outputs alike; leave it out (say it "
        "in `description`, or check it with `check`)"
    )


def _enum_problems(node: Mapping[str, Any], at: Place, types: list[str]) -> Iterator[Problem]:
    if "enum" not in node:
        return
    values = node["enum"]
    if not isinstance(values, list) or not values:
        yield (*at, "enum"), "is not a list of values; give at least one", values
    elif not all(one is None or isinstance(one, (str, int, float, bool)) for one in values):
        yield (*at, "enum"), "holds what is not text, a number, true, false or null; leave it out", None
    elif any(isinstance(one, str) and _UNSPEAKABLE.search(one) for one in values):
        yield (*at, "enum"), _CANNOT_SPELL, None
    elif types and not all(any(_is_of(one, name) for name in types) for one in values):
        yield (*at, "enum"), f"holds what is not of type {', '.join(types)}; leave it out, or the type", None


def _is_of(value: object, name: str) -> bool:
    if isinstance(value, bool) or value is None:
        return name == ("null" if value is None else "boolean")
    kinds: dict[str, tuple[type, ...]] = {"string": (str,), "integer": (int,), "number": (int, float)}
    return isinstance(value, kinds.get(name, ()))


def _object_problems(node: Mapping[str, Any], at: Place) -> Iterator[Problem]:
    properties = node.get("properties")
    if not isinstance(properties, dict) or not properties:
        yield (*at, "properties"), "missing; name the object's properties with their schemas", None
        return
    if node.get("additionalProperties", False) is not False:
        says = "must be false: hosted models allow no properties that are not named"
        yield (*at, "additionalProperties"), says, node["additionalProperties"]
    required = node.get("required", list(properties))
    missing = [name for name in properties if name not in _listed(required)]
    if missing:
        says = (
            f"leaves out {', '.join(missing)}; hosted models want every property there: give it a type with "
            "null where it may lack"
        )
        yield (*at, "required"), says, None
    for name, one in properties.items():
        if _UNSPEAKABLE.search(str(name)):
            yield (*at, "properties", str(name)), _CANNOT_SPELL, None
        yield from _problems(one, (*at, "properties", str(name)))


def _array_problems(node: Mapping[str, Any], at: Place) -> Iterator[Problem]:
    if not isinstance(node.get("items"), dict):
        yield (*at, "items"), "missing; give the schema of the array's items", None
    else:
        yield from _problems(node["items"], (*at, "items"))
    for key in ("minItems", "maxItems"):
        value = node.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_ITEMS:
            yield (*at, key), f"is not a whole number from 0 to {_MOST_ITEMS}; give one", value
            return
    if node.get("minItems", 0) > node.get("maxItems", _MOST_ITEMS):
        yield (*at, "minItems"), "is more than maxItems, so that no array fits; correct one", node["minItems"]


def misfit(schema: Mapping[str, Any], text: str) -> str | None:
    """Why a text is no JSON of the schema, in a few words; None where it is."""
    try:
        value = json.loads(text, object_pairs_hook=unique_keys, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return f"not JSON ({error})"
    # It takes a tenth of a second to import, for tasks with a schema only.
    import jsonschema  # noqa: PLC0415 - see above

    try:
        found = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(value))
    except RecursionError:
        return "nested too deeply to be checked"
    if found is None:
        return None
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in found.absolute_path)
    said = " ".join(str(found.message).split())[:_MOST_SAID]
    return f"{place.lstrip('.')}: {said}" if place else said


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
