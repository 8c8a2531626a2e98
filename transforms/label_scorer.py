"""Label probabilities from one forward pass a record.

The beginning of the prompt is evaluated once and stays in the KV cache; a record costs its own tokens, the
prompt's end, and the nodes of the label trie that have successors. No text is generated.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.records import LabelScores, Usage, as_kept
from router.retrieval import NOTHING_FOUND
from router.text_parts import split_sentences
from router.trie import (
    ROOT,
    Continuation,
    build_trie,
    end_where_prefix,
    log_probabilities,
    normalise,
    path_scores,
)
from transforms.label_tree import tree_groups
from transforms.llama_context import MAX_SEQUENCES, ROWS_TOGETHER, ContextConfig
from transforms.packing import PackedPrefix, Packer, pack_size
from transforms.prompt_text import PromptText

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from router.job import Task
    from router.prompts import LabelPrompt, Segment
    from router.retrieval import Found
    from router.trie import Trie
    from transforms.llama_adapter import LlamaModel
    from transforms.llama_context import EngineError

FEATURES = 1024
_FEATURE_SEED = 20240607
_RECORD_TOKENS = 2048
_LEAST_RECORD_TOKENS = 256


@dataclass(frozen=True, slots=True)
class ScorerConfig:
    """How a scorer works."""

    threads: int = 1
    """Threads to evaluate with."""
    context: int | None = None
    """The context's size in tokens; None: chosen from the prompt."""
    label_tree: bool = True
    """Whether labels of several tokens are scored to their end. Else by their first token: labels that begin
    alike are then equal, and a head on the features, which need no further tokens, tells them apart."""
    pack: int = 1
    """The most records that `score_many` evaluates together."""
    retrieved_tokens: int = 0
    """Tokens of what is retrieved for a record, to have room for in a context whose size is chosen here."""


@dataclass(frozen=True, slots=True)
class _Scored:
    log_scores: npt.NDArray[np.float64]
    features: npt.NDArray[np.float32]
    tokens: int


class PromptTooLongError(ValueError):
    """A prompt leaves no room for a text in the context; one line that says what to shorten."""


def tokens_beside_text(model: LlamaModel, prompt: LabelPrompt, *, label_tree: bool) -> int:
    """Tokens that a record takes beside its text: the prompt's end, and the labels' branches."""
    labels = len(_label_trie(model, prompt).nodes) if label_tree else 0
    return len(prompt_tokens(model, prompt.end)) + labels


