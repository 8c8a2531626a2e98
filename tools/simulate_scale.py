"""What a job of very many records asks of one worker: memory and time of finding repeats and of the journal.

    python -m tools.simulate_scale dedupe --records 1000000000 --copies 0.1
    python -m tools.simulate_scale journal --answers 10000000 --folder FOLDER
    python -m tools.simulate_scale index --answers 100000000

`dedupe` finds the copies in one of the 64 buckets that so many records are grouped into. `journal` writes a
journal of so many answers, 250 bytes each, and opens it as a worker process does that goes on with a job.
`index` fills the same index in memory, without files, where the disk has no room for them. Keys are random,
as digests are. Each prints one JSON line; run each in a process of its own, because it tells the peak memory.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import resource
import sys
import time
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np

from router.journal import Entry, write_entry
from router.records import Answer, LabelScores, Usage
from router.repeats import KEY_BYTES, find_copies
from transforms.journal_index import AnswerIndex

if TYPE_CHECKING:
    import numpy.typing as npt

_BUCKETS = 64
_POSITION_BYTES = 12
_BLOCK = 65_536
"""Entries that a worker of the first pass sends at once."""
_LOOKS = 2_000


def dedupe(records: int, copies: float) -> dict[str, Any]:
    """Find the copies in one bucket; `copies` is the share of records whose text came before."""
    size = records // _BUCKETS
    before, blocks = _peak(), _entries(size, round(size * copies))
    held, started = _peak(), time.perf_counter()
    found = sum(1 for _ in find_copies(blocks, frozenset()))
    seconds = time.perf_counter() - started
    return {
        "records": records,
        "entries_of_a_bucket": size,
        "positions_found": found,
        "seconds": round(seconds, 1),
        "entries_mib": held - before,
        "peak_mib": _peak(),
    }


def _entries(size: int, copies: int) -> list[bytes]:
    draw = np.random.default_rng(7)
    keys = draw.integers(0, 256, (size, KEY_BYTES), np.uint8)
    keys[size - copies :] = keys[draw.integers(0, size - copies, copies)]
    blocks = []
    for begin in range(0, size, _BLOCK):
        part = keys[begin : begin + _BLOCK]
        places = np.arange(begin, begin + len(part), dtype=">u8").view(np.uint8).reshape(-1, 8)
        file = np.zeros((len(part), _POSITION_BYTES - 8), np.uint8)
        blocks.append(np.concatenate((part, file, places), axis=1).tobytes())
    return blocks


def journal(answers: int, folder: pathlib.Path) -> dict[str, Any]:
    """Write a journal file, open it, and find answers in it."""
    path, draw = folder / "slm-0123456789abcdef-simulated.jsonl", np.random.default_rng(7)
    keys = draw.integers(0, 256, (answers, KEY_BYTES), np.uint8)
    try:
        _write(path, keys)
        before, started = _peak(), time.perf_counter()
        index = AnswerIndex(fsspec.filesystem("file"), [str(path)])
        seconds = time.perf_counter() - started
        found = {
            "answers": len(index),
            "bytes": path.stat().st_size,
            "open_seconds": round(seconds, 1),
            "open_peak_mib": _peak() - before,
        }
        return found | _looks(index, keys, draw)
    finally:
        path.unlink(missing_ok=True)


def _write(path: pathlib.Path, keys: npt.NDArray[np.uint8]) -> None:
    scores = LabelScores(np.array([0.123456789, 0.876543211]))
    answer = Answer("small", Usage(55, 20, 3, 0.2512345, at=1795000000.125), scores=scores)
    line = write_entry(Entry(bytes(KEY_BYTES), answer))
    begin = line.index(b"0" * 2 * KEY_BYTES)
    head, tail = line[:begin], line[begin + 2 * KEY_BYTES :]
    with path.open("wb") as stream:
        stream.write(b'{"format":1,"fingerprint":"0123456789abcdef","model":"small","task":"t"}\n')
        for key in keys:
            stream.write(head + key.tobytes().hex().encode() + tail)


def index(answers: int) -> dict[str, Any]:
    """Fill an index without files, as opening a journal of so many answers does."""
    draw = np.random.default_rng(7)
    found = AnswerIndex(fsspec.filesystem("file"), [])
    keys = draw.integers(0, 1 << 63, answers, np.uint64)
    places = np.zeros((answers, 3), np.int64)
    started = time.perf_counter()
    found._merge(keys, places)  # noqa: SLF001 - what opening does at its end
    return {
        "answers": len(found),
        "sort_seconds": round(time.perf_counter() - started, 1),
        "peak_mib": _peak(),
    }


def _looks(index: AnswerIndex, keys: npt.NDArray[np.uint8], draw: np.random.Generator) -> dict[str, Any]:
    wanted = [keys[at].tobytes() for at in draw.integers(0, len(keys), _LOOKS)]
    started = time.perf_counter()
    missing = sum(index.find(key, "small") is None for key in wanted)
    return {
        "find_microseconds": round((time.perf_counter() - started) / _LOOKS * 1e6, 1),
        "missing": missing,
    }


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> int:
    """Simulate one part and print its line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["dedupe", "journal", "index"])
    parser.add_argument("--records", type=int, default=100_000_000)
    parser.add_argument("--copies", type=float, default=0.1)
    parser.add_argument("--answers", type=int, default=1_000_000)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path())
    arguments = parser.parse_args()
    if arguments.part == "dedupe":
        found = dedupe(arguments.records, arguments.copies)
    elif arguments.part == "journal":
        found = journal(arguments.answers, arguments.folder)
    else:
        found = index(arguments.answers)
    sys.stdout.write(json.dumps({"part": arguments.part, **found}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
