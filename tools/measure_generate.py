"""Measure written answers: mixed prompts sent to a small and a large model by rules, against each alone.

    python -m tools.measure_generate --data prompts_task.parquet --large http://127.0.0.1:8091/v1 --output DIR

The file has the columns id, text, lang, label and split. A uniform sample of its test rows, half English and
half Chinese, becomes three jobs: `large` (every record to the hosted model), `rules` (by language, task and
length, with a gate of fixed confidence) and `small`. The router sorts the records into tasks. Later jobs find
the answers of earlier ones in their journal, with the time that they took, so all are compared on the same
answers; a job that was interrupted goes on where it was. Prints one JSON line a job: who answered what,
seconds and money by model, the share of answers that pass their checks (with exact 95 % intervals), that of
extractions that are valid JSON of the schema, and how alike the answers are to the large model's.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from typing import Any

import polars as pl
import yaml

from router.agreement import agreement
from router.answer_schema import misfit
from router.evaluation import share
from tools.measure import SOURCES

_SEED = 20240607
_TOKENS = 80
_MOST_CHARACTERS = 2500
"""Longer prompts do not fit the large model's context of 2,048 tokens with their answers."""

SCHEMA = {
    "type": "object",
    "properties": {"items": {"type": "array", "items": {"type": "string"}, "maxItems": 5}},
    "required": ["items"],
    "additionalProperties": False,
}
_INSTRUCTIONS = {
    "code": "Do what the text asks. Give code only, as short as you can.",
    "extraction": "Extract what the text asks for: at most five short items.",
    "summarization": "Summarise as the text asks, in at most two short sentences.",
    "translation": "Translate as the text asks. Give the translation only.",
}
_ANY = "Do what the text asks, in at most two short sentences."
_TASKS = (
    *("advice", "analysis", "brainstorming", "chat_roleplay", "classification", "closed_qa", "code"),
    *("extraction", "math", "open_qa", "rewriting", "summarization", "text_generation", "translation"),
)
_FREE = ("code", "translation", "extraction")
"""Tasks whose answers may be in another language than the text."""
_HARD = ("analysis", "closed_qa", "code", "math", "translation")
RULES = [
    {"when": {"languages": ["zh"]}, "use": "large"},
    {"when": {"tasks": list(_HARD)}, "use": "large"},
    {"when": {"characters_above": 800}, "use": "large"},
]
"""The small model is English, and weak where a wrong word spoils the answer."""


def tasks() -> list[dict[str, Any]]:
    """A task for each that the router knows."""
    found = []
    for name in _TASKS:
        task: dict[str, Any] = {"name": name, "kind": "generate", "max_tokens": _TOKENS}
        task["instruction"] = _INSTRUCTIONS.get(name, _ANY)
        if name == "extraction":
            task["schema"] = SCHEMA
        if name not in _FREE:
            task["language"] = "same"
        found.append(task)
    return found


def job_of(arguments: argparse.Namespace, name: str, routing: dict[str, Any]) -> dict[str, Any]:
    """One of the jobs."""
    form = {"form": arguments.form} if arguments.form else {}
    small = {"engine": "llama_cpp", "source": SOURCES[arguments.model], "threads": 1, "prompt": form}
    price = {
        "input_usd_per_million_tokens": arguments.price[0],
        "output_usd_per_million_tokens": arguments.price[1],
    }
    large = {
        "engine": "openai",
        "model": "large",
        "base_url": arguments.large,
        "price": price,
        "concurrency": 1,
        "timeout_seconds": 600,
    }
    return {
        "name": f"generate-{name}",
        "input": {"path": str(arguments.output / "in.parquet"), "id": "id"},
        "output": {"path": str(arguments.output / name)},
        "tasks": tasks(),
        "models": {"small": small, "large": large},
        "router": {"find": "needed"},
        "routing": routing,
        "limits": {"max_dead_letter_fraction": 1.0},
    }


def run(arguments: argparse.Namespace, name: str, routing: dict[str, Any], before: str | None) -> None:
    """Run a job on what the one before has in its journal."""
    output = arguments.output / name
    if before is not None and not output.exists() and (arguments.output / before).exists():
        shutil.copytree(arguments.output / before / "state" / "journal", output / "state" / "journal")
    path = arguments.output / f"{name}.yaml"
    path.write_text(yaml.safe_dump(job_of(arguments, name, routing), sort_keys=False, allow_unicode=True))
    command = [sys.executable, "-m", "pipelines.cli", "run", str(path)]
    subprocess.run([*command, *arguments.limit], check=True, stdout=sys.stderr)


