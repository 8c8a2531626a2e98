"""The trie over labels' tokens, with probabilities worked out by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.trie import (
    ROOT,
    Continuation,
    Node,
    build_trie,
    end_where_prefix,
    log_probabilities,
    normalise,
    path_scores,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


def test_single_tokens_need_no_node() -> None:
    """Labels of one token are scored right after the prompt: nothing is evaluated for them."""
    trie = build_trie([Continuation((7,)), Continuation((3,))])

    assert trie.nodes == ()
    assert trie.branches == 0
    assert trie.root_wanted == (3, 7)
    assert trie.steps == (((ROOT, 7),), ((ROOT, 3),))


def test_shared_beginnings_are_nodes_once() -> None:
    """1-2-3, 1-2-4 and 1-5 share the node 1; 1-2 is a node too; 6 is none. Both end in one branch."""
    scored = [(1, 2, 3), (1, 2, 4), (1, 5), (6,)]
    trie = build_trie([Continuation(tokens) for tokens in scored])

    assert trie.nodes == (
        Node(token=1, depth=1, leaves=(0,), wanted=(2, 5)),
        Node(token=2, depth=2, leaves=(0,), wanted=(3, 4)),
    )
    assert trie.root_wanted == (1, 6)
    assert trie.branches == 1
    assert trie.steps == (
        ((ROOT, 1), (0, 2), (1, 3)),
        ((ROOT, 1), (0, 2), (1, 4)),
        ((ROOT, 1), (0, 5)),
        ((ROOT, 6),),
    )


def test_branches_that_part_share_their_common_node() -> None:
    """1-2-9 and 1-3-9 are two branches; the node 1 belongs to both, and parents come before children."""
    trie = build_trie([Continuation((1, 2, 9)), Continuation((1, 3, 9))])

    assert [(node.token, node.depth, node.leaves) for node in trie.nodes] == [
        (1, 1, (0, 1)),
        (2, 2, (0,)),
        (3, 2, (1,)),
    ]
    assert trie.branches == 2


def test_given_tokens_are_evaluated_but_not_scored() -> None:
    """A question's tokens have no wanted successors, except the answers after its last one."""
    trie = build_trie([Continuation((8,), given=(4, 5)), Continuation((9,), given=(4, 5))])

    assert trie.root_wanted == ()
    assert [(node.token, node.wanted) for node in trie.nodes] == [(4, ()), (5, (8, 9))]
    assert trie.steps == (((1, 8),), ((1, 9),))


def test_a_label_without_tokens_is_refused() -> None:
    """It would have the probability 1, whatever the text."""
    with pytest.raises(ValueError, match="a label has no tokens"):
        build_trie([Continuation((1,)), Continuation(())])


def test_the_beginning_of_another_label_gets_an_end() -> None:
    """`card` (1) and `card payment` (1 2): only what begins another one is ended."""
    assert end_where_prefix([(1,), (1, 2), (1, 2, 3), (4, 1)], 99) == [(1, 99), (1, 2, 99), (1, 2, 3), (4, 1)]


def test_equal_labels_are_refused() -> None:
    """No score could tell them apart."""
    with pytest.raises(ValueError, match="two labels have the same tokens; rename one of them"):
        end_where_prefix([(1, 2), (1, 2)], 99)


def test_log_probabilities() -> None:
    """Of weights 1, 2, 5 the shares are 1/8, 2/8 and 5/8, also where the logits are large."""
    logits = np.log(np.array([1.0, 2.0, 5.0])).astype(np.float32)

    assert np.exp(log_probabilities(logits, [2, 0])) == pytest.approx([0.625, 0.125], abs=1e-6)
    assert np.exp(log_probabilities(logits + np.float32(500), [1])) == pytest.approx([0.25], abs=1e-4)


def test_paths_add_up() -> None:
    """Log-probabilities of a label's tokens are added: 1/2 times 1/4 is 1/8."""
    trie = build_trie([Continuation((1, 2)), Continuation((3,))])
    edges = {(ROOT, 1): math.log(0.5), (0, 2): math.log(0.25), (ROOT, 3): math.log(0.3)}

    assert np.exp(path_scores(trie.steps, edges)) == pytest.approx([0.125, 0.3])


def test_normalise() -> None:
    """Probabilities .1 and .3 among themselves are .25 and .75; very small ones do not vanish."""
    assert normalise(np.log(np.array([0.1, 0.3]))) == pytest.approx([0.25, 0.75])
    assert normalise(np.array([-2000.0, -2000.0])) == pytest.approx([0.5, 0.5])
    assert normalise(np.array([-1.0])) == pytest.approx([1.0])


_LABELS = st.lists(
    st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple), min_size=1, max_size=12, unique=True
)


@given(labels=_LABELS, seed=st.integers(0, 100))
def test_scores_are_products_along_any_labels(labels: list[tuple[int, ...]], seed: int) -> None:
    """With a model that is a table, the trie's scores are the table's products, ends included."""
    ended = end_where_prefix(labels, 4)
    trie = build_trie([Continuation(tokens) for tokens in ended])
    table: dict[tuple[int, ...], list[float]] = {}

    def chance(before: tuple[int, ...], token: int) -> float:
        source = np.random.default_rng([seed, *before])
        return table.setdefault(before, source.dirichlet(np.ones(5)).tolist())[token]

    texts = _texts_of_nodes(ended)
    edges: Mapping[tuple[int, int], float] = {
        (number, token): math.log(chance(texts[number], token))
        for number, wanted in [(ROOT, trie.root_wanted), *((i, n.wanted) for i, n in enumerate(trie.nodes))]
        for token in wanted
    }

    expected = [math.prod(chance(tokens[:i], tokens[i]) for i in range(len(tokens))) for tokens in ended]
    assert np.exp(path_scores(trie.steps, edges)) == pytest.approx(expected)
    assert sum(expected) <= 1.0 + 1e-9
    assert [len(texts[number]) for number in range(len(trie.nodes))] == [node.depth for node in trie.nodes]


def _texts_of_nodes(labels: list[tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    """Which tokens lead to each node: beginnings of labels, the shorter ones first, then by token."""
    beginnings = {tokens[:size] for tokens in labels for size in range(1, len(tokens))}
    ordered = sorted(beginnings, key=lambda tokens: (len(tokens), tokens))
    return {ROOT: (), **dict(enumerate(ordered))}
