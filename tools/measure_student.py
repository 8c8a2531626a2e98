"""Measure what the student saves: the same job with a target, without it and with it.

    python -m tools.measure_student --data FOLDER --datasets trec,emotion --records 1500

FOLDER holds NAME.parquet files with the columns text and label. A uniform sample of each is annotated by a
small model; the large model is simulated: an endpoint on this machine that answers the gold label and costs
nothing. The second job finds the small model's answers in the first one's journal, with the time that they
took, so both are compared on the same answers. Prints one JSON line a job: on how many records each model was
asked and for how many seconds, who answered the records outside the pilot, and how many answers are the large
model's (`right`: outside the pilot, of the kept ones, and of the student's, with exact 95 % intervals).
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from typing import Any

import polars as pl
import yaml

from router.evaluation import share
from tests.fake_llm_server import FakeLlmServer
from tools.measure import SOURCES, draw_examples

_SEED = 20240607
_INSTRUCTIONS = {
    "trec": "Classify what kind of thing the question asks for.",
    "emotion": "Classify the emotion of the message.",
    "finance": "Classify the sentiment of the financial news for investors.",
    "banking77": "Classify the intent of the bank customer's message.",
}


def job_of(
    arguments: argparse.Namespace, name: str, rows: pl.DataFrame, folder: pathlib.Path
) -> dict[str, Any]:
    """The job over the records in the folder, without a student; the examples are of other rows."""
    labels = sorted(rows["label"].unique())
    source = rows.tail(len(rows) - arguments.records)
    examples = draw_examples(source, labels, arguments.examples)
    small = {"engine": "llama_cpp", "source": SOURCES[arguments.model], "threads": 1}
    return {
        "name": f"student-{name}",
        "input": {"path": str(folder / "in.parquet"), "id": "id"},
        "tasks": [
            {
                "name": "topic",
                "instruction": _INSTRUCTIONS.get(name, "Classify the text."),
                "labels": [{"name": label} for label in labels],
                "examples": examples,
            }
        ],
        "models": {"small": small},
        "router": {"find": "needed"},
        "calibration": {
            "search_seconds": 0,
            "pilot": {name: size for name in ("train", "certify") if (size := getattr(arguments, name))},
        },
    }


def run(job: dict[str, Any], folder: pathlib.Path, student: str, url: str, target: float) -> dict[str, Any]:
    """Run the job with or without a student; what it came to."""
    output = folder / student
    if student == "auto":
        # The journal's folders are named by what decides the answers, which is the same.
        shutil.copytree(folder / "off" / "state" / "journal", output / "state" / "journal")
    price = {"input_usd_per_million_tokens": "0", "output_usd_per_million_tokens": "0"}
    large = {"engine": "openai", "model": "gold", "base_url": url, "price": price}
    gate = {"target": target, "student": student}
    routing = {"default": "small", "escalate_to": "large", "gate": gate}
    whole = {**job, "models": {**job["models"], "large": large}, "routing": routing}
    path = folder / f"{student}.yaml"
    path.write_text(yaml.safe_dump({**whole, "output": {"path": str(output)}}, sort_keys=False))
    subprocess.run([sys.executable, "-m", "pipelines.cli", "run", str(path)], check=True, stdout=sys.stderr)
    return outcome(folder, output)


def outcome(folder: pathlib.Path, output: pathlib.Path) -> dict[str, Any]:
    """Who answered, what that took, and how often it is the gold label."""
    summary = json.loads((output / "summary.json").read_text())
    found = pl.read_parquet(str(output / "annotations-*.parquet")).join(
        pl.read_parquet(folder / "gold.parquet"), on="id"
    )
    said = found.with_columns(
        pl.col("annotation").struct.field(name) for name in ("label", "status", "model")
    ).with_columns((pl.col("label") == pl.col("gold")).alias("right"))
    outside = said.filter(~pl.col("id").is_in(_pilot(output, summary["gate"]["pilot"])))
    kept = outside.filter(pl.col("status") == "kept")
    taken = kept.filter(pl.col("model") == "student")
    by_model = {name: [used["asked"], used["seconds"]] for name, used in summary["by_model"].items()}
    local = sum(seconds for name, (_, seconds) in by_model.items() if name != "large")
    rates = {"all": said, "outside": outside, "kept": kept, "student": taken}
    return {
        "pilot": summary["gate"]["pilot"],
        "certified": summary["gate"]["certified"],
        "threshold": summary["gate"]["threshold"],
        "outside_answered_by": dict(Counter(outside["model"])),
        "asked": by_model,
        "local_seconds": round(local, 1),
        "student": summary["gate"].get("student"),
        "right": {name: _rate(rows) for name, rows in rates.items()},
    }


def _pilot(output: pathlib.Path, sizes: dict[str, int]) -> list[str]:
    """Ids of the records that the large model answered for the pilot."""
    lines = (output / "state/calibration/pilot.jsonl").read_text().splitlines()[1:]
    used = sizes["examples"] + sizes["train"] + sizes["certify"]
    return [json.loads(line)["id"] for line in lines[:used]]


def _rate(rows: pl.DataFrame) -> dict[str, Any]:
    one = share(int(rows["right"].sum()), len(rows))
    return {"records": one.of, "rate": one.rate, "low": one.low, "high": one.high}


def measure(arguments: argparse.Namespace, name: str) -> None:
    """Both jobs of a dataset."""
    rows = pl.read_parquet(arguments.data / f"{name}.parquet").select("text", pl.col("label").cast(pl.String))
    rows = rows.unique("text", maintain_order=True).sample(fraction=1.0, shuffle=True, seed=_SEED)
    rows = rows.with_row_index("id").with_columns(pl.format("r{}", "id").alias("id"))
    sample = rows.head(arguments.records)
    gold = dict(zip(sample["text"], sample["label"], strict=True))

    def answer(text: str) -> str:
        # The message may say more than the text, and a text may hold another.
        return json.dumps({"label": gold[max((one for one in gold if one in text), key=len)]})

    with tempfile.TemporaryDirectory() as place, FakeLlmServer(answer=answer) as server:
        folder = pathlib.Path(place)
        sample.select("id", "text").write_parquet(folder / "in.parquet", row_group_size=256)
        sample.select("id", pl.col("label").alias("gold")).write_parquet(folder / "gold.parquet")
        job = job_of(arguments, name, rows, folder)
        for student in ("off", "auto"):
            found = run(job, folder, student, server.base_url, arguments.target)
            shown = {"dataset": name, "target": arguments.target, "gate.student": student, **found}
            sys.stdout.write(json.dumps(shown) + "\n")
            sys.stdout.flush()


def main() -> None:
    """Read the arguments and measure each dataset."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--datasets", default="trec,emotion")
    parser.add_argument("--records", type=int, default=1500)
    parser.add_argument("--train", type=int, default=0, help="records of the pilot; 0: as a job chooses")
    parser.add_argument("--certify", type=int, default=0)
    parser.add_argument("--examples", type=int, default=4, help="of each label, in the small model's prompt")
    parser.add_argument("--model", choices=sorted(SOURCES), default="gemma3")
    parser.add_argument("--target", type=float, default=0.95)
    arguments = parser.parse_args()
    for name in arguments.datasets.split(","):
        measure(arguments, name)


if __name__ == "__main__":
    main()
