"""A token trie over label continuations, for exact scores of labels that have several tokens.

The probability of a label is the product of the model's probabilities of its tokens, one after the other.
Labels that begin alike share those tokens, so each distinct beginning is evaluated once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

ROOT = -1


@dataclass(frozen=True, slots=True)
class Continuation:
    """Tokens that may follow the prompt: `given` ones that only set the scene, then `scored` ones."""

    scored: tuple[int, ...]
    given: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A token that has to be evaluated because some continuation goes on after it."""

    token: int
    depth: int
    """1 for the tokens right after the prompt."""
    leaves: tuple[int, ...]
    """Which of the decoded branches pass through this node."""
    wanted: tuple[int, ...]
    """Tokens whose log-probability after this node is asked for; empty where none is."""


@dataclass(frozen=True, slots=True)
class Trie:
    """Nodes in breadth-first order, and for each continuation the (node, token) steps that score it."""

    nodes: tuple[Node, ...]
    root_wanted: tuple[int, ...]
    steps: tuple[tuple[tuple[int, int], ...], ...]
    branches: int
    """Number of distinct branches to decode; each needs a sequence of its own in the KV cache."""


def end_where_prefix(token_lists: Sequence[tuple[int, ...]], end: int) -> list[tuple[int, ...]]:
    """Append `end` to the lists that are the beginning of another one.

    Without it, the probability of `card` would include that of `card payment`. Raises `ValueError` where two
    lists are equal, because then no score can tell them apart.
    """
    seen = set(token_lists)
    if len(seen) != len(token_lists):
        raise ValueError("two labels have the same tokens; rename one of them")
    beginnings = {tokens[:size] for tokens in seen for size in range(1, len(tokens))}
    return [(*tokens, end) if tokens in beginnings else tokens for tokens in token_lists]


def build_trie(continuations: Sequence[Continuation]) -> Trie:
    """Arrange continuations as a trie. Raises `ValueError` for one without scored tokens."""
    if any(not c.scored for c in continuations):
        raise ValueError("a label has no tokens; give it a name that is not empty")
    children: dict[tuple[int, ...], set[int]] = {}
    wanted: dict[tuple[int, ...], set[int]] = {}
    for continuation in continuations:
        path = continuation.given + continuation.scored
        for size in range(len(path)):
            children.setdefault(path[:size], set()).add(path[size])
            if size >= len(continuation.given):
                wanted.setdefault(path[:size], set()).add(path[size])
    inner = _breadth_first(children)
    index = {path: number - 1 for number, path in enumerate(inner)}  # the root, (), gets -1
    ends = [path for path in inner if path and not any((*path, token) in index for token in children[path])]
    leaves: dict[tuple[int, ...], list[int]] = {path: [] for path in inner}
    for number, end in enumerate(ends):
        for size in range(1, len(end) + 1):
            leaves[end[:size]].append(number)
    nodes = tuple(
        Node(path[-1], len(path), tuple(leaves[path]), tuple(sorted(wanted.get(path, ()))))
        for path in inner
        if path
    )
    steps = tuple(
        tuple(
            (index[(c.given + c.scored)[:size]], (c.given + c.scored)[size])
            for size in range(len(c.given), len(c.given) + len(c.scored))
        )
        for c in continuations
    )
    return Trie(nodes, tuple(sorted(wanted.get((), ()))), steps, len(ends))


def _breadth_first(children: Mapping[tuple[int, ...], set[int]]) -> list[tuple[int, ...]]:
    order: list[tuple[int, ...]] = []
    queue: deque[tuple[int, ...]] = deque([()])
    while queue:
        path = queue.popleft()
        order.append(path)
        queue.extend((*path, token) for token in sorted(children[path]) if (*path, token) in children)
    return order


def log_probabilities(logits: npt.NDArray[np.float32], tokens: Sequence[int]) -> npt.NDArray[np.float64]:
    """Log-probabilities of some tokens under the softmax of `logits`, shape (vocabulary,)."""
    peak = float(logits.max())
    total = float(np.exp(logits - np.float32(peak)).sum(dtype=np.float64))
    chosen = logits[np.asarray(tokens, dtype=np.int64)].astype(np.float64)
    return np.asarray(chosen - peak - np.log(total), dtype=np.float64)


def path_scores(
    paths: Sequence[Sequence[tuple[int, int]]], edges: Mapping[tuple[int, int], float]
) -> npt.NDArray[np.float64]:
    """Log-probability of each path of (node, token) edges, from those of the edges; shape (paths,)."""
    return np.array([sum(edges[step] for step in steps) for steps in paths], dtype=np.float64)


def normalise(log_scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probabilities that sum to one over the given continuations (softmax of their log-probabilities)."""
    shifted = np.exp(log_scores - log_scores.max())
    return np.asarray(shifted / shifted.sum(), dtype=np.float64)
