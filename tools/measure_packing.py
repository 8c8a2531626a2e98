"""Measure records one by one and packed, against a stock JSON chat and against 512 tokens evaluated at once.

    python -m tools.measure_packing --data FOLDER --model gemma3 --threads 1 --records 40
    python -m tools.measure_packing --data FOLDER --model smollm2 --file converted.gguf --examples 4

The same sst2 test records with the same threads and build, by turns: five records in the stock way (a chat
completion of llama-cpp-python under a JSON schema) and one by one, sixty-four packed, and the limit. After
each round the medians and the best turns so far are printed as a JSON line. With one thread the clock is the
processor's, which other processes disturb less; with more it is the wall's. `--file` is a conversion of the
model that only our ways get; `--examples` of each label stand in our prompt.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import llama_cpp
import polars as pl

from router.job import LlamaCppModel, Task
from router.prompts import PromptForm, build_prompt
from tools.measure import SOURCES, TASKS, draw_examples
from transforms.label_scorer import LabelScorer, ScorerConfig
from transforms.llama_adapter import LlamaModel
from transforms.llama_context import ContextConfig
from transforms.model_files import fetch_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_TURN = 5
_TOGETHER = 64
_LIMIT_TOKENS = 512
_LABELS = ("negative", "positive")


def stock(path: str, threads: int) -> Callable[[str], Any]:
    """Label a text by the library's high-level chat completion under a JSON schema."""
    model = llama_cpp.Llama(path, n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False)
    schema = {"type": "object", "properties": {"label": {"enum": [*_LABELS]}}, "required": ["label"]}
    question = f"{TASKS['sst2'][1]} Answer with one of: {', '.join(_LABELS)}.\n\n"

    def ask(text: str) -> Any:  # noqa: ANN401 - the library's own answer
        return model.create_chat_completion(
            [{"role": "user", "content": question + text}],
            response_format={"type": "json_object", "schema": schema},
            max_tokens=32,
            temperature=0.0,
        )

    return ask


def scorer_of(model: LlamaModel, threads: int, rows: pl.DataFrame, examples: int, pack: int) -> LabelScorer:
    """A scorer of the task in the plain form, with examples drawn from train."""
    name, instruction = TASKS["sst2"]
    shown = draw_examples(rows.filter(pl.col("split") == "train"), [*_LABELS], examples)
    labels = [{"name": label} for label in _LABELS]
    fields = {"name": name, "instruction": instruction, "labels": labels, "examples": shown}
    task = Task.model_validate(fields)
    prompt = build_prompt(task, PromptForm("plain", "{Task}:"), chat_template=None)
    return LabelScorer(model, task, prompt, ScorerConfig(threads, pack=pack))


def main() -> int:
    """Run the measurement and print its line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--model", choices=sorted(SOURCES), required=True)
    parser.add_argument("--file", default=None)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--records", type=int, default=40)
    parser.add_argument("--examples", type=int, default=0)
    parser.add_argument("--pack", type=int, default=16)
    return measure(parser.parse_args())


def measure(arguments: argparse.Namespace) -> int:
    """Measure as the arguments say."""
    rows = pl.read_parquet(arguments.data / "sst2.parquet")
    texts = rows.filter(pl.col("split") == "test")["text"].to_list()
    source = LlamaCppModel(engine="llama_cpp", source=SOURCES[arguments.model])
    path = str(fetch_model(arguments.model, source))
    model = LlamaModel(arguments.file or path)
    chat = stock(path, arguments.threads)
    single, packed = (
        scorer_of(model, arguments.threads, rows, arguments.examples, pack) for pack in (1, arguments.pack)
    )
    tokens = [len(single.run_of(text)) for text in texts]
    context = model.open_context(ContextConfig(tokens=1024, threads=arguments.threads))
    words = model.tokenize("The quick brown fox jumps over the lazy dog. " * 100, special=False)
    ways: dict[str, Callable[[Sequence[str]], object]] = {
        "stock": lambda some: [chat(text) for text in some],
        "one_by_one": lambda some: [single.score(text) for text in some],
        "packed": packed.score_many,
    }
    rates: dict[str, list[float]] = {name: [] for name in (*ways, "limit")}
    clock = time.process_time if arguments.threads == 1 else time.perf_counter
    chat(texts[0])
    packed.score_many(texts[:2])
    for begin in range(0, arguments.records, _TURN):
        for name, way in ways.items():
            end = begin + (_TOGETHER if name == "packed" else _TURN)
            started = clock()
            way(texts[begin:end])
            rates[name].append(sum(tokens[begin:end]) / (clock() - started))
        started = clock()
        context.decode_run(words[:_LIMIT_TOKENS], 0, want_last=True)
        rates["limit"].append(_LIMIT_TOKENS / (clock() - started))
        context.forget(0, 0)
        sys.stdout.write(json.dumps(summary(arguments, single.prefix_tokens, tokens, rates)) + "\n")
        sys.stdout.flush()
    return 0


def summary(
    arguments: argparse.Namespace, prefix: int, tokens: Sequence[int], rates: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """What was measured so far."""
    line: dict[str, Any] = {
        **{name: vars(arguments)[name] for name in ("model", "threads", "examples", "pack")},
        "prefix_tokens": prefix,
        "tokens_a_record": round(statistics.mean(tokens[: arguments.records]), 1),
    }
    for kind, choose in (("median", statistics.median), ("best", max)):
        found = {name: choose(values) for name, values in rates.items()}
        line[kind] = {f"{name}_tokens_per_second": round(value, 1) for name, value in found.items()}
        for name in ("one_by_one", "packed"):
            line[kind][f"{name}_of_stock"] = round(found[name] / found["stock"], 2)
            line[kind][f"{name}_of_limit"] = round(found[name] / found["limit"], 3)
    return line


if __name__ == "__main__":
    sys.exit(main())
