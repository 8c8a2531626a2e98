"""Writes answers with a local model: token by token, within the task's bound and its schema.

The beginning of the prompt is evaluated once and stays in the KV cache, as for labels. The first answer takes
the likeliest token each time; a second one, to see whether the two agree, draws them.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.agreement import agreement
from router.answer_prompt import PLAIN_ENDS
from router.generated import LEAST_LOG_PROBABILITY, Generated
from router.language import identify_language
from router.records import Usage
from router.retrieval import NOTHING_FOUND
from transforms.label_scorer import PromptTooLongError, prompt_tokens, with_begin
from transforms.llama_context import ContextConfig, EngineError
from transforms.llama_grammar import GrammarError
from transforms.prompt_text import PromptText

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from router.job import Task
    from router.prompts import LabelPrompt
    from router.retrieval import Found
    from transforms.label_scorer import ScorerConfig
    from transforms.llama_adapter import LlamaModel
    from transforms.llama_grammar import Grammar

TEMPERATURE = 0.7
"""Of the second sample: what a model is unsure of comes out otherwise, what it is sure of does not."""
_DRAWN_FROM = 40
"""Likeliest tokens that are drawn from."""
_TRIED = (1, 64, 4096)
"""How many of the likeliest tokens the grammar is asked about, before all of them."""
_RECORD_TOKENS = 2048
_LEAST_RECORD_TOKENS = 256
_SEED_BYTES = 8


@dataclass(frozen=True, slots=True)
class Written:
    """One sample: its text, its tokens' log-probabilities, and whether the bound cut it off."""

    text: str
    log_probabilities: tuple[float, ...]
    cut: bool


