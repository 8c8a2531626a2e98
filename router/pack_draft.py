"""A pack from labelled rows: which are held back, which become examples, and which words are typical."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import chain, zip_longest
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from router.job_wording import shortened, shown
from router.prompt_search import LONGEST, LabelledText

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

LEAST_ROWS = 20
"""With fewer there is nothing to hold back and to measure on."""
HELD_BACK_SHARE = 0.2
_FEW_LABELS, _MANY_LABELS = 12, 40
"""Up to so many labels two examples each are shown, and up to so many one; beyond, the prompt is too long."""
_LEAST_A_LABEL = 4
"""Rows a label has on average at least; else the column is hardly one of labels."""
_TYPICAL_WORDS, _LEAST_SEEN = 6, 3
_WORD = re.compile(r"[^\W\d_]{3,}")
_HOLD = b"tekizai.hold"
_DIGEST_BYTES = 8


class DraftError(ValueError):
    """The rows make no pack; one line that says why and what to do."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Labelled rows as a pack needs them."""

    train: tuple[LabelledText, ...]
    """What examples are chosen from, in the file's order."""
    held_back: tuple[LabelledText, ...]
    """What the pack is measured on."""
    labels: tuple[str, ...]
    """In alphabetical order."""
    repeated: int
    """Rows left out because an earlier one has the same text."""
    contradicted: int
    """Rows left out because the same text has two labels."""

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each label, the held-back ones included."""
        found = Counter(row.label for row in (*self.train, *self.held_back))
        return {label: found[label] for label in self.labels}


def draft(rows: Sequence[tuple[str, object]], column: str) -> Draft:
    """Split labelled rows into what examples come from and what is held back, by the texts' digests.

    A row stays on its side whatever else the file holds, so that more rows can be added later.

    Args:
        rows: texts with their labels as they were read; those without a label are left out before.
        column: the labels' column, for messages.

    Raises:
        DraftError: the labels are no names, there is one only, or too few rows.
    """
    named = [(text, _label(value, column)) for text, value in rows]
    by_text: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for text, label in named:
        by_text[_same(text)].append((text, label))
    clear = [group for group in by_text.values() if len({label for _, label in group}) == 1]
    kept = [LabelledText(*group[0]) for group in clear]
    labels = tuple(sorted({row.label for row in kept}))
    _check(len(kept), labels, column)
    held = tuple(row for row in kept if is_held_back(row.text))
    train = tuple(row for row in kept if not is_held_back(row.text))
    contradicted = len(named) - sum(map(len, clear))
    return Draft(train, held, labels, sum(map(len, clear)) - len(kept), contradicted)


def is_held_back(text: str) -> bool:
    """Whether a text is one of the fifth that is held back: by its digest, case and spacing apart."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES, person=_HOLD)
    digest.update(_same(text).encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest(), "big") < HELD_BACK_SHARE * 2.0 ** (8 * _DIGEST_BYTES)


def _same(text: str) -> str:
    return " ".join(text.split()).casefold()


def _label(value: object, column: str) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, list):
        raise DraftError(
            f"--label: column {column!r} holds lists: a pack is started for one label a text; give a column "
            "with one, and turn `kind` to multi_label in the pack.yaml afterwards"
        )
    what = "an empty label" if isinstance(value, str) else f"{shown(value) or 'a value'}, which is no name"
    raise DraftError(
        f"--label: column {column!r} holds {what}: models read the labels' names; write words into the "
        "column (such as positive for 1)"
    )


def _check(rows: int, labels: Sequence[str], column: str) -> None:
    if len(labels) < 2:  # noqa: PLR2004 - one label leaves nothing to choose
        one = f"only the label {shown(labels[0])}" if labels else "no label"
        raise DraftError(f"--label: column {column!r} holds {one}; name the column with the labels")
    if rows < LEAST_ROWS:
        raise DraftError(
            f"--from: {rows} labelled rows with texts of their own; give at least {LEAST_ROWS}, so that some "
            "can be held back to measure on"
        )
    if rows < _LEAST_A_LABEL * len(labels):
        raise DraftError(
            f"--label: column {column!r} holds {len(labels):,} different labels in {rows:,} rows, so it is "
            f"hardly one of labels; name another, or give {_LEAST_A_LABEL} rows a label at least"
        )


def examples_per_label(labels: int) -> int:
    """How many examples of each label a prompt of so many labels has room for."""
    if labels <= _FEW_LABELS:
        return 2
    return 1 if labels <= _MANY_LABELS else 0


def candidates(rows: Iterable[LabelledText], most: int) -> dict[str, list[LabelledText]]:
    """By label, the rows that may become examples, `most` at most: words, not longer than usual."""
    by_label: dict[str, list[LabelledText]] = defaultdict(list)
    for row in rows:
        # An emoticon or a number shows a model nothing.
        if len(row.text) <= LONGEST and 2 * sum(map(str.isalpha, row.text)) >= len(row.text):
            by_label[row.label].append(row)
    usual = {label: median(len(row.text) for row in group) for label, group in by_label.items()}
    short = {
        label: [row for row in group if len(row.text) <= usual[label]] for label, group in by_label.items()
    }
    return {label: group[:most] for label, group in sorted(short.items())}


def typical(vectors: Mapping[str, npt.NDArray[np.float32]], per_label: int) -> dict[str, list[int]]:
    """By label, the places of rows that are near to their label, far from the others, and not alike.

    Args:
        vectors: by label, unit vectors of the candidates, shape (rows, dimensions).
        per_label: how many of each, where there are so many.
    """
    centres = {label: _unit(rows.mean(axis=0)) for label, rows in vectors.items() if len(rows)}
    found: dict[str, list[int]] = {}
    for label, rows in vectors.items():
        others = np.array([centre for name, centre in centres.items() if name != label])
        nearest = (rows @ others.T).max(axis=1) if len(others) and len(rows) else np.zeros(len(rows))
        score = rows @ centres[label] - nearest if len(rows) else np.zeros(0)
        chosen: list[int] = []
        for _ in range(min(per_label, len(rows))):
            alike = (rows @ rows[chosen].T).max(axis=1) if chosen else np.zeros(len(rows))
            alike[chosen] = np.inf
            chosen.append(int(np.argmax(score - alike)))
        found[label] = chosen
    return found


def _unit(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def in_rounds(chosen: Mapping[str, Sequence[LabelledText]]) -> list[LabelledText]:
    """The examples of all labels, one of each, then the next of each: no label stands last for long."""
    rounds = zip_longest(*chosen.values())
    return [row for row in chain.from_iterable(rounds) if row is not None]


def typical_words(rows: Sequence[LabelledText]) -> dict[str, list[str]]:
    """By label, the words that tell its texts from the others best; few in scripts without spaces."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        seen[row.label].update(set(_WORD.findall(row.text.casefold())))
    everywhere = sum(seen.values(), Counter())
    sizes = Counter(row.label for row in rows)

    def weight(label: str, word: str) -> float:
        inside, outside = seen[label][word], everywhere[word] - seen[label][word]
        rest = max(1, len(rows) - sizes[label])
        return inside * math.log(((inside + 0.5) / (sizes[label] + 1)) / ((outside + 0.5) / (rest + 1)))

    found = {}
    for label in sorted(sizes):
        often = [word for word, count in seen[label].items() if count >= _LEAST_SEEN]
        ranked = sorted(often, key=lambda word: (-weight(label, word), word))
        best = [word for word in ranked if weight(label, word) > 0.0][:_TYPICAL_WORDS]
        found[label] = [shortened(word) for word in best]
    return found
