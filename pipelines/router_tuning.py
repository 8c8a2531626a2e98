"""`tekizai router train --tune`: the encoder is trained on the rows, and its head is mixed with n-grams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.head import softmax
from router.mixed_head import choose_shares, mix
from router.route_training import FittedHead, RouteRows, fit_route_head
from router.text_view import view_texts
from transforms.export_encoder import load_encoder, write_encoder
from transforms.text_encoder import TextEncoder
from transforms.tune_encoder import TuningRows, tune_encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from transforms.tune_encoder import LinearLayer

_HELD_BACK = 10
"""One row of so many chooses how much either part counts; the encoder is not trained on it."""
LEAST_ROWS = 200


@dataclass(frozen=True, slots=True, eq=False)
class TuningSet:
    """The rows of one head."""

    texts: Sequence[str]
    """Those of the user, and after them those that ship."""
    labels: Sequence[str]
    weights: npt.NDArray[np.float64]
    judged: npt.NDArray[np.int64]
    """Which rows are held back from the encoder."""

    @property
    def names(self) -> list[str]:
        """The labels that there are."""
        return sorted(set(self.labels))

    @property
    def answers(self) -> npt.NDArray[np.int64]:
        """The number of each row's label."""
        numbers = {name: number for number, name in enumerate(self.names)}
        return np.array([numbers[label] for label in self.labels], np.int64)

    @property
    def learned(self) -> npt.NDArray[np.int64]:
        """Which rows the encoder is trained on."""
        return np.setdiff1d(np.arange(len(self.labels)), self.judged)


def tuning_set(
    own: Sequence[tuple[str, str]], more: Sequence[tuple[str, str]], *, weight: float = 1.0
) -> TuningSet:
    """Rows of which every tenth of `own` is held back; `more` count half."""
    texts, labels = zip(*own, *more, strict=True)
    order = np.argsort(np.array([label for _, label in own], dtype=object).astype(str), kind="stable")
    # Counted label after label, so that each gives its share.
    judged = np.sort(order[_HELD_BACK - 1 :: _HELD_BACK])
    return TuningSet(texts, labels, np.repeat([weight, 0.5], (len(own), len(more))), judged)


def tune_heads(
    sets: Sequence[TuningSet], name: str, prefix: str, folder: Path, tell: Callable[[str], None]
) -> list[FittedHead]:
    """Tune an encoder on all sets, write it to a folder, and fit a head to each set.

    `name` is that of a Hugging Face encoder or a folder with one. A tenth of the rows is held back from the
    encoder; how much its layer and the n-grams count is chosen there, and the `held_back` of a head is of
    these rows only. Raises `ValueError` where the first set has too few rows, and what `load_encoder` raises.
    """
    if len(sets[0].judged) * _HELD_BACK < LEAST_ROWS:
        raise ValueError(
            f"--tune: too few rows to train an encoder; give {LEAST_ROWS} at least, or leave --tune out"
        )
    loaded = load_encoder(name, prefix=prefix, doing="tuning")
    parts = [
        TuningRows(
            [one.texts[at] for at in one.learned],
            one.answers[one.learned],
            one.weights[one.learned],
            len(one.names),
        )
        for one in sets
    ]
    layers = tune_encoder(loaded, parts, tell)
    tell("rounding the encoder to 8 bits, and fitting the n-grams")
    rows = sum(len(one.texts) for one in parts)
    write_encoder(loaded, folder, origin=f"{name}, tuned on {rows:,} rows")
    encoder = TextEncoder(folder)
    return [_mixed(one, layer, encoder) for one, layer in zip(sets, layers, strict=True)]


def _mixed(rows: TuningSet, layer: LinearLayer, encoder: TextEncoder) -> FittedHead:
    """The tuned layer and a head on n-grams as one, their shares chosen on the rows held back."""
    vectors = encoder.encode_all([rows.texts[at] for at in rows.judged])
    views = view_texts(rows.texts, lambda texts: np.zeros((len(texts), 0), np.float32))
    ngrams = fit_route_head(RouteRows(views, rows.labels, rows.weights))
    # Each row's probabilities are from a fit without it: what the n-grams are worth on rows held back.
    logits = np.log(np.maximum(ngrams.held_back[rows.judged], 1e-12))
    shares = choose_shares(layer.logits(vectors), logits, rows.answers[rows.judged])
    head = mix(layer.weights, layer.bias, ngrams.head, shares)
    return FittedHead(head, softmax(shares[0] * layer.logits(vectors) + shares[1] * logits))
