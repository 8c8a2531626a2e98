"""Measure the promise for written answers: a small model writes one word, a checker compares it with gold.

    python -m tools.measure_written_gate --data sst2.parquet --model gemma3 --records 600 --output DIR

The file has the columns text, label and split. Examples are of the train split, records of the test split.
The large model is simulated: an endpoint on this machine that answers the gold label. The job has
`check: exact`, a target and `oracle: llm`, so what is kept agrees with gold as far as it agrees with that
model. Prints one JSON line: the certificate, and of the records outside the pilot how many are kept, and how
many of all and of the kept ones pass the check (with exact 95 % intervals).
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
from typing import Any

import polars as pl
import yaml

from router.evaluation import share
from tests.fake_llm_server import FakeLlmServer
from tools.measure import SOURCES

_SEED = 20240607


def job_of(arguments: argparse.Namespace, rows: pl.DataFrame, url: str) -> dict[str, Any]:
    """The job over the records in the output's folder."""
    labels = sorted(rows["label"].unique())
    train = rows.filter(pl.col("split") == "train")
    shown = [
        {"text": text, "answer": label}
        for label in labels
        for text in train.filter(pl.col("label") == label).sample(arguments.examples, seed=_SEED)["text"]
    ]
    price = {"input_usd_per_million_tokens": "0", "output_usd_per_million_tokens": "0"}
    small = {"engine": "llama_cpp", "source": SOURCES[arguments.model], "threads": 1}
    return {
        "name": "written",
        "input": {"path": str(arguments.output / "in.parquet"), "id": "id"},
        "output": {"path": str(arguments.output / "out")},
        "tasks": [
            {
                "name": "answer",
                "kind": "generate",
                "instruction": f"Answer with one word: {' or '.join(labels)}.",
                "max_tokens": 4,
                "check": "exact",
                "examples": shown,
            }
        ],
        "models": {
            "small": {**small, "prompt": {"form": "plain"}},
            "large": {"engine": "openai", "model": "gold", "base_url": url, "price": price},
        },
        "router": {"find": "needed"},
        "routing": {
            "default": "small",
            "escalate_to": "large",
            "gate": {"target": arguments.target, "oracle": "llm"},
        },
        "calibration": {"search_seconds": 0},
    }


def outcome(output: pathlib.Path, gold: dict[str, str]) -> dict[str, Any]:
    """What came of the job, on the records that the pilot did not ask about."""
    gate = json.loads((output / "summary.json").read_text())["gate"]
    rows = pl.read_parquet(str(output / "annotations-*.parquet"))
    said = rows.select(
        "id", *(pl.col("annotation").struct.field(name) for name in ("answer", "status", "reason"))
    ).with_columns(pl.col("id").replace_strict(gold).alias("gold"))
    right = pl.col("answer").str.strip_chars(" .").str.to_lowercase() == pl.col("gold")
    outside = said.filter(~pl.col("reason").str.ends_with("asked for the pilot")).with_columns(right=right)
    kept = outside.filter(pl.col("status") == "kept")
    rates = {
        name: share(int(part["right"].sum()), part.height)
        for name, part in (("all", outside), ("kept", kept))
    }
    return {
        "certified": gate["certified"],
        "threshold": gate["threshold"],
        "pilot": gate["pilot"],
        "models": [(one["chosen"], one["held_back"].get("agreement")) for one in gate["models"]],
        **{name: [one.count, one.of, round(one.low, 3), round(one.high, 3)] for name, one in rates.items()},
    }


def main() -> None:
    """Run the job and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--model", choices=sorted(SOURCES), default="gemma3")
    parser.add_argument("--records", type=int, default=600)
    parser.add_argument("--examples", type=int, default=4, help="of each label")
    parser.add_argument("--target", type=float, default=0.9)
    arguments = parser.parse_args()
    arguments.output = arguments.output.absolute()
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows = pl.read_parquet(arguments.data).select("text", "label", "split")
    test = rows.filter(pl.col("split") == "test").unique("text", maintain_order=True)
    drawn = test.sample(arguments.records, seed=_SEED, shuffle=True).with_row_index("number")
    drawn = drawn.select(pl.format("r{}", "number").alias("id"), "text", "label")
    drawn.select("id", "text").write_parquet(arguments.output / "in.parquet", row_group_size=256)
    by_text = dict(zip(drawn["text"], drawn["label"], strict=True))
    with FakeLlmServer(answer=lambda text: by_text[text]) as server:
        path = arguments.output / "job.yaml"
        path.write_text(yaml.safe_dump(job_of(arguments, rows, server.base_url), sort_keys=False))
        command = [sys.executable, "-m", "pipelines.cli", "run", str(path), "--fresh"]
        subprocess.run(command, check=True, stdout=sys.stderr)
    found = outcome(arguments.output / "out", dict(zip(drawn["id"], drawn["label"], strict=True)))
    print(json.dumps(found))  # noqa: T201 - what the tool is for


if __name__ == "__main__":
    main()
