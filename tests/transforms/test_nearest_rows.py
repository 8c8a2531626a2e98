"""The index finds the nearest rows exactly, and never the text itself."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from router.assets import asset_path
from router.reference import ReferenceRow, digest_rows, folded, shared_part, trigrams
from router.text_sketch import is_other_script, sketch_texts
from transforms.nearest_rows import NearestRows, vectors_of
from transforms.text_encoder import ENCODER, TextEncoder, shared_encoder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

TEXTS = {
    "a1": "The delivery came two weeks late.",
    "a2": "My parcel arrived much too late.",
    "b1": "The battery dies after an hour.",
    "b2": "The phone has to be charged all the time.",
    "c1": "部屋がとても清潔でした。",
    "c2": "朝食が美味しかったです。",
}
ROWS = [ReferenceRow(name, text, name[0]) for name, text in TEXTS.items()]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    """The router's."""
    return shared_encoder(asset_path(ENCODER))


@pytest.fixture
def index(encoder: TextEncoder, tmp_path: Path) -> NearestRows:
    """Over `ROWS`."""
    return NearestRows(ROWS, encoder, cache=tmp_path)


def ids(index: NearestRows, text: str, k: int, not_id: str | None = None) -> list[str]:
    """Ids of the rows that are found."""
    return [one.row.id for one in index.nearest(text, k, not_id=not_id)]


def test_the_rows_about_the_same_come_first(index: NearestRows) -> None:
    """Also in a script that the encoder does not know, by its characters."""
    assert ids(index, "It was delivered late.", 2) == ["a1", "a2"]
    assert set(ids(index, "The battery is always empty, I charge it every hour.", 2)) == {"b1", "b2"}
    assert ids(index, "部屋が清潔です。", 1) == ["c1"]


def test_the_text_itself_is_never_found(index: NearestRows) -> None:
    """Nor a copy with other case, spacing and punctuation, nor one with a word more."""
    for copy in (
        TEXTS["a1"],
        "  THE DELIVERY   came two weeks late!!!",
        "the-delivery, came: two weeks late",
        "Oh, the delivery came two weeks late.",
    ):
        assert "a1" not in ids(index, copy, 6)
        assert len(ids(index, copy, 6)) == 5


def test_a_query_finds_the_row_that_says_just_that(index: NearestRows) -> None:
    """It comes first, whereas a record is never shown its own text."""
    for query in (TEXTS["a1"], "the delivery came two weeks late"):
        assert [one.row.id for one in index.nearest(query, 2, copies=True)] == ["a1", "a2"]


def test_the_row_with_the_records_id_is_never_found(index: NearestRows) -> None:
    """Be its text another one by now."""
    assert "a2" not in ids(index, "It was delivered late.", 6, not_id="a2")
    assert len(ids(index, "It was delivered late.", 6, not_id="a2")) == 5


@pytest.mark.parametrize(("k", "found"), [(0, 0), (1, 1), (5, 5), (6, 6), (7, 6), (32, 6)])
def test_no_more_rows_come_than_there_are(index: NearestRows, k: int, found: int) -> None:
    """Nor more than are wanted."""
    assert len(index.nearest("Something else.", k)) == found


def test_copies_among_the_rows_are_found_once(encoder: TextEncoder, tmp_path: Path) -> None:
    """Of copies the most similar one; and of rows with one id the first."""
    rows = [
        ReferenceRow("z", "It broke at once.", "bad"),
        ReferenceRow("y", "it broke, at once", "bad"),
        ReferenceRow("y", "A second row of that id.", "bad"),
        ReferenceRow("x", "I like it a lot.", "good"),
    ]
    index = NearestRows(rows, encoder, cache=tmp_path)

    assert len(index) == 3
    assert ids(index, "It broke after a day.", 3) == ["z", "x"]


