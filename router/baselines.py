"""What a head of the router is compared with: the commonest label, keywords, and naive Bayes on words."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WORD = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]|\w+")


def majority(labels: Sequence[str], texts: Sequence[str]) -> list[str]:
    """The commonest label of the training rows, for every text."""
    [(label, _)] = Counter(labels).most_common(1)
    return [label] * len(texts)


def keywords(
    rows: Sequence[tuple[str, str]], texts: Sequence[str], words: Mapping[str, Sequence[str]]
) -> list[str]:
    """The label whose words are in a text most often; the commonest label where none is."""
    fallback = majority([label for _, label in rows], [""])[0]
    found = []
    for text in texts:
        lower = text.lower()
        hits = {label: sum(word in lower for word in listed) for label, listed in words.items()}
        best = max(hits, key=lambda label: hits[label])
        found.append(best if hits[best] else fallback)
    return found


def naive_bayes(rows: Sequence[tuple[str, str]], texts: Sequence[str]) -> list[str]:
    """Multinomial naive Bayes on words, add-one smoothing (McCallum and Nigam, AAAI-98 workshop)."""
    counts: dict[str, Counter[str]] = {}
    labels = Counter(label for _, label in rows)
    for text, label in rows:
        counts.setdefault(label, Counter()).update(_words(text))
    vocabulary = len({word for one in counts.values() for word in one})
    totals = {label: sum(one.values()) + vocabulary for label, one in counts.items()}
    names = sorted(counts)
    return [
        max(
            names,
            key=lambda name: (
                np.log(labels[name]) + sum(np.log((counts[name][word] + 1) / totals[name]) for word in words)
            ),
        )
        for words in (_words(text) for text in texts)
    ]


def _words(text: str) -> list[str]:
    return _WORD.findall(text[:4_000].lower())
