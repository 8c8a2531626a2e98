"""What the last stage of a job, and its report, take in time, memory and size.

    python -m tools.measure_report 1000000 [--jsonl]

Writes an output of so many records (`tests.big_output`), which ends with a job's last stage: tables, summary
and page. Then builds the page anew with `tekizai report`, in a process of its own; with `--jsonl` from the
same rows as JSON Lines. Prints seconds, the peak memory of both processes, and bytes.
"""

from __future__ import annotations

import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import orjson
import pyarrow.parquet as pq

from router.records import write_money
from tests.big_output import Night, write_output


def build(folder: pathlib.Path) -> dict[str, float]:
    """Build the page of an output anew."""
    page = folder / "report.html"
    page.unlink(missing_ok=True)
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "pipelines.cli", "report", str(folder)], check=True)
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    return {"seconds": round(seconds, 1), "peak_mib": peak, "page_bytes": page.stat().st_size}


def write_lines(folder: pathlib.Path) -> None:
    """Put JSON Lines in the place of the annotations."""
    for path in sorted(folder.glob("annotations-*.parquet")):
        with path.with_suffix(".jsonl").open("wb") as lines:
            for batch in pq.ParquetFile(path).iter_batches(20_000):
                lines.writelines(orjson.dumps(row, default=write_money) + b"\n" for row in batch.to_pylist())
        path.unlink()


def main(arguments: list[str]) -> int:
    """Measure an output of each size."""
    for size in map(int, [one for one in arguments if one != "--jsonl"] or ["1000000"]):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name) / "out"
            write_output(folder, Night(size))
            if "--jsonl" in arguments:
                write_lines(folder)
            last_stage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            figures = {"records": size, "last_stage_peak_mib": last_stage, **build(folder)}
            sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
