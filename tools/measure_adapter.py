"""What an adapter is worth beside examples in the prompt and a learned head, on the same labelled rows.

    python -m tools.measure_adapter ask --data FOLDER --dataset trec --model smollm2 --to plain.npz
    python -m tools.measure_adapter ask ... --examples 8 --to examples.npz
    python -m tools.measure_adapter ask ... --adapter trec.gguf --to adapter.npz
    python -m tools.measure_adapter tell plain.npz examples.npz adapter.npz
    python -m tools.measure_adapter turns --data FOLDER --dataset trec --model smollm2 --adapter trec.gguf

FOLDER holds NAME.parquet files with the columns text, label and split. `ask` scores the first rows of train
(`--train`; 0: none), for heads to learn from, and all of test (`--test` of them). `tell` gives the share of
test that is right: by the scores as they are, divided by their mean over the first 200 rows of test (no label
is looked at), and with the head that `choose_head` chooses on train. `turns` asks the model with and without
the adapter about the same texts by turns, and gives records/s of both, the quartiles of their ratio, and
whether the plain one's answers stay the same to the last bit beside the adapter.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import sys
import time
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from router.bias import estimate_bias, remove_bias
from router.evidence import Evidence
from router.head_training import TrainingRows, choose_head
from router.job import LlamaCppModel, Task
from tools.measure import SOURCES, TASKS, draw_examples
from transforms.label_scorer import LabelScorer, ScorerConfig
from transforms.local_scorer import LocalModel, prompt_of
from transforms.lora_model import LoraModel, shared_model
from transforms.model_files import fetch_model

if TYPE_CHECKING:
    from transforms.llama_adapter import LlamaModel

_SAMPLE = 200
_TURN = 10
"""Texts that one of the two is asked about before it is the other's turn."""


def _rows(arguments: argparse.Namespace) -> pl.DataFrame:
    return pl.read_parquet(arguments.data / f"{arguments.dataset}.parquet")


def _scorer(
    arguments: argparse.Namespace, rows: pl.DataFrame, adapter: pathlib.Path | None
) -> tuple[LabelScorer, LlamaModel, list[str]]:
    """A scorer of the dataset's task; an adapter changes nothing but the weights."""
    name, instruction = TASKS[arguments.dataset]
    labels = sorted(rows["label"].unique())
    shown = draw_examples(rows.filter(pl.col("split") == "train"), labels, arguments.examples)
    task = Task.model_validate(
        {
            "name": name,
            "instruction": instruction,
            "labels": [{"name": label} for label in labels],
            "examples": shown,
        }
    )
    model = LlamaCppModel(engine="llama_cpp", source=SOURCES[arguments.model])
    weights = shared_model(fetch_model(arguments.model, model))
    if adapter is not None:
        weights = LoraModel(weights, adapter, 1.0)
    wanted, prompt, tree = prompt_of(weights, LocalModel("measured", model, 1, Decimal(0)), task)
    return LabelScorer(weights, wanted, prompt, ScorerConfig(label_tree=tree)), weights, labels


def ask(arguments: argparse.Namespace) -> None:
    """Score the rows and keep what was said."""
    rows = _rows(arguments)
    scorer, _, labels = _scorer(arguments, rows, arguments.adapter)
    found: dict[str, np.ndarray] = {"labels": np.array(labels)}
    for split, count in (("train", arguments.train), ("test", arguments.test)):
        part = rows.filter(pl.col("split") == split)
        part = part.head(len(part) if count is None else count)
        if part.is_empty():
            continue
        said = [scorer.score(text) for text in part["text"]]
        found[f"{split}_scores"] = np.stack([one.probabilities for one, _ in said])
        found[f"{split}_features"] = np.stack([one.features for one, _ in said if one.features is not None])
        found[f"{split}_gold"] = np.array([labels.index(label) for label in part["label"]])
        found[f"{split}_seconds"] = np.array([usage.seconds for _, usage in said])
        found[f"{split}_tokens"] = np.array([used.input_tokens - used.cached_tokens for _, used in said])
    np.savez_compressed(arguments.to, **found)  # type: ignore[arg-type]  # names are names here
    sys.stdout.write(f"{arguments.to}: {len(found['test_gold'])} rows of test\n")


