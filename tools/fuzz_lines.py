"""A hundred thousand broken lines through the whole job, its model stubbed out: is every line accounted for?

    python -m tools.fuzz_lines 100000

Prints one JSON line: how many lines became annotations and dead letters of each reason, the seconds, the peak
resident memory. Fails where a line is missing, is there twice, or is not what was read.
"""

from __future__ import annotations

import argparse
import io
import json
import pathlib
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.console import Console

import pipelines.open_models
from pipelines.commands import run_job
from pipelines.show_run import read_summary
from router.job_loading import parse_job
from tests.fake_models import fake_handler, gguf_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Mutation = Callable[[random.Random, dict[str, Any]], bytes]

_WORDS = ("the", "parcel", "came", "late", "lid", "cracked", "lovely", "\u00e9", "\u4f60\u597d", "\U0001f642")
_SHOWN_CHARACTERS = 10_000
_BOM = b"\xef\xbb\xbf"
_UNSEEN = " \t\r\n\u00a0\u3000\u2028\u0085\u200b\ufeff\u202e\u200f\u00ad\u0000\u001b"
_PIECES = (
    b"\xff",
    b"\xed\xa0\x80",
    _BOM,
    b"\x00",
    b"\x1b[2J",
    b"\\ud800",
    b"\\u0000",
    b'"',
    b"\\",
    b"}{",
    b"\r",
)
_NUMBERS = [b"1e308", b"-1e308", b"1e999", b"1e-400", b"-0", b"NaN", b"1" * 30, b"9" * 5000, b"0x1", b"01"]
_NO_OBJECTS = (
    b"[]",
    b"null",
    b"true",
    b'"text"',
    b"1e308",
    b"[[[{}]]]",
    b"not json",
    b"{",
    b"{}{}",
    b"\xff\xfe",
)
_BLANKS = [b"", b" ", b"\t\r", b"\x0b\x0c", b"   \r"]
_TEXTS: tuple[object, ...] = (
    None,
    5,
    True,
    [],
    {"a": 1},
    "",
    "!engine",
    "same",
    "=1+1",
    "<script>",
    "\u202eabc",
    "\U0001f600",
)


def dump(row: dict[str, Any]) -> bytes:
    """A row as a line, in UTF-8."""
    return json.dumps(row, ensure_ascii=False).encode()


def flipped(draw: random.Random, row: dict[str, Any]) -> bytes:
    """Some bytes are others."""
    line = bytearray(dump(row))
    for _ in range(draw.randint(1, 4)):
        line[draw.randrange(len(line))] ^= 1 << draw.randrange(8)
    return bytes(line)


def spliced(draw: random.Random, row: dict[str, Any]) -> bytes:
    """A hostile piece is put in, in the place of some bytes or of none."""
    line = dump(row)
    start = draw.randrange(len(line))
    return line[:start] + draw.choice(_PIECES) + line[start + draw.randint(0, 3) :]


def cut_off(draw: random.Random, row: dict[str, Any]) -> bytes:
    """The end is missing, or the beginning."""
    line = dump(row)
    at = draw.randrange(len(line))
    return draw.choice([line[:at], line[at:]])


def numbered(draw: random.Random, row: dict[str, Any]) -> bytes:
    """A number that is huge or none, in one of the columns."""
    column = draw.choice(["id", "text", "price", "kind"])
    return dump({**row, column: "?"}).replace(b'"?"', draw.choice(_NUMBERS), 1)


def nested(draw: random.Random, row: dict[str, Any]) -> bytes:
    """Arrays in arrays, or objects in objects, in one of the columns."""
    levels = draw.choice([3, 100, 497, 600, 2000])
    opened, closed = draw.choice([(b"[", b"]"), (b'{"a":', b"}")])
    deep = opened * levels + b"1" + closed * levels
    return dump({**row, draw.choice(["id", "text", "price"]): "?"}).replace(b'"?"', deep, 1)


def retyped(draw: random.Random, row: dict[str, Any]) -> bytes:
    """Another kind of text, or one that cannot be seen."""
    unseen = "".join(draw.choices(_UNSEEN, k=draw.randint(1, 20)))
    return dump({**row, "text": draw.choice([*_TEXTS, unseen])})


def dropped(draw: random.Random, row: dict[str, Any]) -> bytes:
    """A column is missing, null, or there twice."""
    column = draw.choice(["id", "text", "kind"])
    without = {name: value for name, value in row.items() if name != column}
    twice = dump(row)[:-1] + b", " + dump({column: row[column]})[1:]
    return draw.choice([dump(without), dump({**row, column: None}), twice])


def repeated(draw: random.Random, row: dict[str, Any]) -> bytes:
    """The id of an earlier row, or of a later one."""
    return dump({**row, "id": f"r{draw.randrange(100_000)}"})


def misnamed(draw: random.Random, row: dict[str, Any]) -> bytes:
    """A task that the job does not have."""
    return dump({**row, "kind": draw.choice(["mod", "", 5, ["mood"], "x" * 1000])})


def large(draw: random.Random, row: dict[str, Any]) -> bytes:
    """A text about as long as is allowed, or much longer."""
    text = draw.choice([".", "\u00e9 ", " "]) * 400_000
    return dump({**row, "text": text[: draw.choice([100_000, 100_001, 400_000])]})


