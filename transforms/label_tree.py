"""The nodes of a label trie in the order and the batches in which they are evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.trie import Node, Trie

_TREE_BATCH = 32
"""Logits are kept for each token of a batch; this many of a large vocabulary take some tens of megabytes."""


@dataclass(frozen=True, slots=True)
class TreeBatch:
    """Nodes of the label trie that are evaluated together, and the sequences each belongs to."""

    numbers: tuple[int, ...]
    nodes: tuple[Node, ...]
    members: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """As many branches of the trie as there are sequences for; they are numbered from 1 on."""

    sequences: int
    batches: tuple[TreeBatch, ...]


def tree_groups(trie: Trie, size: int) -> tuple[Group, ...]:
    """The trie's nodes in groups of at most `size` branches, parents first."""
    groups = []
    for first in range(0, trie.branches, max(size, 1)):
        chosen = [
            (number, node, members)
            for number, node in enumerate(trie.nodes)
            if (members := tuple(leaf - first + 1 for leaf in node.leaves if first <= leaf < first + size))
        ]
        batches = [chosen[begin : begin + _TREE_BATCH] for begin in range(0, len(chosen), _TREE_BATCH)]
        groups.append(
            Group(
                min(size, trie.branches - first),
                tuple(TreeBatch(*zip(*batch, strict=True)) for batch in batches),
            )
        )
    return tuple(groups)