class TextGenerator:
    """Writes the answers of one generate task with one model, in a KV cache of its own."""

    def __init__(self, model: LlamaModel, task: Task, prompt: LabelPrompt, config: ScorerConfig) -> None:
        """Evaluate the prompt's beginning; `prompt` has no labels.

        Raises `PromptTooLongError` where the prompt does not fit the context, `EngineError` where the engine
        fails or makes no grammar of the schema.
        """
        self._model, self._task, self._text = model, task, PromptText(model, task, prompt)
        self._beginning = with_begin(model.begin_tokens, prompt_tokens(model, prompt.beginning))
        self._end = prompt_tokens(model, prompt.end)
        # In a chat the model ends its turn; plain text goes on with what looks like the next record.
        self._grammar = _grammar(model, task)
        chat = any(part.template for part in prompt.end)
        self._ends = () if chat or self._grammar is not None else PLAIN_ENDS
        self._end_tokens = model.tokens.end_tokens(model.vocabulary)
        self._fixed = len(self._beginning) + len(self._end) + task.token_bound
        size = self._context_size(config.context, config.retrieved_tokens)
        self._room = size - self._fixed
        self._context = model.open_context(ContextConfig(size, threads=config.threads))
        self._context.decode_run(self._beginning, 0, want_last=False)

    @property
    def prefix_tokens(self) -> int:
        """Number of prompt tokens that the cache holds."""
        return len(self._beginning)

    def _context_size(self, wanted: int | None, retrieved: int) -> int:
        limit = wanted or self._model.trained_context
        if self._fixed + _LEAST_RECORD_TOKENS > limit:
            raise PromptTooLongError(
                f"prompt and answer of task {self._task.name!r} take {self._fixed} tokens and leave fewer "
                f"than {_LEAST_RECORD_TOKENS} for a text in a context of {limit}; give fewer examples, a "
                "smaller max_tokens, or a larger `context`"
            )
        return wanted or min(limit, -(-(self._fixed + _RECORD_TOKENS + retrieved) // 256) * 256)

    def fit(self, text: str, found: Found) -> Found:
        """What of it has room beside a text, the farthest left out first.

        Raises `EngineError` where the text is not Unicode.
        """
        return self._text.fit(found, self._room - len(self._text.of(text))) if found else found

    def generate(self, text: str, found: Found = NOTHING_FOUND) -> tuple[Generated, Usage]:
        """The answer to a text, and the tokens and seconds it took (usd is 0).

        What was `found` must `fit`, and the prompt be one for retrieval. Raises `EngineError` where llama.cpp
        fails, the text is not Unicode, or it does not fit the context: an answer to a part of a text would
        not be one to the text.
        """
        started = time.perf_counter()
        tokens = self._text.of(text)
        if len(tokens) > self._room:
            raise EngineError(
                f"the text takes {len(tokens)} tokens, and the context has room for {self._room}: give the "
                "model a larger `context`, or send long texts to another one (characters_above)"
            )
        run = [*self._text.before(found), *tokens, *self._end]
        start = len(self._beginning)
        try:
            first = self._write(run, start, None)
            second = self._second(run, start, first, text)
        finally:
            self._context.forget(0, start)
        made = len(first.log_probabilities) + (0 if second is None else len(second.log_probabilities))
        prompt = start + len(run)
        again = 0 if second is None else prompt
        usage = Usage(
            input_tokens=prompt + again,
            cached_tokens=start + max(0, again - 1),
            output_tokens=made,
            seconds=time.perf_counter() - started,
        )
        return self._generated(text, first, second), usage

    def _second(self, run: Sequence[int], start: int, first: Written, text: str) -> Written | None:
        if self._task.samples != 2 or first.cut:  # noqa: PLR2004 - two samples
            return None
        # The prompt stays where it is; its last token is evaluated again for what follows it.
        self._context.forget(0, start + len(run) - 1)
        seed = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_SEED_BYTES).digest()
        random = np.random.default_rng(int.from_bytes(seed, "big"))
        return self._write(run[-1:], start + len(run) - 1, random)

    def _generated(self, text: str, first: Written, second: Written | None) -> Generated:
        logs = first.log_probabilities
        as_json = self._task.answer_schema is not None
        return Generated(
            first.text,
            identify_language(text),
            len(logs),
            float(np.mean(logs)) if logs else LEAST_LOG_PROBABILITY,
            min(logs, default=LEAST_LOG_PROBABILITY),
            None if second is None else agreement(first.text, second.text, as_json=as_json),
            first.cut,
        )

    def _write(self, run: Sequence[int], start: int, random: np.random.Generator | None) -> Written:
        """Evaluate a run and write what follows it: the likeliest tokens, or drawn ones."""
        if self._grammar is not None:
            self._grammar.restart()
        logits = self._context.decode_run(run, start, want_last=True)
        position, data, logs = start + len(run), b"", list[float]()
        while len(logs) < self._task.token_bound and logits is not None:
            token = self._next(logits, random)
            logs.append(_log_probability(logits, token))
            if self._model.tokens.ends(token):
                return Written(_text(data), tuple(logs), cut=False)
            data += self._model.tokens.piece(token)
            if self._grammar is not None:
                self._grammar.accept(token)
            if self._is_whole(data):
                return Written(_text(data, self._ends), tuple(logs), cut=False)
            if len(logs) < self._task.token_bound:
                logits = self._context.decode_run([token], position, want_last=True)
                position += 1
        return Written(_text(data), tuple(logs), cut=True)

    def _is_whole(self, data: bytes) -> bool:
        """Whether what was written is an answer already, though the model might go on."""
        if self._grammar is not None:
            # Behind the last brace only white space could follow.
            return data.rstrip().endswith(b"}") and bool(self._grammar.allowed(self._end_tokens).any())
        text = data.lstrip()
        return any(end.encode() in text for end in self._ends)

    def _next(self, logits: npt.NDArray[np.float32], random: np.random.Generator | None) -> int:
        if random is not None:
            return self._draw(logits, random)
        if self._grammar is None:
            return int(logits.argmax())
        for count in _TRIED:
            best = _likeliest(logits, count)
            allowed = best[self._grammar.allowed(best)]
            if len(allowed):
                return int(allowed[0])
        every = np.arange(len(logits))
        allowed = every[self._grammar.allowed(every)]
        if not len(allowed):
            raise EngineError("the grammar of the schema allows no token of this model to go on")
        return int(allowed[logits[allowed].argmax()])

    def _draw(self, logits: npt.NDArray[np.float32], random: np.random.Generator) -> int:
        best = _likeliest(logits, _DRAWN_FROM)
        if self._grammar is not None:
            best = best[self._grammar.allowed(best)]
            if not len(best):
                return self._next(logits, None)
        scores = logits[best].astype(np.float64) / TEMPERATURE
        shares = np.exp(scores - scores.max())
        return int(random.choice(best, p=shares / shares.sum()))

    def close(self) -> None:
        """Free the cache."""
        self._context.close()


def _grammar(model: LlamaModel, task: Task) -> Grammar | None:
    if task.answer_schema is None:
        return None
    try:
        return model.tokens.grammar(task.answer_schema)
    except GrammarError as error:
        raise EngineError(f"tasks: {task.name}: {error}") from error


def _likeliest(logits: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
    """The likeliest tokens, in the order of their logits."""
    if count == 1:
        return np.array([logits.argmax()], np.int64)
    count = min(count, len(logits))
    best = np.argpartition(logits, -count)[-count:]
    return best[np.lexsort((best, -logits[best]))]


def _log_probability(logits: npt.NDArray[np.float32], token: int) -> float:
    most = float(logits.max())
    total = float(np.exp(logits - most).sum(dtype=np.float64))
    return max(float(logits[token]) - most - float(np.log(total)), LEAST_LOG_PROBABILITY)


def _text(data: bytes, ends: Sequence[str] = ()) -> str:
    """What was written, up to the first end; a character that was cut in two is left out."""
    text = data.decode("utf-8", "ignore").strip()
    return min((text.split(end, 1)[0] for end in ends), key=len, default=text).strip()
