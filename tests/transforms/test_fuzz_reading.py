"""Whatever bytes a file holds, each of its lines comes out once, as a row or as a dead letter."""

from __future__ import annotations

import datetime as dt
import decimal
import gzip
import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from router.job import Input, Job, Limits
from router.records import DeadLetter, Position, Reason, Record
from router.validation import Rules, validate
from tests.pipelines.jobs import SENTIMENT, TOPICS
from tests.transforms.inputs import read_lines, write_bytes
from transforms import read_jsonl
from transforms.read_records import Reader, read_validated
from transforms.reading import Row, Split

if TYPE_CHECKING:
    from pathlib import Path

FUZZ = settings(derandomize=True, deadline=None, database=None, max_examples=200)
"""The same examples in every run, and however slow the machine is."""

BOM = b"\xef\xbb\xbf"
VALID = [
    b'{"id": "r1", "text": "The lid was cracked.", "n": 1.50}',
    b'{"text":"\xc3\xa9 \xf0\x9f\x99\x82 \xe2\x80\xae","id":[1,{"a":null}],"x":{"y":[[],{}]}}',
    b'{"id": 123456789012345678901234567890, "text": "\\ud83d\\ude00\\u0000", "n": -1e308}',
    b'{"id": "r1", "text": "twice", "text": " ", "": true}',
]
LINE_ENDS = [b"\n", b"\r\n", b"\n\n", b" \t\r\n", b"\r\r\n", b"\r", b"\x0b\n", b"\n" + BOM]
TORN = [b"", b"\n", b"\r", b"\x00", b"\xff", b"\xed\xa0\x80", b"\\ud800", b'"', b"{", b"]", b"1e999", BOM]

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
OBJECTS = st.fixed_dictionaries({}, optional={"id": JSON, "text": JSON, "kind": JSON, "x": JSON})
PLAIN = st.builds(lambda value: json.dumps(value, ensure_ascii=False).encode(), JSON | OBJECTS)
ESCAPED = st.builds(lambda value: json.dumps(value).encode(), OBJECTS)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid line with up to three pieces of it replaced."""
    line = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(line)))
        stop = draw(st.integers(start, min(start + 4, len(line))))
        line = line[:start] + draw(st.sampled_from(TORN) | st.binary(max_size=3)) + line[stop:]
    return line


LINES = mutated() | PLAIN | ESCAPED | st.binary(max_size=40)
CONTENTS = st.builds(
    lambda mark, lines, rest: mark + b"".join(itertools.chain.from_iterable(lines)) + rest,
    st.sampled_from([b"", BOM, BOM[:2], BOM + BOM]),
    st.lists(st.tuples(LINES, st.sampled_from(LINE_ENDS)), max_size=6),
    st.just(b"") | LINES,
)


def cut(content: bytes) -> list[tuple[int, bytes]]:
    """Offset and content of each line that is not blank, by the simplest code there is."""
    found, offset = [], 0
    for piece in content.split(b"\n"):
        line = (piece if offset else piece.removeprefix(BOM)).removesuffix(b"\r")
        if line.strip():
            found.append((offset, line))
        offset += len(piece) + 1
    return found


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that every example writes anew."""
    return tmp_path_factory.mktemp("fuzz") / "a.jsonl"


@FUZZ
@given(CONTENTS)
def test_every_line_comes_out_once(path: Path, content: bytes) -> None:
    """Rows carry their line's bytes, dead letters show them, and what is read is what JSON says."""
    lines = cut(content)

    found = read_lines(write_bytes(path, content))

    assert [row.position for row in found] == [Position(0, offset) for offset, _ in lines]
    for row, (_, line) in zip(found, lines, strict=True):
        if isinstance(row, DeadLetter):
            assert row.reason in {Reason.INVALID_JSON, Reason.NOT_AN_OBJECT, Reason.INVALID_UTF8}
            assert row.record == line.decode(errors="replace")
        else:
            said = json.loads(line)
            assert (row.payload, row.id) == (line, said.get("id"))
            # Elsewhere integers beyond 64 bits may be rounded.
            assert row.text == said.get("text") or not isinstance(row.text, str)


@FUZZ
@given(CONTENTS, st.lists(st.integers(1, 200), max_size=4), st.integers(1, 9))
def test_no_cut_loses_or_repeats_a_line(path: Path, content: bytes, cuts: list[int], block: int) -> None:
    """Any number of splits in any places, read in blocks of any size, give what the whole file gives."""
    name = write_bytes(path, content)
    whole = read_lines(name)
    edges = sorted({0, *(edge for edge in cuts if edge < len(content)), len(content)})
    splits = [Split("jsonl", name, 0, start, stop) for start, stop in itertools.pairwise(edges)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_jsonl, "_BLOCK", block)
        parts = [read_lines(name, split.start, split.stop) for split in splits]

    assert [row for part in parts for row in part] == whole
    for split, part in zip(splits, parts, strict=True):
        assert [row for row in whole if split.holds(row.position)] == part


