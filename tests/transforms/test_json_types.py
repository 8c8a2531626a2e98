"""The types of JSONL columns in Parquet."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms import json_types
from transforms.json_types import ColumnTypes, TypesSoFar, merge, read_lines, shape_of


def types_of(*lines: bytes) -> ColumnTypes:
    """The types that lines show."""
    types = TypesSoFar()
    for line in lines:
        types.add_line(line)
    return types.types()


def table_of(*lines: str) -> pa.Table:
    """The lines as a table, by way of a Parquet file."""
    file = io.BytesIO()
    data = [line.encode() for line in lines]
    pq.write_table(read_lines(data, types_of(*data)), file)
    return pq.read_table(file)


def column(*values: str) -> tuple[pa.DataType, list[Any]]:
    """Type and values of a column of JSON values."""
    found = table_of(*(f'{{"c": {value}}}' for value in values)).column("c")
    return found.type, found.to_pylist()


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (("1", "-2"), pa.int64(), [1, -2]),
        (("1", "2.5"), pa.float64(), [1.0, 2.5]),
        (("true", "false"), pa.bool_(), [True, False]),
        (("1e308", "-0.0"), pa.float64(), [1e308, -0.0]),
        (("null", "1"), pa.int64(), [None, 1]),
        (("null", "null"), pa.null(), [None, None]),
        (('"a"', "null"), pa.string(), ["a", None]),
        (("[1, null]", "[2.5]", "[]"), pa.list_(pa.float64()), [[1.0, None], [2.5], []]),
        (("[]", "null"), pa.list_(pa.null()), [[], None]),
    ],
)
def test_values_of_one_kind_keep_it(values: tuple[str, ...], kind: pa.DataType, expected: list[Any]) -> None:
    """Null fits into every type, an integer into a float."""
    assert column(*values) == (kind, expected)


@pytest.mark.parametrize(
    "text", ["2024-01-31", "2024-01-31T10:00:00Z", "12:30", "0012", "1e5", "NaN", "true", "", "\u2028"]
)
def test_strings_stay_strings(text: str) -> None:
    """Whatever they look like."""
    assert column(json.dumps(text)) == (pa.string(), [text])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("1", '"a"'), ["1", '"a"']),
        (("true", "1"), ["true", "1"]),
        (("[1]", "1", "null"), ["[1]", "1", None]),
        (('{"a": 1.5}', '"é"'), ['{"a":1.5}', '"é"']),
        (("{}", "{}"), ["{}", "{}"]),
    ],
)
def test_mixed_values_become_json_text(values: tuple[str, ...], expected: list[str | None]) -> None:
    """So that each can be read back as what it was; an empty object has no other type in Parquet."""
    assert column(*values) == (pa.string(), expected)


def test_large_integers_are_exact() -> None:
    """64 bits hold them, or else JSON text does; a float never rounds one."""
    assert column("9223372036854775807", "-9223372036854775808") == (
        pa.int64(),
        [9223372036854775807, -9223372036854775808],
    )
    assert column("9223372036854775808", "1") == (pa.string(), ["9223372036854775808", "1"])
    assert column("123456789012345678901234567890") == (pa.string(), ["123456789012345678901234567890"])
    assert column("9007199254740992", "0.5") == (pa.float64(), [9007199254740992.0, 0.5])
    assert column("9007199254740993", "0.5") == (pa.string(), ["9007199254740993", "0.5"])
    assert column("9007199254740993", "1") == (pa.int64(), [9007199254740993, 1])


def test_nested_objects_have_all_their_fields() -> None:
    """Fields are merged, in the order of first sight; what a row lacks is null."""
    kind, values = column('{"a": 1, "b": {"c": "x"}}', '{"b": {"d": [true]}, "e": null}')

    inner = pa.struct([("c", pa.string()), ("d", pa.list_(pa.bool_()))])
    assert kind == pa.struct([("a", pa.int64()), ("b", inner), ("e", pa.null())])
    assert values == [
        {"a": 1, "b": {"c": "x", "d": None}, "e": None},
        {"a": None, "b": {"c": None, "d": [True]}, "e": None},
    ]


def test_mixed_values_inside_objects_become_json_text_there() -> None:
    """The rest of the object keeps its types."""
    kind, values = column('{"a": 1, "b": 2}', '{"a": "x", "b": 3}')

    assert kind == pa.struct([("a", pa.string()), ("b", pa.int64())])
    assert values == [{"a": "1", "b": 2}, {"a": '"x"', "b": 3}]


def test_an_object_with_very_many_keys_is_json_text() -> None:
    """It is a map, whose keys would each become a column."""
    assert shape_of({str(number): 1 for number in range(200)})[0] == "struct"
    assert shape_of({str(number): 1 for number in range(201)}) == "json"
    halves = [shape_of({f"{half}{number}": 1 for number in range(150)}) for half in "ab"]

    assert merge(*halves) == "json"


def test_a_deep_value_is_json_text_at_the_bottom() -> None:
    """20 levels of lists have types, what is below is text, however deep."""
    kind, values = column("[" * 400 + "1" + "]" * 400)

    depth = 0
    while pa.types.is_list(kind):
        kind, values, depth = kind.value_type, values[0], depth + 1
    assert (depth, kind, values) == (20, pa.string(), ["[" * 380 + "1" + "]" * 380])


def test_columns_that_a_row_lacks_are_null() -> None:
    """The table has every column that any row has, in the order of first sight."""
    found = table_of('{"b": 1}', '{"a": "x", "b": 2}')

    assert found.column_names == ["b", "a"]
    assert found.to_pylist() == [{"b": 1, "a": None}, {"b": 2, "a": "x"}]


def test_types_of_two_pieces_add_up() -> None:
    """As if one had seen all lines."""
    gathered = TypesSoFar()
    gathered.add_types(types_of(b'{"a": 1, "b": null}'))
    gathered.add_types(types_of(b'{"b": "x", "a": 0.5}'))

    assert gathered.types().schema() == pa.schema([("a", pa.float64()), ("b", pa.string())])


def test_types_that_were_taken_do_not_change() -> None:
    """What is gathered later is another value."""
    gathered = TypesSoFar()
    gathered.add_line(b'{"a": 1}')
    before = gathered.types()
    gathered.add_line(b'{"a": 0.5, "b": 1}')

    assert before.schema() == pa.schema([("a", pa.int64())])


def test_very_many_columns_cost_by_the_values_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new key in each row: each value is looked at once, and columns without any share their memory."""
    lines = [b'{"id": %d, "k%d": %d}' % (number, number, number) for number in range(4000)]
    looked_at: list[Any] = []

    def counting(value: Any, shape: Any) -> Any:
        looked_at.append(value)
        return value

    monkeypatch.setattr(json_types, "_fit", counting)

    table = read_lines(lines[:100], types_of(*lines))

    assert (table.num_columns, table.num_rows, len(looked_at)) == (4001, 100, 200)
    # 101 columns of 100 integers with a bit each for null, and one without any for all others.
    assert table.get_total_buffer_size() < 102 * (800 + 64)
    assert table.column("id").to_pylist() == list(range(100))
    assert table.column("k99").to_pylist() == [None] * 99 + [99]
    assert table.column("k3999").to_pylist() == [None] * 100


def test_shapes_are_for_json_only() -> None:
    """Anything else is a bug of the caller's."""
    with pytest.raises(TypeError, match="bytes is no type of JSON's"):
        shape_of(b"x")
