"""What types the columns of a JSONL input hold, so that they can be written to Parquet unchanged.

Arrow's own JSON reader guesses timestamps from strings and looks at one block only; a job needs one schema
for all its files, and strings that stay strings.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

Shape: TypeAlias = Any
"""null, bool, int, long, float, str or json; ("list", shape); ("struct", ((name, shape), ...)).

An int fits into a float without loss, a long only into 64 bits; json is whatever no other shape holds.
"""

_ARROW: Mapping[str, pa.DataType] = {
    "null": pa.null(),
    "bool": pa.bool_(),
    "int": pa.int64(),
    "long": pa.int64(),
    "float": pa.float64(),
    "str": pa.string(),
    "json": pa.string(),
}
_SCALARS = {type(None): "null", bool: "bool", float: "float", str: "str"}
_NUMBERS = {frozenset({"int", "long"}): "long", frozenset({"int", "float"}): "float"}
_EXACT_IN_FLOAT = range(-(2**53), 2**53 + 1)
_INT64 = range(-(2**63), 2**63)
# An object with more keys than this is a map from names to values, not a record with fields.
_MOST_FIELDS = 200
# Parquet's readers walk nested types by recursion.
_MOST_LEVELS = 20


@dataclass(frozen=True)
class ColumnTypes:
    """The shape of each column of an input, in the order of first sight."""

    columns: Mapping[str, Shape] = field(default_factory=dict)

    def schema(self) -> pa.Schema:
        """As an Arrow schema."""
        return pa.schema([(name, arrow_type(shape)) for name, shape in self.columns.items()])


class TypesSoFar:
    """Gathers the types of columns, from lines or from pieces of the input; what disagrees is JSON text.

    It grows in place: a copy for each line that shows something new would cost as much as all columns so far.
    """

    def __init__(self) -> None:
        """Begin with no column."""
        self._columns: dict[str, Shape] = {}

    def add_line(self, line: bytes) -> None:
        """Add what one JSON object shows."""
        columns = self._columns
        for name, value in json.loads(line).items():
            shape = _SCALARS.get(type(value)) or shape_of(value)
            if columns.get(name) != shape:
                _merge_into(columns, {name: shape})

    def add_types(self, types: ColumnTypes) -> None:
        """Add what another piece of the input showed, as if its lines had been added here."""
        _merge_into(self._columns, types.columns)

    def types(self) -> ColumnTypes:
        """What was found so far; later lines do not change it."""
        return ColumnTypes(dict(self._columns))


def shape_of(value: object, levels: int = _MOST_LEVELS) -> Shape:
    """The shape of a JSON value; what is nested deeper than `levels` is `json`."""
    if type(value) in _SCALARS:
        return _SCALARS[type(value)]
    if isinstance(value, int):
        return "int" if value in _EXACT_IN_FLOAT else "long" if value in _INT64 else "json"
    if not levels:
        return "json"
    if isinstance(value, list):
        return ("list", functools.reduce(merge, (shape_of(item, levels - 1) for item in value), "null"))
    if isinstance(value, dict):
        return _struct({name: shape_of(item, levels - 1) for name, item in value.items()})
    raise TypeError(f"{type(value).__name__} is no type of JSON's")


def merge(one: Shape, two: Shape) -> Shape:
    """The narrowest shape that holds both; `json` where there is none."""
    if two in (one, "null"):
        return one
    if one == "null":
        return two
    if isinstance(one, tuple) and isinstance(two, tuple) and one[0] == two[0]:
        if one[0] == "list":
            return ("list", merge(one[1], two[1]))
        fields = dict(one[1])
        _merge_into(fields, dict(two[1]))
        return _struct(fields)
    return _NUMBERS.get(frozenset({one, two}), "json")


def _merge_into(fields: dict[str, Shape], seen: Mapping[str, Shape]) -> None:
    for name, shape in seen.items():
        fields[name] = merge(fields[name], shape) if name in fields else shape


def _struct(fields: Mapping[str, Shape]) -> Shape:
    return "json" if len(fields) > _MOST_FIELDS else ("struct", tuple(fields.items()))


def arrow_type(shape: Shape) -> pa.DataType:
    """The Arrow type of a shape. Parquet knows no empty struct, so that is JSON text too."""
    if isinstance(shape, str):
        return _ARROW[shape]
    if shape[0] == "list":
        return pa.list_(arrow_type(shape[1]))
    return pa.struct([(name, arrow_type(inner)) for name, inner in shape[1]]) if shape[1] else pa.string()


def read_lines(lines: Sequence[bytes], types: ColumnTypes) -> pa.Table:
    """JSON lines as a table of the given types."""
    found: dict[str, list[Any]] = {}
    for number, line in enumerate(lines):
        # Not orjson, which rounds integers beyond 64 bits to floats.
        for name, value in json.loads(line).items():
            if name in types.columns:
                column = found.setdefault(name, [])
                if len(column) < number:
                    column += [None] * (number - len(column))
                column.append(_fit(value, types.columns[name]))
    # Of very many columns most have no value in any of these rows: one array of nulls serves all of a type.
    nulls = functools.cache(lambda kind: pa.nulls(len(lines), kind))
    arrays = []
    for name, shape in types.columns.items():
        kind = arrow_type(shape)
        if name in found:
            values = found[name]
            arrays.append(pa.array(values + [None] * (len(lines) - len(values)), type=kind))
        else:
            arrays.append(nulls(kind))
    return pa.Table.from_arrays(arrays, schema=types.schema())


def _fit(value: Any, shape: Shape) -> Any:  # noqa: ANN401 - JSON values
    """A value in the form in which Arrow takes it as this shape's type."""
    if value is None:
        return None
    if shape in ("json", ("struct", ())):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if shape == "float":
        return float(value)
    if isinstance(shape, str):
        return value
    if shape[0] == "list":
        return [_fit(item, shape[1]) for item in value]
    return {name: _fit(value.get(name), inner) for name, inner in shape[1]}
