"""A head of the router: applied, trained, and kept in files."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from router.ngrams import BUCKETS, ngram_counts
from router.route_files import RouteHeads, read_heads, write_heads
from router.route_head import RouteHead
from router.route_training import RouteRows, fit_route_head
from router.surface import NAMES
from router.text_view import view_texts
from tests.router.route_examples import DIMENSIONS, encode, head

_SALES = ["I want to buy a {}", "how much is the {}", "order one {} please", "do you sell a {}"]
_COMPLAINTS = ["my {} is broken", "the {} does not work", "I want my money back for the {}", "terrible {}"]
_THINGS = ["lamp", "chair", "phone", "table", "kettle", "bag", "clock", "shelf"]


def rows() -> RouteRows:
    """64 short texts, half of each label."""
    texts = [line.format(thing) for line in (*_SALES, *_COMPLAINTS) for thing in _THINGS]
    labels = ["sale"] * 32 + ["complaint"] * 32
    return RouteRows(view_texts(texts, encode), labels)


def test_probabilities_are_a_softmax_of_a_linear_map() -> None:
    """By hand: only the intercepts, ln 3 against 0, so 3/4 and 1/4; at temperature 2, sqrt(3) to 1."""
    plain = dataclasses.replace(head("a", "b"), intercept=np.array([np.log(3.0), 0.0], np.float32))
    [view] = view_texts(["text"], encode)

    assert plain.probabilities([view])[0] == pytest.approx([0.75, 0.25], abs=1e-6)
    warm = dataclasses.replace(plain, temperature=2.0)
    assert warm.probabilities([view])[0] == pytest.approx([3**0.5 / (1 + 3**0.5), 1 / (1 + 3**0.5)], abs=1e-6)


def test_n_grams_and_vectors_count() -> None:
    """One bucket of weight 2 and one dimension of weight 1."""
    [view] = view_texts(["text"], encode)
    ngrams = np.zeros((BUCKETS, 2), np.float16)
    ngrams[view.buckets[0], 0] = 2.0
    dense = np.zeros((2, DIMENSIONS + len(NAMES)), np.float32)
    dense[1, 0] = 1.0
    found = RouteHead(("a", "b"), dense, ngrams, np.zeros(2, np.float32)).probabilities([view])
    logits = np.array([2.0 * view.weights[0], view.embedding[0]])

    assert found[0] == pytest.approx(np.exp(logits) / np.exp(logits).sum(), abs=1e-6)


def test_a_text_does_not_depend_on_its_neighbours() -> None:
    """Bit by bit: the same decision on every runner, however records are batched."""
    found = fit_route_head(rows()).head
    views = view_texts(["my lamp is broken", "x" * 5_000, "", "do you sell tea"], encode)

    together = found.probabilities(views)
    assert [found.probabilities([view])[0].tolist() for view in views] == together.tolist()


def test_a_trained_head_tells_what_it_was_taught() -> None:
    """New texts of the same kinds; and the held-back probabilities are of fits without the row."""
    fitted = fit_route_head(rows())
    new = view_texts(["how much is the sofa", "the sofa does not work"], encode)
    said = fitted.head.probabilities(new).argmax(axis=1)

    assert [fitted.head.labels[at] for at in said] == ["sale", "complaint"]
    assert fitted.held_back.shape == (64, 2)
    assert fitted.held_back.sum(axis=1) == pytest.approx(np.ones(64))


def test_training_is_reproducible() -> None:
    """The same rows give the same weights."""
    one, other = fit_route_head(rows()).head, fit_route_head(rows()).head

    assert one.dense.tolist() == other.dense.tolist()
    assert (one.ngrams == other.ngrams).all()


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (["a"] * 64, "the rows have 1 label; a head needs at least 2"),
        (["a"] * 63 + ["b"], "the label 'b' has a single row; give each label 2 at least"),
        (["a", "b"], "64 texts do not go with 2 labels"),
    ],
)
def test_rows_that_teach_nothing_are_refused(labels: list[str], says: str) -> None:
    """Before any time is spent."""
    with pytest.raises(ValueError, match=says):
        RouteRows(rows().views, labels)


def test_a_head_of_another_encoder_is_refused() -> None:
    """It would give numbers without meaning."""
    other = RouteHead(
        ("a", "b"),
        np.zeros((2, 7 + len(NAMES)), np.float32),
        np.zeros((BUCKETS, 2), np.float16),
        np.zeros(2, np.float32),
    )
    with pytest.raises(ValueError, match="trained on 7 dimensions got 4"):
        other.probabilities(view_texts(["text"], encode))


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    """A file that was put together wrongly."""
    with pytest.raises(ValueError, match="a head with 2 labels has weights of the shapes"):
        RouteHead(("a", "b"), head("a").dense, head("a", "b").ngrams, head("a", "b").intercept)


def test_heads_are_read_as_they_were_written() -> None:
    """With what is known about them."""
    fitted = fit_route_head(rows()).head
    files = write_heads(RouteHeads("digest", {"domain": fitted}, {"domain": {"rows": 64}}))
    found = read_heads(files["router.json"], files["heads.safetensors"])
    views = view_texts(["my lamp is broken"], encode)

    assert found.encoder == "digest"
    assert found.about == {"domain": {"rows": 64}}
    assert found.heads["domain"].probabilities(views).tolist() == fitted.probabilities(views).tolist()


@pytest.mark.parametrize("damage", ["card", "weights", "format", "missing"])
def test_damaged_files_are_refused_in_one_line(damage: str) -> None:
    """With what to do."""
    files = write_heads(RouteHeads("digest", {"domain": head("a", "b")}))
    card, weights = files["router.json"], files["heads.safetensors"]
    if damage == "card":
        card = card[:-20]
    if damage == "weights":
        weights = weights[: len(weights) // 2]
    if damage == "format":
        card = json.dumps({**json.loads(card), "format": 9}).encode()
    if damage == "missing":
        card = json.dumps({"format": 1, "encoder": "x", "heads": {"task": {"labels": ["a"]}}}).encode()

    with pytest.raises(ValueError, match="train the router anew") as caught:
        read_heads(card, weights)
    assert "\n" not in str(caught.value)


def test_a_view_is_what_the_parts_give() -> None:
    """In the order of the texts; none for none."""
    assert view_texts([], encode) == []
    one, other = view_texts(["a", "b"], encode)

    assert one.buckets.tolist() == ngram_counts("a")[0].tolist()
    assert other.embedding.tolist() == encode(["b"])[0].tolist()
