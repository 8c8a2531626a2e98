"""Compare label scoring with what other tools do: a stock JSON-schema chat completion for each record.

    python tools/compare_stock.py --data FOLDER --model gemma3 --threads 2 --records 40

Both ways answer the same sst2 test records with the same model file, threads and build, in turns of ten
records; medians of the turns' records per second are printed as one JSON line, with the limit of the machine:
evaluating 512 tokens at once.
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
from tools.measure import SOURCES
from transforms.label_scorer import LabelScorer, ScorerConfig
from transforms.llama_adapter import ContextConfig, LlamaModel
from transforms.model_files import fetch_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TURN = 10
_LIMIT_TOKENS = 512
TASK = Task.model_validate(
    {
        "name": "sentiment",
        "instruction": "Classify the sentiment of the movie review.",
        "labels": [{"name": "negative"}, {"name": "positive"}],
    }
)


def stock(path: str, threads: int) -> Callable[[str], Any]:
    """Label a text by the library's high-level chat completion under a JSON schema."""
    model = llama_cpp.Llama(path, n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False)
    schema = {
        "type": "object",
        "properties": {"label": {"enum": list(TASK.label_names)}},
        "required": ["label"],
    }
    question = f"{TASK.instruction} Answer with one of: {', '.join(TASK.label_names)}.\n\n"

    def ask(text: str) -> Any:  # noqa: ANN401 - the library's own answer
        return model.create_chat_completion(
            [{"role": "user", "content": question + text}],
            response_format={"type": "json_object", "schema": schema},
            max_tokens=32,
            temperature=0.0,
        )

    return ask


def ours(model: LlamaModel, threads: int) -> LabelScorer:
    """Score labels in the plain form."""
    prompt = build_prompt(TASK, PromptForm("plain", "{Task}:"), chat_template=None)
    return LabelScorer(model, TASK, prompt, ScorerConfig(threads))


def turn(ask: Callable[[str], Any], texts: Sequence[str]) -> float:
    """Records per second over some texts."""
    started = time.perf_counter()
    for text in texts:
        ask(text)
    return len(texts) / (time.perf_counter() - started)


def limit(model: LlamaModel, threads: int, repeats: int = 5) -> float:
    """Tokens per second of evaluating 512 tokens at once, median."""
    context = model.open_context(ContextConfig(tokens=1024, threads=threads))
    tokens = model.tokenize("The quick brown fox jumps over the lazy dog. " * 100, special=False)[
        :_LIMIT_TOKENS
    ]
    rates = []
    for _ in range(repeats):
        started = time.perf_counter()
        context.decode_run(tokens, 0, want_last=True)
        rates.append(_LIMIT_TOKENS / (time.perf_counter() - started))
        context.forget(0, 0)
    context.close()
    return statistics.median(rates)


def main() -> int:
    """Run the comparison and print its line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--model", choices=sorted(SOURCES), required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--records", type=int, default=40)
    arguments = parser.parse_args()
    rows = pl.read_parquet(arguments.data / "sst2.parquet").filter(pl.col("split") == "test")
    texts = rows["text"].to_list()[: arguments.records]
    source = LlamaCppModel(engine="llama_cpp", source=SOURCES[arguments.model])
    path = str(fetch_model(arguments.model, source))
    model = LlamaModel(path)
    scorer, chat = ours(model, arguments.threads), stock(path, arguments.threads)
    scorer.score(texts[0])
    chat(texts[0])
    rates: dict[str, list[float]] = {"ours": [], "stock": []}
    for begin in range(0, len(texts), _TURN):
        rates["ours"].append(turn(scorer.score, texts[begin : begin + _TURN]))
        rates["stock"].append(turn(chat, texts[begin : begin + _TURN]))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    tokens = [u.input_tokens - u.cached_tokens for _, u in map(scorer.score, texts)]
    most = limit(model, arguments.threads)
    line = {
        "model": arguments.model,
        "threads": arguments.threads,
        "records_per_second": {name: round(value, 2) for name, value in medians.items()},
        "ratio": round(medians["ours"] / medians["stock"], 1),
        "tokens_per_second": round(medians["ours"] * statistics.mean(tokens), 1),
        "limit_tokens_per_second": round(most, 1),
        "of_limit": round(medians["ours"] * statistics.mean(tokens) / most, 2),
    }
    sys.stdout.write(json.dumps(line) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
