"""The rows nearest to a text: an exact search over vectors that are computed once and kept.

Similarity is that of the sentence encoder's vectors with that of the texts' characters, which tell more where
the encoder does not know the script. The index is faiss's flat one, which compares with every row: what it
finds is the same after a restart.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from router.reference import (
    NEAR_DUPLICATE,
    Nearest,
    ReferenceRow,
    digest_rows,
    folded,
    shared_part,
    trigrams,
)
from router.text_sketch import DIMENSIONS, is_other_script, sketch_texts
from transforms.model_files import cache_folder
from transforms.one_maker import one_maker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from transforms.text_encoder import TextEncoder

__all__ = ["VERSION", "Nearest", "NearestRows", "ReferenceRow", "vectors_of"]

VERSION = 1
"""Raised whenever other rows would be found among the same ones: then earlier answers no longer count."""

_CHARACTERS, _OTHER_SCRIPT = 0.5, 2.0
"""How much characters count beside the encoder: chosen on train and dev splits (docs/retrieval.md)."""
_SPARE = 8
"""Rows to look at beyond those wanted, for duplicates and equal similarities."""
_PLACES = 5
"""Vectors differ by 1e-6 with the texts that were read beside them: that must not decide."""
_AT_ONCE = 256


class NearestRows:
    """An index over rows; safe to share between threads. Vectors are read or made when a text comes."""

    def __init__(
        self,
        rows: Sequence[ReferenceRow],
        encoder: TextEncoder,
        *,
        cache: Path | None = None,
        say: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Take rows in any order; of rows with the same id the first counts.

        Args:
            rows: What can be found.
            encoder: Whose vectors are compared.
            cache: The folder in which their vectors are kept; None: `references` in Tekizai's cache.
            say: Told how many rows have their vectors, while these are made.
        """
        self._encoder, self._say = encoder, say
        self._cache = cache_folder() / "references" if cache is None else cache
        first = {row.id: row for row in reversed(rows)}
        # Rows in the order of their ids: with equal similarities the first ones are found.
        self._rows = [first[id_] for id_ in sorted(first)]
        self._folded = [folded(row.text) for row in self._rows]

    @cached_property
    def digest(self) -> str:
        """What tells these rows from others."""
        return digest_rows(self._rows)

    def prepare(self) -> None:
        """Make or read the vectors now and not with the first text."""
        _ = self._index

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    def nearest(self, text: str, k: int, *, not_id: str | None = None, copies: bool = False) -> list[Nearest]:
        """Up to k rows, the most similar first; of equally similar ones the one with the lower id.

        A row with the same text, be its case, spacing and punctuation others, is never among them, nor one
        that shares `NEAR_DUPLICATE` of its trigrams with the text, nor the row with the id `not_id`. Rows
        that are duplicates of one another are found once.

        `copies`: rows that are the text or nearly so are found too. They give a label away that a record is
        to get, but a passage that says what was asked for is the one that was meant.
        """
        if k <= 0 or not self._rows:
            return []
        query = self._query(text)
        plain = None if copies else folded(text)
        wanted = k + _SPARE
        while True:
            found = self._search(query, wanted)
            kept = self._kept(found, plain, not_id)
            if len(kept) >= k or wanted >= len(self._rows):
                return kept[:k]
            wanted *= 4

    def _search(self, query: npt.NDArray[np.float32], wanted: int) -> list[tuple[float, int]]:
        """(similarity, row) of about so many nearest rows, or of all; equal ones in the rows' order."""
        count = min(wanted, len(self._rows))
        index = self._index
        import faiss  # noqa: PLC0415 - see `_index`

        # Of the calling thread, and of faiss's own OpenMP: its threads would wait busily for the next search,
        # which on a machine with work for all its processors takes six times as long.
        faiss.omp_set_num_threads(1)
        values, at = index.search(query[None, :], count)
        found = [(round(float(v), _PLACES), int(i)) for v, i in zip(values[0], at[0], strict=True)]
        if count < len(self._rows):
            # Others may be as near as the last one, and which of them came must not be the index's choice.
            last = min(value for value, _ in found)
            found = [one for one in found if one[0] > last]
        return sorted(found, key=lambda one: (-one[0], one[1]))

    def _kept(
        self, found: Sequence[tuple[float, int]], plain: str | None, not_id: str | None
    ) -> list[Nearest]:
        own = None if plain is None else trigrams(plain)
        taken = set() if plain is None else {plain}
        kept = []
        for similarity, at in found:
            row, theirs = self._rows[at], self._folded[at]
            if theirs in taken or row.id == not_id:
                continue
            if own is not None and shared_part(own, trigrams(theirs)) >= NEAR_DUPLICATE:
                continue
            taken.add(theirs)
            kept.append(Nearest(row, similarity))
        return kept

    def _query(self, text: str) -> npt.NDArray[np.float32]:
        weight = _OTHER_SCRIPT if is_other_script(text) else _CHARACTERS
        meaning, look = self._encoder.encode(text), sketch_texts([text])[0]
        found = np.concatenate([meaning, look * np.float32(weight)]) / np.float32(1 + weight)
        return np.asarray(found, np.float32)

    @cached_property
    def _index(self) -> Any:  # noqa: ANN401 - faiss is slow to load, and its classes are generated
        import faiss  # noqa: PLC0415 - a job that retrieves nothing needs none

        vectors = vectors_of(self._rows, self._encoder, self._cache, self._say)
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        return index


def vectors_path(rows: Sequence[ReferenceRow], encoder: TextEncoder, cache: Path) -> Path:
    """The file in a cache for the vectors of rows in their order."""
    texts = "\0".join(f"{len(row.text)} {row.text}" for row in rows).encode("utf-8", "surrogatepass")
    facts = f"{VERSION} {encoder.card.digest} {hashlib.sha256(texts).hexdigest()}"
    return cache / f"{hashlib.sha256(facts.encode()).hexdigest()[:32]}.npy"


def vectors_of(
    rows: Sequence[ReferenceRow],
    encoder: TextEncoder,
    cache: Path,
    say: Callable[[int], None] = lambda _: None,
) -> npt.NDArray[np.float32]:
    """The rows' vectors, shape (rows, encoder's dimensions + 512), from the cache or made and kept there.

    One process of a machine makes them, and the others wait. A cache that cannot be written is done without.
    """
    path = vectors_path(rows, encoder, cache)
    shape = (len(rows), encoder.card.dimensions + DIMENSIONS)
    known = _read(path, shape)
    if known is not None:
        return known
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            cache.mkdir(parents=True, exist_ok=True)
            stack.enter_context(one_maker(path))
            known = _read(path, shape)
        if known is None:
            known = _make([row.text for row in rows], encoder, say)
            with contextlib.suppress(OSError):
                _write(path, known)
    return known


def _make(texts: Sequence[str], encoder: TextEncoder, say: Callable[[int], None]) -> npt.NDArray[np.float32]:
    parts = []
    for begin in range(0, len(texts), _AT_ONCE):
        some = texts[begin : begin + _AT_ONCE]
        parts.append(np.hstack([encoder.encode_all(some), sketch_texts(some)]))
        say(begin + len(some))
    return np.ascontiguousarray(np.vstack(parts), np.float32)


def _read(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.float32] | None:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = found.shape == shape and found.dtype == np.float32 and math.isfinite(float(found.sum()))
    return found if whole else None


def _write(path: Path, vectors: npt.NDArray[np.float32]) -> None:
    data = io.BytesIO()
    np.save(data, vectors, allow_pickle=False)
    # A half-written file never has its name.
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
        part.write(data.getbuffer())
    Path(part.name).replace(path)
