"""The shipped sentence encoder, as it is."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING

import numpy as np
import pydantic
import pytest

from router.assets import asset_path
from transforms.model_files import file_digest
from transforms.text_encoder import ENCODER, TextEncoder, read_card

if TYPE_CHECKING:
    import pathlib

    import numpy.typing as npt


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    """One for all tests."""
    return TextEncoder(asset_path(ENCODER))


def cosine(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Of two vectors of length 1."""
    return float(one @ other)


def test_the_files_are_those_of_the_card() -> None:
    """Journals and calibrations go by the card's digests."""
    folder = asset_path(ENCODER)
    card = read_card(folder)

    assert file_digest(folder / "model.onnx") == card.model_sha256
    assert file_digest(folder / "tokenizer.json") == card.tokenizer_sha256
    assert card.licence == "Apache-2.0"


def test_texts_of_one_meaning_are_near_each_other(encoder: TextEncoder) -> None:
    """Nearer than texts of another."""
    parcel = encoder.encode("Where is my parcel? It should have come on Monday.")
    package = encoder.encode("My package has not arrived yet.")
    refund = encoder.encode("I was charged twice for the same order.")

    assert cosine(parcel, package) > cosine(parcel, refund) + 0.2


def test_a_vector_has_the_length_one(encoder: TextEncoder) -> None:
    """Whatever the text."""
    for text in ("", " ", "a", "\ud83d", "\x00", "日本語の文章です。", "word " * 1000):
        vector = encoder.encode(text)
        assert (vector.shape, vector.dtype) == ((384,), np.float32)
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_a_text_has_one_vector(encoder: TextEncoder) -> None:
    """Whatever was read before it, and by another copy of the encoder."""
    first = encoder.encode("The same text.")
    encoder.encode("Something long " * 50)

    assert encoder.encode("The same text.").tolist() == first.tolist()
    assert TextEncoder(asset_path(ENCODER)).encode("The same text.").tolist() == first.tolist()


def test_a_batch_gives_what_its_texts_give_alone(encoder: TextEncoder) -> None:
    """Whatever they are read with: rounding is by row. Order and repetitions stay."""
    texts = [
        "Short.",
        "A somewhat longer text about parcels.",
        "",
        "Short.",
        "word " * 300,
        "日本語の文章です。",
    ]
    together = TextEncoder(asset_path(ENCODER)).encode_all(texts)

    assert together.shape == (6, 384)
    for text, vector in zip(texts, together, strict=True):
        assert np.abs(TextEncoder(asset_path(ENCODER)).encode(text) - vector).max() < 1e-6
    assert together[0].tolist() == together[3].tolist()
    assert encoder.encode_all([]).shape == (0, 384)


def test_the_end_of_a_long_text_counts(encoder: TextEncoder) -> None:
    """What a prompt asks for is often its last sentence; the middle is left out."""
    middle = "The weather was fine. " * 300
    one, other = (
        encoder.encode(f"Read this. {middle} Translate it."),
        encoder.encode(f"Read this. {middle} Sum it."),
    )

    assert cosine(one, other) < 0.999
    assert cosine(one, encoder.encode(f"Read this. {middle * 2} Translate it.")) > cosine(one, other)


def test_vectors_that_were_just_made_are_remembered(encoder: TextEncoder) -> None:
    """Router and head look at the same text, one after the other."""
    new = TextEncoder(asset_path(ENCODER))
    first = new.encode("A text that the router reads.")
    new._session.run = None  # a second pass would fail

    assert new.encode("A text that the router reads.").tolist() == first.tolist()


def test_a_megabyte_takes_no_longer_than_a_page(encoder: TextEncoder) -> None:
    """What lies beyond the encoder's tokens is not read."""
    started = time.perf_counter()
    encoder.encode("long " * 200_000)
    encoder.encode("x" * 1_000_000)

    assert time.perf_counter() - started < 2.0


def test_a_card_with_an_unknown_key_is_refused(tmp_path: pathlib.Path) -> None:
    """As job files are."""
    shutil.copy(asset_path(ENCODER) / "encoder.json", tmp_path)
    card = json.loads((tmp_path / "encoder.json").read_text())
    (tmp_path / "encoder.json").write_text(json.dumps({**card, "licence_url": "x"}))

    with pytest.raises(pydantic.ValidationError, match="licence_url"):
        TextEncoder(tmp_path)