def outcome(output: pathlib.Path, large: dict[str, str]) -> dict[str, Any]:
    """What came of a job; `large` are the large model's answers by id."""
    summary = json.loads((output / "summary.json").read_text())
    rows = pl.read_parquet(str(output / "annotations-*.parquet"))
    said = [row | {"said": row["annotation"]} for row in rows.to_dicts()]
    extractions = [one["said"]["answer"] for one in said if one["said"]["task"] == "extraction"]
    valid = [misfit(SCHEMA, answer) is None for answer in extractions]
    by_task: dict[str, Counter[str]] = defaultdict(Counter)
    alike: dict[str, list[float]] = defaultdict(list)
    for one in said:
        task, model = one["said"]["task"], one["said"]["model"]
        by_task[task][model] += 1
        if model == "small" and one["id"] in large:
            as_json = task == "extraction"
            alike[task].append(agreement(one["said"]["answer"], large[one["id"]], as_json=as_json))
    failed = Counter(check.partition(":")[0] for one in said for check in one["said"]["checks"])
    return {
        "records": summary["records"],
        "answered_by": summary["answered_by"],
        "status": {name: count for name, count in summary["status"].items() if count},
        "by_task": {name: dict(counts) for name, counts in sorted(by_task.items())},
        "by_model": {
            name: {key: used[key] for key in ("asked", "seconds", "usd")}
            for name, used in summary["by_model"].items()
        },
        "usd": summary["cost_usd"]["total"],
        "pass_checks": _rate(sum(not one["said"]["checks"] for one in said), summary["records"]["read"]),
        "failed": dict(failed),
        "valid_extractions": _rate(sum(valid), len(valid)),
        "alike_to_large": {name: round(sum(v) / len(v), 3) for name, v in sorted(alike.items())},
    }


def _rate(count: int, of: int) -> dict[str, Any]:
    one = share(count, of)
    return {"count": count, "of": of, "low": round(one.low, 3), "high": round(one.high, 3)}


def sample(arguments: argparse.Namespace) -> None:
    """Draw the input, unless an earlier call has."""
    path = arguments.output / "in.parquet"
    if path.exists():
        return
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows = pl.read_parquet(arguments.data).filter(
        (pl.col("split") == "test") & (pl.col("text").str.len_chars() <= _MOST_CHARACTERS)
    )
    if arguments.label is not None:
        rows = rows.filter(pl.col("label") == arguments.label)
    by_language = [rows.filter(pl.col("lang") == lang) for lang in ("en", "zh")]
    half = min(arguments.records // 2, *(part.height for part in by_language))
    drawn = [part.sample(half, seed=_SEED, shuffle=True) for part in by_language]
    mixed = pl.concat(drawn).sample(fraction=1.0, shuffle=True, seed=_SEED)
    mixed.select("id", "text", "lang").write_parquet(path, row_group_size=256)


def main() -> None:
    """Run the jobs and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--large", required=True, help="base URL of the large model's endpoint")
    parser.add_argument("--model", choices=sorted(SOURCES), default="smollm2")
    parser.add_argument("--form", choices=["chat", "plain"])
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--confidence", type=float, default=0.5)
    parser.add_argument("--price", nargs=2, default=["0.10", "0.40"], help="USD for a million tokens in, out")
    parser.add_argument("--jobs", default="large,rules,small")
    parser.add_argument("--label", help="only prompts that the file's column label calls so")
    parser.add_argument("--limit", type=int, help="only so many of the records")
    arguments = parser.parse_args()
    arguments.output = arguments.output.absolute()
    arguments.limit = [] if arguments.limit is None else ["--limit", str(arguments.limit)]
    sample(arguments)
    gate = {"min_confidence": arguments.confidence}
    jobs = {
        "large": ({"default": "large"}, None),
        "rules": ({"default": "small", "escalate_to": "large", "rules": RULES, "gate": gate}, "large"),
        "small": ({"default": "small", "gate": {"min_confidence": 0.0}}, "rules"),
    }
    large: dict[str, str] = {}
    for name in arguments.jobs.split(","):
        routing, before = jobs[name]
        run(arguments, name, routing, before)
        if name == "large":
            found = pl.read_parquet(str(arguments.output / "large" / "annotations-*.parquet"))
            large = dict(zip(found["id"], found["annotation"].struct.field("answer"), strict=True))
        line = json.dumps({"job": name, **outcome(arguments.output / name, large)}, ensure_ascii=False)
        print(line, flush=True)  # noqa: T201 - what the tool is for


if __name__ == "__main__":
    main()
