"""Peak memory must not grow with the input: the job, its model stubbed out, on two sizes of input.

    python -m tools.memory 20000 200000

Prints, for each size, the records, the seconds and the peak resident memory of a run in its own process.
"""

from __future__ import annotations

import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import pipelines.open_models
from pipelines.prepare import prepare
from pipelines.runner import options_of, run_plan
from pipelines.show_run import read_summary
from router.job_loading import parse_job
from tests.fake_models import fake_handler, gguf_file

_WORDS = (
    "the parcel came late and the lid was cracked but the colour is lovely and my daughter likes it a lot"
)


def run(size: int) -> None:
    """Annotate `size` records with a model that answers at once, and print the figures."""
    pipelines.open_models.LlamaCppModelHandler = fake_handler  # type: ignore[assignment,misc]  # the stub
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with (folder / "in.jsonl").open("w", encoding="utf-8") as stream:
            stream.writelines(
                json.dumps({"id": f"r{number}", "text": f"{number}: {_WORDS}", "price": number / 7}) + "\n"
                for number in range(size)
            )
        job = {
            "name": "memory",
            "input": {"path": str(folder / "in.jsonl"), "id": "id"},
            "output": {"path": str(folder / "out")},
            "tasks": [
                {"name": "t", "instruction": "Judge.", "labels": [{"name": "negative"}, {"name": "positive"}]}
            ],
            "models": {"small": {"engine": "llama_cpp", "source": str(gguf_file(folder))}},
            "routing": {"default": "small"},
        }
        started = time.monotonic()
        run_plan(prepare(parse_job(json.dumps(job)), workers=1), options_of([]))
        summary = read_summary(str(folder / "out"))
        figures = {
            "records": summary["records"]["annotated"],
            "seconds": round(time.monotonic() - started, 1),
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        sys.stdout.write(json.dumps(figures) + "\n")


def main(arguments: list[str]) -> int:
    """Run each size in a process of its own."""
    if len(arguments) == 1:
        run(int(arguments[0]))
        return 0
    for size in arguments or ["20000", "200000"]:
        subprocess.run([sys.executable, "-m", "tools.memory", size], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
