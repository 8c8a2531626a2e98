"""A plan against what came out: cost, time, and the share of records that the large model was asked about.

    python -m tools.measure_plan --data FOLDER --dataset sst2 --model gemma3 --rows 1500 --repeats 10

FOLDER holds NAME.parquet files with the columns id, text, label and split. The first --rows rows of the
split, in a random order, are planned and run by the command, as a user would. Each repetition gives the
records new ids, so that the plan draws another pilot, and starts with a copy of the first run's journal, so
that no model has to answer twice; its time says nothing. The large model is a server on loopback that gives
the true label after --latency seconds and bills a token for four characters, or with --large an endpoint.
With --target the gate is certified; --calibrated plans after `tekizai calibrate`. --folder keeps the
outputs, and goes on with them later.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import yaml

from router.forecast import Answered, Observed, Pace, Workload, forecast
from router.pilot import pilot_key
from router.records import Position, Record
from tests.fake_llm_server import Behaviour, FakeLlmServer
from tools.measure import SOURCES, TASKS, draw_examples

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PRICE = {"input_usd_per_million_tokens": "0.25", "output_usd_per_million_tokens": "2.00"}
_REDRAWS = 300


@dataclass(frozen=True)
class Outcome:
    """A plan and the run that followed it."""

    plan: dict[str, Any]
    summary: dict[str, Any]
    seconds: float
    """What the command took, which the summary's own figure is a part of."""

    @property
    def usd(self) -> float:
        """Planned cost by what came out."""
        planned = Decimal(self.plan["ways"]["this_job"]["usd"]["expected"])
        return float(planned / Decimal(self.summary["cost_usd"]["total"]))

    @property
    def time(self) -> float:
        """Planned time by what came out."""
        planned: float = self.plan["ways"]["this_job"]["seconds"]["expected"]
        return planned / float(self.summary["seconds"])

    def holds(self, key: str) -> bool:
        """Whether what came out lies in the planned interval."""
        found = self.summary["plan"]
        return bool(float(found[key]["low"]) <= float(found["actual"][key]) <= float(found[key]["high"]))


