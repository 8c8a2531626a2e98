"""What the last stage of a job, and its report, take in time, memory and size.

    python -m tools.measure_report 1000000

Writes an output of so many records (`tests.big_output`), which ends with a job's last stage: tables, summary
and page. Then builds the page anew with `tekizai report`, in a process of its own. Prints seconds, the peak
memory of both processes, and bytes.
"""

from __future__ import annotations

import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

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


def main(arguments: list[str]) -> int:
    """Measure an output of each size."""
    for size in map(int, arguments or ["1000000"]):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name) / "out"
            write_output(folder, Night(size))
            last_stage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            figures = {"records": size, "last_stage_peak_mib": last_stage, **build(folder)}
            sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
