"""What the pipeline itself costs: a job whose answers are all in the journal, run again and again.

    python -m tools.pipeline_rate --records 20000 --turns 3 --find all

A first run, with a stub in the model's place that answers at once, fills the journal.
Prints one JSON line for it and for each run after it: records, seconds, records per second, processor seconds
of this process, and its peak resident memory so far.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import random
import resource
import sys
import tempfile
import time
from typing import Any

import pipelines.open_models
from pipelines.prepare import prepare
from pipelines.runner import options_of, run_plan
from pipelines.show_run import read_summary
from router.job_loading import parse_job
from tests.fake_models import fake_handler, gguf_file

_WORDS = "the film plot cast is was good bad slow funny cold never always but and of".split()  # noqa: SIM905 - a list would take a line for each


def write_input(path: pathlib.Path, records: int) -> None:
    """Short texts, no two alike, as one line each."""
    draw = random.Random(7)  # noqa: S311 - no secret
    with path.open("w", encoding="utf-8") as stream:
        for number in range(records):
            text = f"{' '.join(draw.choices(_WORDS, k=draw.randint(6, 24)))} {number}"
            row = {"id": f"r{number}", "sentence": text, "label": draw.choice(["negative", "positive"])}
            stream.write(json.dumps(row) + "\n")


def job_of(folder: pathlib.Path, find: str) -> dict[str, Any]:
    """A job of one model and one task."""
    return {
        "name": "rate",
        "input": {"path": str(folder / "in.jsonl"), "text": "sentence", "id": "id", "gold": "label"},
        "output": {"path": str(folder / "out")},
        "tasks": [
            {"name": "t", "instruction": "Judge.", "labels": [{"name": "negative"}, {"name": "positive"}]}
        ],
        "models": {"small": {"engine": "llama_cpp", "source": str(gguf_file(folder)), "threads": 1}},
        "routing": {"default": "small"},
        "router": {"find": find},
    }


def run(folder: pathlib.Path, find: str) -> dict[str, Any]:
    """Run the job, whatever of it is in the journal, and measure that."""
    plan = prepare(parse_job(json.dumps(job_of(folder, find))), workers=1)
    started, used = time.monotonic(), time.process_time()
    run_plan(plan, options_of([]))
    seconds, processor = time.monotonic() - started, time.process_time() - used
    records = read_summary(str(folder / "out"))["records"]["annotated"]
    return {
        "records": records,
        "seconds": round(seconds, 2),
        "records_per_second": round(records / seconds),
        "processor_seconds": round(processor, 2),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> int:
    """Measure and print the lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--find", choices=["all", "needed"], default="all")
    arguments = parser.parse_args()
    pipelines.open_models.LlamaCppModelHandler = fake_handler  # type: ignore[assignment,misc]  # the stub
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_input(folder / "in.jsonl", arguments.records)
        for turn in range(arguments.turns + 1):
            figures = {"run": "first" if turn == 0 else "again", **run(folder, arguments.find)}
            sys.stdout.write(json.dumps(figures) + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