class LabelScorer:
    """Scores records of one task with one model; holds the prompt's beginning in a KV cache of its own."""

    def __init__(self, model: LlamaModel, task: Task, prompt: LabelPrompt, config: ScorerConfig) -> None:
        """Evaluate the prompt's beginning.

        Raises `PromptTooLongError` where the prompt does not fit the context, `EngineError` where the engine
        fails.
        """
        self._model = model
        self._task = task
        self._text = PromptText(model, task, prompt)
        self._beginning = with_begin(model.begin_tokens, prompt_tokens(model, prompt.beginning))
        self._end = prompt_tokens(model, prompt.end)
        self._trie = _label_trie(model, prompt)
        self._feature_tokens = np.sort(
            np.random.default_rng(_FEATURE_SEED).choice(model.vocabulary, size=FEATURES, replace=False)
        )
        ends = {token for path in self._trie.steps for _, token in path[:1]}
        self._wanted = np.union1d(self._feature_tokens, np.array(sorted(ends), np.int64))
        evaluated = len(self._trie.nodes) if config.label_tree else 0
        self._fixed = len(self._beginning) + len(self._end) + evaluated
        size = self._context_size(config.context, config.retrieved_tokens)
        self._room = size - self._fixed
        sequences = min(self._trie.branches + 1, MAX_SEQUENCES)
        self._groups = tree_groups(self._trie, sequences - 1) if config.label_tree else ()
        self._label_tree = config.label_tree
        # Runs are filled up by less than ROWS_TOGETHER, which must not take a text's room.
        self._context = model.open_context(
            ContextConfig(size + ROWS_TOGETHER, sequences, threads=config.threads)
        )
        self._head = self._context.head(self._wanted, self._beginning)
        # Then what is compared, be it yes and no, has one token each after the same tokens (`_edges`).
        self._tree_head = self._head if all(len(path) == 1 for path in self._trie.steps) else None
        # The branches of a label tree are sequences of the cache that the record is in.
        size_of_pack = pack_size(1 if self._groups else config.pack, len(self._beginning))
        prefix = PackedPrefix(self._beginning, size_of_pack, self._wanted, self._head)
        self._packer = Packer(self, model, prefix, config.threads)

    @property
    def prefix_tokens(self) -> int:
        """Number of prompt tokens that the cache holds."""
        return len(self._beginning)

    def _context_size(self, wanted: int | None, retrieved: int) -> int:
        limit = wanted or self._model.trained_context
        if self._fixed + _LEAST_RECORD_TOKENS > limit:
            raise PromptTooLongError(
                f"the prompt of task {self._task.name!r} takes {self._fixed} tokens and leaves fewer than "
                f"{_LEAST_RECORD_TOKENS} for a text in a context of {limit}; give fewer or shorter examples, "
                "or a larger `context`"
            )
        # llama.cpp pads contexts to a multiple of 256.
        return wanted or min(limit, -(-(self._fixed + _RECORD_TOKENS + retrieved) // 256) * 256)

    def fit(self, text: str, found: Found) -> Found:
        """What of it has room beside a text, the farthest left out first.

        It may always take half of the context's room: a text that is longer than the rest is cut into parts,
        and each part comes after all of it. Raises `EngineError` where the text is not Unicode.
        """
        if not found:
            return found
        return self._text.fit(found, max(self._room - len(self._text.of(text)), self._room // 2))

    def score(self, text: str, found: Found = NOTHING_FOUND) -> tuple[LabelScores, Usage]:
        """Probabilities of the task's labels for a text, and the tokens and seconds they took (usd is 0).

        A text over the context's room is cut at sentence ends, and the parts' probabilities are averaged by
        their tokens. What was `found` must `fit`, and the prompt be one for retrieval. Raises `EngineError`
        where llama.cpp fails or the text is not Unicode.
        """
        started = time.perf_counter()
        before = self._text.before(found)
        scored = [self._score_part([*before, *part]) for part in self._parts(text, len(before))]
        return self._result(scored, time.perf_counter() - started)

    def score_many(self, texts: Sequence[str]) -> list[tuple[LabelScores, Usage] | EngineError]:
        """What `score` gives for each text, or its `EngineError`; several at once where `pack` allows it.

        Long texts, and all where labels have a tree, are scored one by one. The seconds of an evaluation are
        shared out by the tokens that each text had in it.
        """
        return self._packer.score_many(texts)

    def run_of(self, text: str) -> list[int]:
        """The tokens that are evaluated for a text that fits the context: its own, and the prompt's end."""
        return [*self._text.of(text), *self._end]

    def scores_after(
        self, logits: npt.NDArray[np.float32], run: Sequence[int], seconds: float
    ) -> tuple[LabelScores, Usage]:
        """What `score` gives, from the logits of the wanted tokens after a run; labels have no tree."""
        edges = self._edges(ROOT, self._trie.root_wanted, logits)
        return self._result([self._scored(logits, edges, len(run) - len(self._end))], seconds)

    def _result(self, scored: Sequence[_Scored], seconds: float) -> tuple[LabelScores, Usage]:
        weights = np.array([part.tokens for part in scored], dtype=np.float64)
        probabilities = np.average(
            [self._probabilities(part.log_scores) for part in scored], axis=0, weights=weights
        )
        features = np.average([part.features for part in scored], axis=0, weights=weights)
        usage = Usage(
            input_tokens=sum(part.tokens for part in scored) + self._fixed * len(scored),
            cached_tokens=len(self._beginning) * len(scored),
            seconds=seconds,
        )
        return LabelScores(probabilities, as_kept(features), len(scored)), usage

    def _parts(self, text: str, before: int = 0) -> list[list[int]]:
        tokens, room = self._text.of(text), self._room - before
        return [tokens] if len(tokens) <= room else split_sentences(text, room, self._text.of)

    def _score_part(self, tokens: Sequence[int]) -> _Scored:
        context, start = self._context, len(self._beginning)
        try:
            (logits,) = context.decode_wanted([[*tokens, *self._end]], start, self._wanted, self._head)
            edges = self._edges(ROOT, self._trie.root_wanted, logits)
            if self._groups:
                root = start + len(tokens) + len(self._end)
                context.forget(0, root)
                self._score_tree(root, edges)
        finally:
            if self._groups:
                context.keep_only(0)
            context.forget(0, start)
        return self._scored(logits, edges, len(tokens))

    def _edges(
        self, node: int, after: Sequence[int], logits: npt.NDArray[np.float32]
    ) -> dict[tuple[int, int], float]:
        """Logits of the tokens `after` a node that all labels have in common, from those of `self._wanted`.

        They stand for log-probabilities: what would be taken off for the rest of the vocabulary is the same
        for all labels that are compared, and goes when they are normalised.
        """
        values = logits[np.searchsorted(self._wanted, after)].tolist()
        return {(node, token): value for token, value in zip(after, values, strict=True)}

    def _scored(
        self, logits: npt.NDArray[np.float32], edges: Mapping[tuple[int, int], float], tokens: int
    ) -> _Scored:
        steps = self._trie.steps if self._label_tree else tuple(path[:1] for path in self._trie.steps)
        features = logits[np.searchsorted(self._wanted, self._feature_tokens)]
        return _Scored(path_scores(steps, edges), features, tokens)

    def _score_tree(self, root: int, edges: dict[tuple[int, int], float]) -> None:
        """Evaluate the inner nodes of the trie, for as many branches at a time as there are sequences."""
        context = self._context
        for index, group in enumerate(self._groups):
            if index:
                context.keep_only(0)
            for sequence in range(1, group.sequences + 1):
                context.copy_sequence(0, sequence)
            for batch in group.batches:
                found = context.decode_tree(
                    [node.token for node in batch.nodes],
                    [root + node.depth - 1 for node in batch.nodes],
                    batch.members,
                    [bool(node.wanted) for node in batch.nodes],
                    self._tree_head,
                )
                for number, node, logits in zip(batch.numbers, batch.nodes, found, strict=True):
                    if logits is None:
                        continue
                    if self._tree_head is not None:
                        edges.update(self._edges(number, node.wanted, logits))
                    else:
                        edges.update(_whole_edges(number, node.wanted, logits))

    def _probabilities(self, log_scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if self._task.kind == "single_label":
            return normalise(log_scores)
        pairs = log_scores.reshape(-1, 2)
        return np.array([normalise(pair)[1] for pair in pairs], dtype=np.float64)

    def close(self) -> None:
        """Free the caches."""
        self._context.close()
        self._packer.close()


def _whole_edges(
    node: int, wanted: Sequence[int], logits: npt.NDArray[np.float32]
) -> dict[tuple[int, int], float]:
    values = log_probabilities(logits, wanted)
    return {(node, token): float(value) for token, value in zip(wanted, values, strict=True)}


def with_begin(begin: list[int], tokens: list[int]) -> list[int]:
    """Put BOS before a prompt, unless a chat template has written it already."""
    return tokens if tokens[: len(begin)] == begin else [*begin, *tokens]


def prompt_tokens(model: LlamaModel, segments: Sequence[Segment]) -> list[int]:
    """The tokens of a part of a prompt."""
    return [token for part in segments for token in model.tokenize(part.text, special=part.template)]


def tokens_before_label(model: LlamaModel, prompt: LabelPrompt, text: str) -> list[int]:
    """All tokens that a label follows: the prompt's beginning, a text that fits the context, and the end."""
    beginning = with_begin(model.begin_tokens, prompt_tokens(model, prompt.beginning))
    return [*beginning, *model.tokenize(prompt.lead + text, special=False), *prompt_tokens(model, prompt.end)]


def label_tokens(model: LlamaModel, prompt: LabelPrompt) -> list[Continuation]:
    """The tokens of each of the prompt's answers."""
    line_end = model.tokenize("\n", special=False)[0]
    given = [tuple(model.tokenize(before, special=False)) for before, _ in prompt.answers]
    scored = [tuple(model.tokenize(answer, special=False)) for _, answer in prompt.answers]
    if not any(given):
        scored = end_where_prefix(scored, line_end)
    return [Continuation(s, g) for s, g in zip(scored, given, strict=True)]


def _label_trie(model: LlamaModel, prompt: LabelPrompt) -> Trie:
    return build_trie(label_tokens(model, prompt))
