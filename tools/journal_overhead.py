"""What the journal costs an SLM-only run: the same records with and without it, in turns.

    python -m tools.journal_overhead --model gemma3 --records 200

Prints one JSON line: median records per second of both ways over turns of 20 records, their ratio, the bytes
a record takes in the journal, and how many answers a second are found again.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import sys
import tempfile
import time
from decimal import Decimal
from typing import TYPE_CHECKING

from router.job import LlamaCppModel
from router.records import Position, Record, Route, Work
from tools.measure import SOURCES
from transforms.bench_engine import TASK
from transforms.journal import JournalOf, JournalPlace
from transforms.local_scorer import LocalModel
from transforms.slm_handler import LlamaCppModelHandler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transforms.slm_handler import LocalSession

_TURN = 20
_WORDS = "the acting is fine and the plot takes its time but somehow none of it stays with you afterwards"


def works(count: int) -> list[Work]:
    """Records of about twenty tokens, no two alike."""
    records = [
        Record(Position(0, number), f"r{number}", f"{number} {_WORDS}", TASK.name, None, b"")
        for number in range(count)
    ]
    return [Work(record, Route("en", TASK.name, "small", None), "small") for record in records]


def turn(handler: LlamaCppModelHandler, session: LocalSession, batch: Sequence[Work]) -> float:
    """Records per second."""
    started = time.perf_counter()
    for work in batch:
        list(handler.run_inference([work], session))
    return len(batch) / (time.perf_counter() - started)


def main() -> int:
    """Measure and print the line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=sorted(SOURCES), default="gemma3")
    parser.add_argument("--records", type=int, default=200)
    arguments = parser.parse_args()
    model = LlamaCppModel(engine="llama_cpp", source=SOURCES[arguments.model], threads=1)
    local = LocalModel("small", model, 1, Decimal("0.05"))
    with tempfile.TemporaryDirectory() as folder:
        of = JournalOf(JournalPlace(folder), "slm", "small", {TASK.name: "00"})
        plain, kept = (LlamaCppModelHandler(local, {TASK.name: TASK}, each) for each in (None, of))
        without, within = plain.load_model(), kept.load_model()
        for session in (without, within):
            session.scorer.score(TASK.name, "warm up")
        rates: dict[str, list[float]] = {"without": [], "with": []}
        all_works = works(arguments.records)
        for begin in range(0, len(all_works), _TURN):
            batch = all_works[begin : begin + _TURN]
            # By turns the one and the other first, because a machine may get slower meanwhile.
            ways = [("without", plain, without), ("with", kept, within)]
            for name, handler, session in ways if begin // _TURN % 2 else ways[::-1]:
                rates[name].append(turn(handler, session, batch))
        size = sum(path.stat().st_size for path in pathlib.Path(folder).glob("*.jsonl"))
        found = turn(kept, kept.load_model(), all_works)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    figures = {
        "model": arguments.model,
        "records_per_second": {name: round(value, 2) for name, value in medians.items()},
        "ratio": round(medians["with"] / medians["without"], 3),
        "bytes_a_record": round(size / arguments.records),
        "found_again_per_second": round(found),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