def tell(arguments: argparse.Namespace) -> None:
    """How many rows of test each way gets right."""
    for path in arguments.files:
        kept = np.load(path)
        gold, scores = kept["test_gold"], kept["test_scores"]
        bias = estimate_bias("measured", "measured", list(scores[:_SAMPLE]))
        fair = np.stack([remove_bias(one, bias) for one in scores])
        said = {"raw": scores, "divided": fair}
        if "train_gold" in kept:
            seen = Evidence(kept["train_scores"], kept["train_features"])
            choice = choose_head(TrainingRows(seen, kept["train_gold"]))
            test = Evidence(scores, kept["test_features"])
            said["head"] = (
                choice.scaled.probabilities(scores)
                if choice.head is None
                else choice.head.probabilities(test)
            )
        right = {name: round(float((one.argmax(axis=1) == gold).mean()), 4) for name, one in said.items()}
        speed = round(len(gold) / float(kept["test_seconds"].sum()), 2)
        learned = len(kept["train_gold"]) if "train_gold" in kept else 0
        facts = {"file": path.name, "test": len(gold), "labels_for_head": learned, **right}
        tokens = round(float(kept["test_tokens"].mean()), 1)
        sys.stdout.write(json.dumps({**facts, "tokens_a_record": tokens, "records_per_second": speed}) + "\n")


def turns(arguments: argparse.Namespace) -> None:
    """The speed with and without the adapter, by turns."""
    rows = _rows(arguments)
    texts = rows.filter(pl.col("split") == "test")["text"].to_list()[: arguments.test or 200]
    plain, _, _ = _scorer(arguments, rows, None)
    alone = [plain.score(text)[0].probabilities for text in texts[:_TURN]]
    adapted, _, _ = _scorer(arguments, rows, arguments.adapter)
    ratios, speeds, same = [], {"plain": [], "adapted": []}, True
    for number, begin in enumerate(range(0, len(texts), _TURN)):
        part, rate = texts[begin : begin + _TURN], {}
        both = [("plain", plain), ("adapted", adapted)]
        for name, scorer in both if number % 2 else both[::-1]:
            started = time.perf_counter()
            said = [scorer.score(text)[0].probabilities for text in part]
            rate[name] = len(part) / (time.perf_counter() - started)
            speeds[name].append(rate[name])
            if name == "plain" and not number:
                same = np.array_equal(said, alone)
        ratios.append(rate["adapted"] / rate["plain"])
    facts = {
        "records_per_second": {name: round(statistics.median(one), 2) for name, one in speeds.items()},
        "ratio": [round(value, 3) for value in statistics.quantiles(ratios, n=4)],
        "plain_unchanged": same,
    }
    sys.stdout.write(json.dumps(facts) + "\n")


def main() -> None:
    """Do what is asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    for run in (ask, turns):
        one = commands.add_parser(run.__name__)
        one.set_defaults(run=run)
        one.add_argument("--data", type=pathlib.Path, required=True)
        one.add_argument("--dataset", choices=sorted(TASKS), required=True)
        one.add_argument("--model", choices=sorted(SOURCES), required=True)
        one.add_argument("--examples", type=int, default=0)
        one.add_argument("--adapter", type=pathlib.Path)
        one.add_argument("--train", type=int, default=1000)
        one.add_argument("--test", type=int)
        one.add_argument("--to", type=pathlib.Path, default=pathlib.Path("said.npz"))
    one = commands.add_parser("tell")
    one.set_defaults(run=tell)
    one.add_argument("files", type=pathlib.Path, nargs="+")
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
