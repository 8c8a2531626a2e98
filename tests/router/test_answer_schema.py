"""Which schemas can be enforced everywhere, and what fits one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from router.answer_schema import completed, load_schema, misfit, schema_problems
from router.job_checks import read_local

if TYPE_CHECKING:
    import pathlib

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "as in the text"},
        "age": {"type": ["integer", "null"]},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
    },
}


def test_a_schema_of_the_common_part_is_completed() -> None:
    """All properties are required, and there are no others, at every level."""
    inner = {"type": "object", "properties": {"x": {"type": "number"}}}

    found = completed(
        {"type": "object", "properties": {"inner": inner, "list": {"type": "array", "items": inner}}}
    )

    assert schema_problems(PERSON) == []
    assert (found["required"], found["additionalProperties"]) == (["inner", "list"], False)
    assert found["properties"]["inner"]["required"] == ["x"]
    assert found["properties"]["list"]["items"]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "array", "items": {"type": "string"}}, ("type",)),
        ({"type": "object"}, ("properties",)),
        (
            {"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}},
            ("properties", "a", "pattern"),
        ),
        (
            {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}},
            ("properties", "a", "minimum"),
        ),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}}, ("properties", "a", "$ref")),
        ({"type": "object", "properties": {"a": {"type": "text"}}}, ("properties", "a", "type")),
        ({"type": "object", "properties": {"a": {"type": "array"}}}, ("properties", "a", "items")),
        ({"type": "object", "properties": {"a": {"enum": []}}}, ("properties", "a", "enum")),
        ({"type": "object", "properties": {"a": {"anyOf": []}}}, ("properties", "a", "anyOf")),
        (
            {
                "type": "object",
                "properties": {
                    "a": {"type": "array", "items": {"type": "null"}, "minItems": 3, "maxItems": 2}
                },
            },
            ("properties", "a", "minItems"),
        ),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": []}, ("required",)),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": True},
            ("additionalProperties",),
        ),
        ({"type": "object", "properties": {"a": True}}, ("properties", "a")),
        ({"type": "object", "properties": {'a"': {"type": "string"}}}, ("properties", 'a"')),
        ({"type": "object", "properties": {"a": {"enum": ["x\\y"]}}}, ("properties", "a", "enum")),
        (
            {"type": "object", "properties": {"a": {"type": "string", "enum": ["x", 1]}}},
            ("properties", "a", "enum"),
        ),
        (
            {"type": "object", "properties": {"a": {"type": "string", "anyOf": [{"type": "null"}]}}},
            ("properties", "a", "anyOf"),
        ),
    ],
)
def test_what_cannot_be_enforced_everywhere_is_refused_with_its_place(
    schema: dict[str, Any], place: tuple[str, ...]
) -> None:
    """An answer would look checked and not be."""
    assert place in [at for at, _, _ in schema_problems(schema)]


def test_a_schema_may_stand_in_a_file(tmp_path: pathlib.Path) -> None:
    """As JSON or YAML; what cannot be read is told."""
    (tmp_path / "schema.json").write_text(json.dumps(PERSON))

    assert load_schema(str(tmp_path / "schema.json"), read_local) == PERSON
    assert load_schema(PERSON, read_local) is PERSON
    with pytest.raises(ValueError, match="cannot be read as a JSON Schema"):
        load_schema(str(tmp_path / "none.json"), read_local)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"name": "Ann", "age": null, "tags": ["a"]}', None),
        ('{"name": "Ann", "age": 3.5, "tags": []}', "age: 3.5 is not of type 'integer', 'null'"),
        ('{"name": "Ann", "age": 3}', "'tags' is a required property"),
        ('{"name": "Ann", "age": 3, "tags": ["c"]}', "tags[0]: 'c' is not one of ['a', 'b']"),
        ('{"name": "Ann", "name": "Bob", "age": 3, "tags": []}', "not JSON (a key occurs twice)"),
        ('{"name": NaN, "age": 3, "tags": []}', "not JSON (NaN is no JSON)"),
    ],
)
def test_a_misfit_is_told_in_a_few_words(text: str, why: str | None) -> None:
    """With its place in the answer."""
    assert misfit(completed(PERSON), text) == why


def test_a_misfit_is_never_long() -> None:
    """It quotes the value, which may be long."""
    why = misfit(completed(PERSON), json.dumps({"name": 1, "age": "x" * 5000, "tags": []}))

    assert why is not None
    assert len(why) < 300