MUTATIONS: dict[Mutation, float] = {
    flipped: 0.12,
    spliced: 0.12,
    cut_off: 0.05,
    numbered: 0.05,
    nested: 0.03,
    retyped: 0.06,
    dropped: 0.05,
    repeated: 0.04,
    misnamed: 0.03,
    large: 0.0005,
    lambda draw, _: draw.choice(_NO_OBJECTS): 0.03,
    lambda draw, _: draw.choice(_BLANKS): 0.03,
    lambda draw, row: dump(row) + draw.choice([b"\r", b" ", b"\t\r", b"\r\r"]): 0.05,
}
"""What may happen to a line, and how often; the other lines stay valid."""


def fuzzed_lines(count: int, seed: int) -> Iterator[bytes]:
    """Lines without line ends, the same for the same seed."""
    draw = random.Random(seed)  # noqa: S311 - not for secrets
    kinds, weights = [*MUTATIONS], [*MUTATIONS.values()]
    for number in range(count):
        row = {
            "id": f"r{number}",
            "text": " ".join(draw.choices(_WORDS, k=draw.randint(1, 30))),
            "kind": draw.choice(["mood", "topic"]),
            "price": number / 7,
        }
        valid = draw.random() > sum(weights)
        line = dump(row) if valid else draw.choices(kinds, weights)[0](draw, row)
        yield (_BOM if number == 0 else b"") + line.replace(b"\n", b" ")


def read_lines(path: pathlib.Path) -> list[bytes]:
    """The lines of the file that are not blank, as the job should see them."""
    lines = path.read_bytes().removeprefix(_BOM).split(b"\n")
    return [line.removesuffix(b"\r") for line in lines if line.strip()]


def check(lines: list[bytes], output: pathlib.Path) -> dict[str, Any]:
    """Raise `AssertionError` unless every line is in the output, once; the job's summary."""
    summary = read_summary(str(output))
    counts = summary["records"]
    if not len(lines) == counts["read"] == counts["annotated"] + counts["dead_lettered"]:
        raise AssertionError(f"{len(lines)} lines, but the job says {counts}")
    left = Counter(map(shown, lines))
    left.subtract(
        json.loads(letter)["record"][:_SHOWN_CHARACTERS]
        for path in output.glob("dead_letters-*")
        for letter in path.read_bytes().split(b"\n")
        if letter
    )
    if any(number < 0 for number in left.values()):
        raise AssertionError(f"dead letters of lines that are not there: {[*(-left)][:3]}")
    # What is left over must have been annotated, and what is annotated have an id of its own.
    by_shown = {shown(line): line for line in lines}
    wanted = Counter(written_id(json.loads(by_shown[line])["id"]) for line in left.elements())
    found = Counter(annotated_ids(output))
    if wanted != found or max(found.values()) > 1:
        raise AssertionError(f"missing: {[*(wanted - found)][:3]}, too many: {[*(found - wanted)][:3]}")
    return summary


def shown(line: bytes) -> str:
    """As much of a line as a dead letter shows at least."""
    return line.decode(errors="replace")[:_SHOWN_CHARACTERS]


def written_id(value: object) -> str:
    """An id as JSON text, in one form."""
    return json.dumps(value, sort_keys=True)


def annotated_ids(output: pathlib.Path) -> Iterator[str]:
    """The ids of the annotated rows. In Parquet the column is JSON text, as the ids are of many kinds."""
    for path in output.glob("annotations-*"):
        if path.suffix == ".parquet":
            ids = pl.read_parquet(path, columns=["id"])["id"]
            yield from (written_id(json.loads(value)) for value in ids)
        else:
            with path.open(encoding="utf-8") as stream:
                yield from (written_id(json.loads(line)["id"]) for line in stream)


def run(folder: pathlib.Path, form: str) -> pathlib.Path:
    """Annotate the lines of `folder` with a model that answers at once; the output folder."""
    labels = [{"name": "negative"}, {"name": "positive"}]
    job = {
        "name": "fuzz",
        "input": {"path": str(folder / "in.jsonl"), "id": "id", "task": "kind"},
        "output": {"path": str(folder / "out"), "format": form},
        "tasks": [
            {"name": "mood", "instruction": "Judge.", "labels": labels},
            {"name": "topic", "kind": "multi_label", "instruction": "Judge.", "labels": labels},
        ],
        "models": {"small": {"engine": "llama_cpp", "source": str(gguf_file(folder))}},
        "routing": {"default": "small"},
    }
    pipelines.open_models.LlamaCppModelHandler = fake_handler  # type: ignore[assignment,misc]  # the stub
    run_job(parse_job(json.dumps(job)), [], limit=None, fresh=False, console=Console(file=io.StringIO()))
    return folder / "out"


def main(arguments: list[str]) -> int:
    """Write the lines, run the job, check its output, print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lines", nargs="?", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--format", choices=["parquet", "jsonl"], default="parquet")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "in.jsonl").write_bytes(b"\n".join(fuzzed_lines(given.lines, given.seed)))
        started = time.monotonic()
        output = run(folder, given.format)
        seconds = time.monotonic() - started
        summary = check(read_lines(folder / "in.jsonl"), output)
    figures = {
        "lines": given.lines,
        "format": given.format,
        **summary["records"],
        "reasons": summary["dead_letters"],
        "seconds": round(seconds, 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