def gold_server(rows: pl.DataFrame, latency: float) -> FakeLlmServer:
    """A large model that is always right, slow as a distant one, and bills what was sent."""
    gold = dict(zip(rows["text"], rows["label"], strict=True))

    def behave(request: Mapping[str, Any]) -> Behaviour:
        said = json.dumps({"label": gold[request["messages"][-1]["content"]]})
        sent = sum(len(message["content"]) for message in request["messages"]) // 4
        usage = {"prompt_tokens": sent, "completion_tokens": len(said) // 4, "total_tokens": sent}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        body = json.dumps({"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage})
        return Behaviour(body=body.encode(), delay_seconds=latency)

    return FakeLlmServer(behave=behave)


@contextlib.contextmanager
def large_model(arguments: argparse.Namespace, rows: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """The large model's section of the job file."""
    shared = {"engine": "openai", "model": "large", "timeout_seconds": 180, "price": _PRICE}
    if arguments.large:
        yield {**shared, "base_url": arguments.large, "concurrency": 2}
        return
    with gold_server(rows, arguments.latency) as server:
        yield {**shared, "base_url": server.base_url, "concurrency": 8}


def write_job(
    arguments: argparse.Namespace, data: pl.DataFrame, large: Mapping[str, Any], folder: pathlib.Path
) -> pathlib.Path:
    """The job file, over folder/in.parquet."""
    name, instruction = TASKS[arguments.dataset]
    labels = sorted(data["label"].unique())
    train = data.filter(pl.col("split") == "train")
    gate = {"target": arguments.target} if arguments.target else {"min_confidence": arguments.gate}
    small = {"engine": "llama_cpp", "source": SOURCES[arguments.model], "threads": 1}
    job = {
        "name": f"plan {arguments.dataset}",
        "input": {"path": str(folder / "in.parquet"), "id": "id"},
        "output": {"path": str(folder / "out")},
        "tasks": [
            {
                "name": name,
                "instruction": instruction,
                "labels": [{"name": label} for label in labels],
                "examples": draw_examples(train, labels, arguments.examples),
            }
        ],
        "models": {"small": small, "large": dict(large)},
        "routing": {"default": "small", "escalate_to": "large", "gate": gate},
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


def command(*arguments: str) -> str:
    """Run the command; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def once(job: pathlib.Path, output: pathlib.Path, *, calibrated: bool, options: list[str]) -> Outcome:
    """Plan and run to an output folder."""
    to = ("--output", str(output))
    if calibrated:
        command("calibrate", str(job), *to, *options)
    plan = json.loads(command("plan", str(job), *to, "--json", *options))
    started = time.monotonic()
    command("run", str(job), *to, *options)
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    return Outcome(plan, summary, time.monotonic() - started)


def earlier(output: pathlib.Path) -> Outcome:
    """What was planned and run before."""
    plan = json.loads((output / "state" / "plan.json").read_text(encoding="utf-8"))
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    return Outcome(plan, summary, float(summary["seconds"]))


def repeated(arguments: argparse.Namespace, folder: pathlib.Path) -> list[Outcome]:
    """The first plan and run, and those with other ids, which find its answers in their journals."""
    data = pl.read_parquet(arguments.data / f"{arguments.dataset}.parquet")
    split = data.filter(pl.col("split") == arguments.split)
    rows = split.sample(min(arguments.rows, len(split)), shuffle=True, seed=arguments.seed)
    options = [] if arguments.workers == 1 else ["--", f"--direct_num_workers={arguments.workers}"]
    options += [] if arguments.workers == 1 else ["--direct_running_mode=multi_processing"]
    found = []
    with large_model(arguments, rows) as large:
        job = write_job(arguments, data, large, folder)
        for number in range(arguments.repeats):
            ids = [f"{number}-{place}" for place in range(len(rows))]
            texts = rows.select(pl.Series("id", ids), "text")
            texts.write_parquet(folder / "in.parquet", row_group_size=256)
            output = folder / f"out-{number}"
            if (output / "summary.json").exists():
                found.append(earlier(output))
                continue
            if number:
                shutil.copytree(folder / "out-0" / "state" / "journal", output / "state" / "journal")
                shutil.copy(folder / "out-0" / "state" / "manifest.json", output / "state")
            found.append(once(job, output, calibrated=arguments.calibrated, options=options))
            sys.stderr.write(f"{number}: cost {found[-1].usd:.3f}, time {found[-1].time:.3f}\n")
    return found


def redrawn(output: pathlib.Path, size: int) -> str:
    """Of `_REDRAWS` pilots drawn anew from the records of a run, how many intervals hold what came out."""
    rows = pl.read_parquet(output / "annotations-*.parquet")
    hard = (rows["annotation"].struct.field("status") != "kept").to_list()
    answered = Answered((1.0,) * 9, (1.0,) * 9, (1,) * 9, 9)
    work, held = Workload(len(hard), 1.0, "small", "large"), 0
    for number in range(_REDRAWS):
        records = [Record(Position(0, at), f"{number}-{at}", "", "", None, b"") for at in range(len(hard))]
        order = sorted(range(len(hard)), key=lambda at: pilot_key(records[at], own_id=True))
        seen = sum(hard[at] for at in order[:size])
        paths = Counter({("small",): size - seen, ("small", "large"): seen})
        sizes = {"small": (1,) * size, "large": (1,) * seen}
        found = forecast(Observed(paths, sizes, {"small": answered, "large": answered}), work, Pace())
        held += found.asked["large"].low <= sum(hard) <= found.asked["large"].high
    return f"{held} of {_REDRAWS}"


def main() -> int:
    """Measure, and print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--dataset", choices=sorted(TASKS), required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--model", choices=sorted(SOURCES), required=True)
    parser.add_argument("--examples", type=int, default=4, help="examples per label, drawn from train")
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--gate", type=float, default=0.8)
    parser.add_argument("--target", type=float)
    parser.add_argument("--calibrated", action="store_true")
    parser.add_argument("--latency", type=float, default=0.3)
    parser.add_argument("--large", help="base URL of an endpoint in place of the loopback server")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=pathlib.Path, help="where outputs are kept")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name) if arguments.folder is None else arguments.folder
        folder.mkdir(parents=True, exist_ok=True)
        found = repeated(arguments, folder)
        drawn = found[0].plan["pilot"]["records"]
        again = None if arguments.target else redrawn(folder / "out-0", drawn)
    first = found[0]
    off = [abs(one.usd - 1.0) for one in found]
    told = {
        **{key: getattr(arguments, key) for key in ("dataset", "model", "rows", "target", "gate")},
        "workers": arguments.workers,
        "pilot": first.plan["pilot"]["records"],
        "seconds": first.summary["seconds"],
        "planned_seconds_by_actual": round(first.time, 3),
        "planned_usd_by_actual": round(first.usd, 3),
        "usd_off_median": round(median(off), 3),
        "usd_off_most": round(max(off), 3),
        "escalated": round(first.summary["plan"]["actual"]["escalated"], 3),
        "escalated_in_interval": sum(one.holds("escalated") for one in found),
        "usd_in_interval": sum(one.holds("usd") for one in found),
        "repeats": len(found),
        "escalated_in_interval_of_pilots_redrawn": again,
        "width": round(
            float(np.mean([one.plan["escalated"]["high"] - one.plan["escalated"]["low"] for one in found])), 3
        ),
    }
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
