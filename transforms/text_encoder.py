"""The sentence encoder: one vector for a text, from an ONNX file on the CPU.

What ships in data/router/encoder is described in data/README.md. Nothing else here knows ONNX Runtime.
"""

from __future__ import annotations

import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic

if TYPE_CHECKING:
    import numpy.typing as npt

ENCODER = "data/router/encoder"
"""The shipped one, for `router.assets.asset_path`."""

_MOST_CHARACTERS = 4_000
"""More than this is not read: its tokens would be cut off anyway, and a megabyte takes a second to cut up."""


class EncoderCard(pydantic.BaseModel):
    """What an encoder is, in `encoder.json` beside its files."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str
    licence: str
    origin: str
    model_sha256: str
    tokenizer_sha256: str
    dimensions: pydantic.PositiveInt
    max_tokens: pydantic.PositiveInt

    @property
    def digest(self) -> str:
        """What its vectors depend on."""
        return f"{self.model_sha256}-{self.tokenizer_sha256}"


def read_card(folder: Path) -> EncoderCard:
    """The card of the encoder in a folder. Raises `FileNotFoundError` and `pydantic.ValidationError`."""
    return EncoderCard.model_validate_json((folder / "encoder.json").read_bytes())


class TextEncoder:
    """An encoder, loaded when the first text comes; one for all threads of a process."""

    def __init__(self, folder: Path) -> None:
        """Look at the card only. Raises what `read_card` does."""
        self._folder = folder
        self.card = read_card(folder)
        self._lock = threading.Lock()

    def encode(self, text: str) -> npt.NDArray[np.float32]:
        """The text's vector, of length 1; shape (dimensions,).

        Only the first `max_tokens` tokens count. One text at a time: the quantised model rounds all texts of
        a batch together, so that a text's vector would depend on what it was read with.
        """
        # Half a character, which JSON may hold, is in no encoding.
        readable = text[:_MOST_CHARACTERS].encode("utf-8", "replace").decode()
        with self._lock:
            ids = self._tokenizer.encode(readable).ids
            tokens = np.array([ids], np.int64)
            found = self._session.run(None, {"input_ids": tokens, "attention_mask": np.ones_like(tokens)})
        vector = np.asarray(found[0][0], np.float32)
        return vector / max(float(np.linalg.norm(vector)), 1e-12)

    @cached_property
    def _tokenizer(self) -> Any:  # noqa: ANN401 - `tokenizers` has stubs for its documented names only
        # The fast half of `transformers`, whose other half takes a second to import and asks for PyTorch.
        from tokenizers import Tokenizer  # noqa: PLC0415 - a job without an encoder needs none

        tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.card.max_tokens)
        return tokenizer

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401 - ONNX Runtime has no types
        import onnxruntime  # noqa: PLC0415 - a job without an encoder needs none

        options = onnxruntime.SessionOptions()
        # One thread: a worker has the processes that its machine has room for.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = str(self._folder / "model.onnx")
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
