"""How fast the label scorer is, beside what other tools do with the same model and beside the limit."""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from router.bench_figures import Spread, by_turns, digits, gflops_a_core, ratio_of_turns, slice_of
from router.job import LlamaCppModel, Task
from transforms.bench_stock import StockLabeller
from transforms.label_scorer import LabelScorer, ScorerConfig
from transforms.llama_adapter import LlamaModel
from transforms.llama_context import ContextConfig, EngineError
from transforms.local_scorer import LocalModel, prompt_of

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Sequence

    from router.prompts import LabelPrompt

OURS, PACKED, LIMIT = "tekizai", "tekizai_packed", "limit"
CHAT, CHAT_CONVERTED, GRAMMAR = "chat_json_schema", "chat_json_schema_converted", "grammar"
PACK = 16
LIMIT_TOKENS = 512
TASK = Task.model_validate(
    {
        "name": "sentiment",
        "instruction": "Classify the sentiment of the review.",
        "labels": [{"name": "negative"}, {"name": "positive"}],
    }
)


@dataclass(frozen=True, slots=True)
class EngineSize:
    """How much is measured."""

    repeats: int
    records: int
    """Texts a turn."""
    threads: int


class Engines:
    """One model, opened in each of the ways that are compared."""

    def __init__(
        self, source: str, path: pathlib.Path, threads: int, converted: pathlib.Path | None = None
    ) -> None:
        """Open them; of a model that was converted the stock ways get the file as it was, too.

        Raises `ModelFileError` where a file is no model.
        """
        self.model = LlamaModel(converted or path)
        self._threads = threads
        local = LocalModel("bench", LlamaCppModel(engine="llama_cpp", source=source), threads, Decimal(0))
        task, prompt, tree = prompt_of(self.model, local, TASK)
        self._scorer, self._packed = (
            LabelScorer(self.model, task, prompt, ScorerConfig(threads, label_tree=tree, pack=pack))
            for pack in (1, PACK)
        )
        self._stock = StockLabeller(str(path), task, prompt, threads)
        self._converted = converted and StockLabeller(str(converted), task, prompt, threads)
        self._limit = self.model.open_context(ContextConfig(tokens=2 * LIMIT_TOKENS, threads=threads))
        self._limit_run = _many_tokens(self.model, prompt)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text."""
        return len(self.model.tokenize(text, special=False))

    def measure(self, texts: Sequence[str], size: EngineSize, tell: Callable[[str], None]) -> dict[str, Any]:
        """Records and evaluated tokens a second of each way over the same texts, by turns.

        Each way is asked about one text first, so that nobody's first turn evaluates the instruction.
        """
        ways: dict[str, Callable[[Sequence[str]], int]] = {
            OURS: lambda some: sum(map(self._ours, some)),
            PACKED: self._ours_packed,
            CHAT: _asking(self._stock, self._stock.chat),
            GRAMMAR: _asking(self._stock, self._stock.complete),
        }
        if self._converted:
            ways[CHAT_CONVERTED] = _asking(self._converted, self._converted.chat)
        tokens: dict[str, list[float]] = {name: [] for name in ways}

        def turn_of(name: str) -> Callable[[int], float]:
            def turn(number: int) -> float:
                asked = slice_of(texts, number, PACK if name == PACKED else size.records)
                started = time.perf_counter()
                evaluated = ways[name](asked)
                seconds = time.perf_counter() - started
                tokens[name].append(evaluated / seconds)
                return len(asked) / seconds

            return turn

        for way in ways.values():
            way(texts[-2:])
        turns = {name: turn_of(name) for name in ways} | {LIMIT: lambda _: self._evaluate_at_once()}
        found = by_turns(turns, size.repeats, tell)
        tokens[LIMIT] = found.pop(LIMIT)
        return self._figures(texts, found, tokens)

    def _figures(
        self, texts: Sequence[str], records: dict[str, list[float]], tokens: dict[str, list[float]]
    ) -> dict[str, Any]:
        parameters = self.model.layer_parameters
        ways = {
            name: {
                "records_per_second": Spread.of(records[name]).as_json() if name in records else None,
                "tokens_per_second": (rate := Spread.of(tokens[name])).as_json(),
                "gflops_per_core": digits(gflops_a_core(parameters, rate.median, self._threads)),
            }
            for name in tokens
        }
        ratios = {
            f"{ours}to_{name}": ratio_of_turns(records[way], records[name]).as_json()
            for way, ours in ((OURS, ""), (PACKED, "packed_"))
            for name in (CHAT, CHAT_CONVERTED, GRAMMAR)
            if name in records
        }
        ratios["of_limit"] = ratio_of_turns(tokens[OURS], tokens[LIMIT]).as_json()
        ratios["packed_of_limit"] = ratio_of_turns(tokens[PACKED], tokens[LIMIT]).as_json()
        mean = sum(map(self.count_tokens, texts)) / len(texts)
        return {"text_tokens": digits(mean), "threads": self._threads, "ways": ways, "ratios": ratios}

    def _ours(self, text: str) -> int:
        _, usage = self._scorer.score(text)
        return usage.input_tokens - usage.cached_tokens

    def _ours_packed(self, texts: Sequence[str]) -> int:
        """Tokens that were evaluated for all of them. Raises `EngineError` where one failed."""
        evaluated = 0
        for found in self._packed.score_many(texts):
            if isinstance(found, EngineError):
                raise found
            evaluated += found[1].input_tokens - found[1].cached_tokens
        return evaluated

    def _evaluate_at_once(self) -> float:
        """Tokens a second."""
        started = time.perf_counter()
        self._limit.decode_run(self._limit_run, 0, want_last=True)
        rate = LIMIT_TOKENS / (time.perf_counter() - started)
        self._limit.forget(0, 0)
        return rate

    def close(self) -> None:
        """Free all of it."""
        self._limit.close()
        self._stock.close()
        if self._converted:
            self._converted.close()
        self._scorer.close()
        self._packed.close()
        self.model.close()


def _asking(stock: StockLabeller, ask: Callable[[str], str]) -> Callable[[Sequence[str]], int]:
    """What asks about texts one by one, and returns how many tokens that evaluated."""

    def evaluated(texts: Sequence[str]) -> int:
        before = stock.evaluated
        for text in texts:
            ask(text)
        return stock.evaluated - before

    return evaluated


def _many_tokens(model: LlamaModel, prompt: LabelPrompt) -> list[int]:
    """As many tokens as the limit is measured with: real text, over and over."""
    text = "".join(segment.text for segment in prompt.beginning) + "The quick brown fox is not quick. "
    once = model.tokenize(text, special=False)
    return (once * (LIMIT_TOKENS // len(once) + 1))[:LIMIT_TOKENS]
