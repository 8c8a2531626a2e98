"""The sentence encoder: one vector for a text, from an ONNX file on the CPU.

What ships in data/router/encoder is described in data/README.md. Nothing else here knows ONNX Runtime.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic

from router.text_ends import END_CHARACTERS, both_ends

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

ENCODER = "data/router/encoder"
"""The shipped one, for `router.assets.asset_path`."""

_BATCH_TOKENS = 256
_BATCH_TEXTS = 8
"""A batch that outgrows the processor's cache is slower than its texts one by one."""

_REMEMBERED = 256


class Reading(pydantic.BaseModel):
    """Which tokens of a text an encoder reads."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    max_tokens: pydantic.PositiveInt
    tail_tokens: pydantic.NonNegativeInt = 0
    """How many of them are the text's last ones, where it has more."""
    prefix: str = ""
    """What the encoder wants before each text."""

    def tokens(self, tokenizer: Any, text: str) -> list[int]:  # noqa: ANN401 - see `load_tokenizer`
        """The tokens of a text."""
        # A megabyte takes a second to cut up. Half a character, which JSON may hold, is in no encoding.
        readable = f"{self.prefix}{both_ends(text)}".encode("utf-8", "replace").decode()
        ids: list[int] = tokenizer.encode(readable).ids
        if len(ids) <= self.max_tokens:
            return ids
        tail = self.tail_tokens
        return ids[: self.max_tokens - tail] + (ids[-tail:] if tail else [])


class EncoderCard(Reading):
    """What an encoder is, in `encoder.json` beside its files."""

    name: str
    licence: str
    origin: str
    model_sha256: str
    tokenizer_sha256: str
    dimensions: pydantic.PositiveInt

    @property
    def digest(self) -> str:
        """What its vectors depend on."""
        reading = f"{self.max_tokens}-{self.tail_tokens}-{self.prefix}"
        return f"{self.model_sha256}-{self.tokenizer_sha256}-{reading}"


def read_card(folder: Path) -> EncoderCard:
    """The card of the encoder in a folder. Raises `FileNotFoundError` and `pydantic.ValidationError`."""
    return EncoderCard.model_validate_json((folder / "encoder.json").read_bytes())


def write_card(folder: Path, card: EncoderCard) -> None:
    """Put a card beside the encoder's files."""
    (folder / "encoder.json").write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_tokenizer(folder: Path) -> Any:  # noqa: ANN401 - `tokenizers` has stubs for its documented names only
    """The tokenizer of the encoder in a folder; it neither pads nor cuts."""
    # The fast half of `transformers`, whose other half takes a second to import and asks for PyTorch.
    from tokenizers import Tokenizer  # noqa: PLC0415 - a job without an encoder needs none

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


@cache
def shared_encoder(folder: Path) -> TextEncoder:
    """The one encoder of a folder in this process: router and heads look at the same vectors."""
    return TextEncoder(folder)


class TextEncoder:
    """An encoder, loaded when the first text comes; one for all threads of a process."""

    def __init__(self, folder: Path) -> None:
        """Look at the card only. Raises what `read_card` does."""
        self._folder = folder
        self.card = read_card(folder)
        self._lock = threading.Lock()
        self._known: OrderedDict[str, npt.NDArray[np.float32]] = OrderedDict()

    def encode(self, text: str) -> npt.NDArray[np.float32]:
        """The text's vector, of length 1; shape (dimensions,)."""
        [vector] = self.encode_all([text])
        return np.asarray(vector)

    def encode_all(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """A vector of length 1 for each text; shape (texts, dimensions).

        Of a long text the first and the last tokens count (`EncoderCard`). Texts of about the same length
        are read together, which changes their vectors by less than 1e-6.
        """
        found = np.zeros((len(texts), self.card.dimensions), np.float32)
        with self._lock:
            new = []
            for at, text in enumerate(texts):
                known = self._known.get(text)
                if known is None:
                    new.append(at)
                else:
                    found[at] = known
            ids = {at: self.card.tokens(self._tokenizer, texts[at]) for at in new}
            for batch in _batches(ids):
                found[batch] = self._vectors([ids[at] for at in batch])
            for at in new:
                self._remember(texts[at], found[at])
        return found

    def _remember(self, text: str, vector: npt.NDArray[np.float32]) -> None:
        # What a head looks at, the router has looked at just before.
        if len(text) <= 2 * END_CHARACTERS:
            self._known[text] = vector.copy()
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _vectors(self, ids: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        tokens = np.zeros((len(ids), max(map(len, ids))), np.int64)
        mask = np.zeros_like(tokens)
        for row, one in enumerate(ids):
            tokens[row, : len(one)] = one
            mask[row, : len(one)] = 1
        [found] = self._session.run(None, {"input_ids": tokens, "attention_mask": mask})
        vectors = np.asarray(found, np.float32)
        lengths: npt.NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, np.float32(1e-12)))

    @cached_property
    def _tokenizer(self) -> Any:  # noqa: ANN401 - see `load_tokenizer`
        return load_tokenizer(self._folder)

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401 - ONNX Runtime has no types
        import onnxruntime  # noqa: PLC0415 - a job without an encoder needs none

        options = onnxruntime.SessionOptions()
        # One thread: a worker has the processes that its machine has room for.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = str(self._folder / "model.onnx")
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _batches(ids: dict[int, list[int]]) -> Iterator[list[int]]:
    """Which texts to read together, by their place: neighbours in length, as many as pay."""
    batch: list[int] = []
    for at in sorted(ids, key=lambda at: len(ids[at])):
        if batch and (len(batch) == _BATCH_TEXTS or len(ids[at]) * (len(batch) + 1) > _BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch
