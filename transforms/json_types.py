"""What types the columns of a JSONL input hold, so that they can be written to Parquet unchanged.

Arrow's own JSON reader guesses timestamps from strings and looks at one block only; a job needs one schema for
all its files, and strings that stay strings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Shape = str | tuple[str, "Shape"] | tuple[str, tuple[tuple[str, "Shape"], ...]]
"""null, bool, int, float, str or json; ("list", shape); ("struct", ((name, shape), ...))."""

_SCALARS: Mapping[str, pa.DataType] = {
    "null": pa.null(),
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "str": pa.string(),
    "json": pa.string(),
}
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True)
class ColumnTypes:
    """The shape of each column seen so far, in the order of first sight; shapes of two inputs add up."""

    columns: Mapping[str, Any] = field(default_factory=dict)

    def __add__(self, other: ColumnTypes) -> ColumnTypes:
        """Merge column by column; what does not agree becomes JSON text."""
        merged = dict(self.columns)
        for name, shape in other.columns.items():
            merged[name] = merge(merged[name], shape) if name in merged else shape
        return ColumnTypes(merged)

    def schema(self) -> pa.Schema:
        """As an Arrow schema."""
        return pa.schema([(name, arrow_type(shape)) for name, shape in self.columns.items()])


def observe_line(types: ColumnTypes, line: bytes) -> ColumnTypes:
    """Add what one JSON object shows."""
    seen = {name: shape_of(value) for name, value in orjson.loads(line).items()}
    if all(types.columns.get(name) == shape for name, shape in seen.items()):
        return types
    return types + ColumnTypes(seen)


def shape_of(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The shape of a JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if value in _INT64 else "json"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "str"
    if isinstance(value, list):
        inner: Any = "null"
        for item in value:
            inner = merge(inner, shape_of(item))
        return ("list", inner)
    return ("struct", tuple((name, shape_of(item)) for name, item in value.items()))


def merge(one: Any, two: Any) -> Any:  # noqa: ANN401 - shapes
    """The narrowest shape that holds both; `json` where there is none."""
    if one == two or two == "null":
        return one
    if one == "null":
        return two
    if {one, two} == {"int", "float"}:
        return "float"
    if isinstance(one, tuple) and isinstance(two, tuple) and one[0] == two[0]:
        if one[0] == "list":
            return ("list", merge(one[1], two[1]))
        fields = dict(one[1])
        for name, shape in two[1]:
            fields[name] = merge(fields[name], shape) if name in fields else shape
        return ("struct", tuple(fields.items()))
    return "json"


def arrow_type(shape: Any) -> pa.DataType:  # noqa: ANN401 - shapes
    """The Arrow type of a shape. Parquet knows no empty struct, so that is JSON text too."""
    if isinstance(shape, str):
        return _SCALARS[shape]
    if shape[0] == "list":
        return pa.list_(arrow_type(shape[1]))
    if not shape[1]:
        return pa.string()
    return pa.struct([(name, arrow_type(inner)) for name, inner in shape[1]])


def read_lines(lines: Sequence[bytes], types: ColumnTypes) -> pa.Table:
    """JSON lines as a table of the given types."""
    rows = [orjson.loads(line) for line in lines]
    arrays = [
        pa.array([_fit(row.get(name), shape) for row in rows], type=arrow_type(shape))
        for name, shape in types.columns.items()
    ]
    return pa.Table.from_arrays(arrays, schema=types.schema())


def _fit(value: Any, shape: Any) -> Any:  # noqa: ANN401 - JSON values and shapes
    if value is None:
        return None
    if shape == "json" or shape == ("struct", ()):
        return orjson.dumps(value).decode()
    if shape == "float":
        return float(value)
    if isinstance(shape, tuple) and shape[0] == "list":
        return [_fit(item, shape[1]) for item in value]
    if isinstance(shape, tuple):
        return {name: _fit(value.get(name), inner) for name, inner in shape[1]}
    return value