@FUZZ
@given(CONTENTS, st.integers(0, 400), st.integers(0, 255), st.sampled_from(["gz", "zst"]))
def test_damage_costs_what_follows_it(path: Path, content: bytes, at: int, byte: int, suffix: str) -> None:
    """A compressed file with a wrong byte gives rows and dead letters; damage is told once, at the end."""
    compressed = gzip.compress(content, mtime=0) if suffix == "gz" else zstandard.compress(content)
    at %= len(compressed)
    damaged = compressed[:at] + bytes([byte]) + compressed[at + 1 :]

    found = read_lines(write_bytes(path.with_suffix(f".jsonl.{suffix}"), damaged))

    told = [number for number, row in enumerate(found, start=1) if _is_damage(row)]
    assert told in ([], [len(found)])
    if damaged == compressed:
        assert [row.position.offset for row in found] == [offset for offset, _ in cut(content)]


def _is_damage(row: Row | DeadLetter) -> bool:
    return isinstance(row, DeadLetter) and row.reason is Reason.CORRUPT_DATA


JOB = Job.model_validate(
    {
        "name": "fuzz",
        "input": {"path": "a.jsonl", "id": "id", "task": "kind"},
        "output": {"path": "out"},
        "tasks": [{**SENTIMENT, "name": "null"}, {**TOPICS, "name": "5"}],
        "models": {"small": {"engine": "llama_cpp", "source": "model.gguf"}},
        "routing": {"default": "small"},
        "limits": {"max_characters": 5},
    }
)


@FUZZ
@given(CONTENTS)
def test_every_line_is_a_record_or_says_why_not(path: Path, content: bytes) -> None:
    """Reading and validation together lose nothing, and all that they give can be written as UTF-8."""
    name = write_bytes(path, content)

    found = list(read_validated(Split("jsonl", name, 0, 0, None), Reader(JOB, None), with_payload=True))

    assert [row.position.offset for row in found] == [offset for offset, _ in cut(content)]
    for row in found:
        if isinstance(row, DeadLetter):
            orjson.dumps([row.id, row.detail, row.record])
        else:
            orjson.dumps([row.id, row.text, row.task, row.gold])


@dataclass(frozen=True)
class AnyRow:
    """A row that may hold anything."""

    text: object
    id: object
    task: object
    gold: object
    payload: bytes = b"{}"
    position: Position = field(default=Position(0, 0))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**256), 2**256)
    | st.floats()
    | st.text(max_size=8)
    | st.text("\u200b\u202e\ufeff \u3000\x00\x85", max_size=8)
    | st.binary(max_size=8)
    | st.decimals()
    | st.dates()
    | st.datetimes(timezones=st.none() | st.just(dt.timezone.utc))
    | st.timedeltas(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)
"""What the readers can hand on: the values of JSON, and those that Arrow's types have in Python."""
NAMED = st.builds(AnyRow, VALUES, VALUES, VALUES | st.sampled_from(["mood", b"topic"]), VALUES)
USUAL = st.builds(AnyRow, st.text(min_size=1, max_size=6), VALUES, st.just("topic"), VALUES)


@FUZZ
@given(NAMED | USUAL, st.booleans(), st.booleans())
def test_any_values_make_a_record_or_a_dead_letter(row: AnyRow, has_id: bool, has_task: bool) -> None:
    """A record fulfils what a record promises; the row is written out as JSON for dead letters only."""
    columns = Input(path="x", gold="gold", id="id" if has_id else None, task="kind" if has_task else None)
    rules = Rules(columns, ("mood", "topic"), None if has_task else "mood", Limits(max_characters=5))
    asked: list[str] = []

    found = validate(row, rules, lambda: asked.append("row json") or asked[0])

    orjson.dumps([found.id, found.detail if isinstance(found, DeadLetter) else found.gold])
    if isinstance(found, Record):
        assert 1 <= len(found.text) <= 5
        assert found.text in (row.text, _decoded(row.text))
        assert found.id.strip()
        assert found.task in {"mood", "topic"}
        assert asked == []
    else:
        assert found.reason in Reason
        assert (found.stage, found.record) == ("validate", "row json")
    assert validate(row, rules, lambda: "row json") == found


def _decoded(value: object) -> object:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def test_decimals_of_every_kind_are_ids() -> None:
    """Numbers that JSON does not have become strings of their own."""
    rules = Rules(Input(path="x", id="id"), ("mood",), "mood", Limits())
    rows = [AnyRow("fine", decimal.Decimal(value), None, None) for value in ("NaN", "Infinity", "1.50")]

    found = [validate(row, rules, lambda: None) for row in rows]

    assert [row.id for row in found] == ['"NaN"', '"Infinity"', '"1.50"']
