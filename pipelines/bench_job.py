"""One job of a benchmark in a process of its own: `python -m pipelines.bench_job`.

It reads what to run from stdin (JSON of a `JobRun`) and prints its figures as JSON.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from pipelines.annotate import Plan

GATE = 0.55
"""An instant model is as likely to be this unsure as a digest is to fall between .45 and .55: one in ten."""


@dataclass(frozen=True, slots=True)
class JobRun:
    """A job to run."""

    input: str
    """Path of the JSON Lines."""
    output: str
    source: str | None = None
    """The model's source; None: models that answer in no time, with rules, a gate and a larger model."""
    find: str = "needed"
    """What the router finds: all (a job's default), or what the rules need, here the language."""
    processes: int = 0
    """Worker processes; 0: in the process of the job itself, as `tekizai run` does by default."""
    sample: bool = False
    """Whether to look where the time goes."""


def job_of(run: JobRun) -> dict[str, Any]:
    """The job file."""
    model: dict[str, Any] = {"engine": "llama_cpp", "threads": 1}
    job: dict[str, Any] = {
        "name": "bench",
        "input": {"path": run.input, "id": "id"},
        "output": {"path": run.output},
        "router": {"find": run.find},
        "tasks": [
            {
                "name": "sentiment",
                "instruction": "Classify the sentiment of the review.",
                "labels": [{"name": "negative"}, {"name": "positive"}],
            }
        ],
    }
    if run.source is not None:
        # So few records would all be asked in the sample, by one worker.
        calibration = {"label_free": False}
        models = {"small": {**model, "source": run.source}}
        return {**job, "models": models, "routing": {"default": "small"}, "calibration": calibration}
    folder = pathlib.Path(run.input).parent
    names = ("small", "other", "large")
    return {
        **job,
        "models": {name: {**model, "source": str(folder / f"{name}.gguf")} for name in names},
        "routing": {
            "default": "small",
            "escalate_to": "large",
            "rules": [{"when": {"languages": ["ja", "zh", "ko"]}, "use": "other"}],
            "gate": {"min_confidence": GATE},
        },
    }


def instant(plan: Plan) -> Plan:
    """The plan with models that answer in no time."""
    from pipelines.open_models import open_models  # noqa: PLC0415 - Beam takes seconds
    from transforms.bench_model import InstantHandler  # noqa: PLC0415 - see above

    tasks = {task.name: task for task in plan.job.tasks}
    models = open_models(plan.opening)
    handlers = {
        name: InstantHandler(one.local, tasks, models.journals[name])
        for name, one in plan.handlers.items()
        if hasattr(one, "local")
    }
    return replace(plan, handlers=handlers)


def run_job(run: JobRun) -> dict[str, Any]:
    """Run the job; its figures. What starts once (loading Beam) is not in the seconds."""
    from pipelines.bench_stages import STAGES  # noqa: PLC0415 - see `instant`
    from pipelines.prepare import prepare, start  # noqa: PLC0415 - see `instant`
    from pipelines.runner import options_of, run_plan  # noqa: PLC0415 - see `instant`
    from pipelines.show_run import read_summary  # noqa: PLC0415 - see `instant`
    from router.job_loading import parse_job  # noqa: PLC0415 - see `instant`
    from transforms.stack_samples import StackSamples  # noqa: PLC0415 - see `instant`

    options = []
    if run.processes:
        options = ["--direct_running_mode=multi_processing", f"--direct_num_workers={run.processes}"]
    samples = StackSamples(STAGES)
    started, cpu = time.perf_counter(), time.process_time()
    with samples if run.sample else nullcontext():
        plan = prepare(parse_job(json.dumps(job_of(run))), workers=max(1, run.processes))
        if run.source is None:
            plan = instant(plan)
        start(plan)
        run_plan(plan, options_of(options))
    seconds, busy = time.perf_counter() - started, time.process_time() - cpu
    summary = read_summary(run.output)
    return {
        "records": summary["records"],
        "status": summary["status"],
        "seconds": seconds,
        "cpu_seconds": busy,
        "model_seconds": sum(one["seconds"] for one in summary["by_model"].values()),
        "stages": samples.shares(),
    }


def main() -> None:
    """Run what stdin says."""
    from pipelines.cli_common import errors  # noqa: PLC0415 - only for the process of its own
    from pipelines.local_worker import end_with  # noqa: PLC0415 - see above

    # A benchmark that was stopped leaves no job behind that keeps the machine busy.
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    # Before Beam is imported, which already complains in the log.
    try:
        with errors(verbose=False):
            figures = run_job(JobRun(**json.load(sys.stdin)))
            sys.stdout.write(json.dumps(figures))
    except typer.Exit as end:
        sys.exit(end.exit_code)


if __name__ == "__main__":
    main()