class FewDirections:
    """An encoder whose vectors are one of two, so that most rows tie."""

    card = TextEncoder(asset_path(ENCODER)).card

    def encode(self, text: str) -> npt.NDArray[np.float32]:
        return np.asarray(self.encode_all([text])[0])

    def encode_all(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        found = np.zeros((len(texts), self.card.dimensions), np.float32)
        for row, text in enumerate(texts):
            found[row, "late" in text] = 1.0
        return found


def test_ties_are_broken_by_id_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And whatever the order is in which the rows came."""
    monkeypatch.setattr(
        "transforms.nearest_rows.sketch_texts", lambda texts: np.zeros((len(texts), 512), "f4")
    )
    letters = ["".join(pair) for pair in itertools.product("abcdefgh", repeat=2)]
    rows = [
        ReferenceRow(f"{n:03}", f"{word * 5} {'late' if n >= 32 else 'soon'}")
        for n, word in enumerate(letters)
    ]
    random.Random(5).shuffle(rows)
    index = NearestRows(rows, FewDirections(), cache=tmp_path)  # type: ignore[arg-type]  # a fake

    assert ids(index, "late", 5) == ["032", "033", "034", "035", "036"]
    assert ids(index, "late", 34)[-2:] == ["000", "001"]


def test_what_is_found_is_what_comparing_with_every_row_finds(encoder: TextEncoder, tmp_path: Path) -> None:
    """The index is exact: 400 rows, against the similarities written out."""
    random_ = random.Random(3)
    words = ["late", "early", "parcel", "phone", "battery", "price", "cheap", "refund", "broken", "fine"]
    rows = [ReferenceRow(f"{n:03}", " ".join(random_.choices(words, k=6))) for n in range(400)]
    index = NearestRows(rows, encoder, cache=tmp_path)
    text = "the parcel with the phone was late and broken"
    vectors = vectors_of(rows, encoder, tmp_path)
    query = np.concatenate([encoder.encode(text), sketch_texts([text])[0] / 2]) / 1.5
    expected = sorted(range(400), key=lambda at: (-round(float(vectors[at] @ query), 5), at))

    found = index.nearest(text, 8)

    assert [one.row.id for one in found] == [f"{at:03}" for at in expected[:8]]
    assert found[0].similarity == pytest.approx(float(vectors[expected[0]] @ query), abs=1e-5)


class Counting(TextEncoder):
    """Counts the texts that it reads."""

    read = 0

    def encode_all(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.read += len(texts)
        return super().encode_all(texts)


def test_vectors_are_made_once_for_all_processes(tmp_path: Path) -> None:
    """A second index of the same rows reads them from the cache; another row makes all of them anew."""
    told: list[int] = []
    first, second, third = (Counting(asset_path(ENCODER)) for _ in range(3))

    found = NearestRows(ROWS, first, cache=tmp_path, say=told.append).nearest("Too late.", 3)
    again = NearestRows(list(reversed(ROWS)), second, cache=tmp_path).nearest("Too late.", 3)
    changed = [*ROWS[:-1], ReferenceRow("c2", "夕食も美味しかったです。", "c")]
    NearestRows(changed, third, cache=tmp_path).nearest("Too late.", 3)

    assert (first.read, second.read, third.read) == (7, 1, 7)
    assert told == [6]
    assert again == found


def test_a_broken_cache_is_made_anew(encoder: TextEncoder, tmp_path: Path) -> None:
    """Half a file, or one of another shape, is not read; nor does a folder that is none matter."""
    expected = vectors_of(ROWS, encoder, tmp_path)
    [file] = tmp_path.glob("*.npy")
    for broken in (file.read_bytes()[:500], b"", b"\x93NUMPY"):
        file.write_bytes(broken)
        np.testing.assert_array_equal(vectors_of(ROWS, encoder, tmp_path), expected)
    (tmp_path / "file").write_text("")

    np.testing.assert_array_equal(vectors_of(ROWS, encoder, tmp_path / "file"), expected)


def test_rows_are_told_apart_by_all_that_they_hold() -> None:
    """By id, text and label, not by their order."""
    row = ReferenceRow("1", "text", "label")
    others = [
        ReferenceRow("2", "text", "label"),
        ReferenceRow("1", "texts", "label"),
        ReferenceRow("1", "text", "other"),
        ReferenceRow("1", "text", ("label",)),
    ]

    assert len({digest_rows([one]) for one in [row, *others]}) == 5
    assert digest_rows([row, others[0]]) == digest_rows([others[0], row])


@pytest.mark.parametrize(
    ("text", "same"),
    [("Wie geht's?", "wiegehts"), ("ＡＢＣ １２３", "abc123"), ("?!", "?!"), ("😀 😀", "😀😀"), ("", "")],
)
def test_folding_leaves_letters_and_digits(text: str, same: str) -> None:
    """A text of signs alone keeps them."""
    assert folded(text) == same


def test_the_shared_part_of_trigrams() -> None:
    """`abcd` has abc and bcd, `bcde` has bcd and cde: one of three is shared."""
    assert shared_part(trigrams("abcd"), trigrams("bcde")) == pytest.approx(1 / 3)
    assert shared_part(trigrams("ab"), trigrams("ab")) == 1.0
    assert shared_part(trigrams(""), trigrams("a")) == 0.0


def test_a_sketch_has_length_one_and_ignores_case_and_spacing() -> None:
    """Texts without a character in common are far apart."""
    one, same, other = sketch_texts(["Too  LATE", "too late", "なるほど"])

    assert float(one @ one) == pytest.approx(1.0)
    np.testing.assert_array_equal(one, same)
    assert abs(float(one @ other)) < 0.35


def test_a_sketch_is_the_same_on_every_machine() -> None:
    """`a` with its edges has the n-grams " ", "a", " a", "a ", " a ": the space counts 1 + log 2."""
    [vector] = sketch_texts(["a"])
    kept = np.flatnonzero(vector)

    assert len(kept) == 5
    weight = 1 + np.log(2)
    assert max(abs(vector[kept])) == pytest.approx(weight / np.sqrt(4 + weight**2))
    assert sketch_texts(["", "\ud800"]).shape == (2, 512)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Hello", False),
        ("Straße", False),
        ("部屋 OK", False),
        ("部屋が清潔 OK", True),
        ("Привет", True),
        ("12", False),
    ],
)
def test_scripts_other_than_latin(text: str, other: bool) -> None:
    """Most letters count: 部屋 are two, as OK are."""
    assert is_other_script(text) is other
