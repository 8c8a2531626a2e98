"""A GGUF model in another number format, by llama.cpp's own quantiser.

Beside `transforms.llama_adapter` this is the only module that knows llama.cpp.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from router.number_formats import NUMBER_FORMATS
from transforms.gguf_header import GgufHeader, read_header
from transforms.llama_adapter import ModelFileError
from transforms.llama_library import library, log_tail
from transforms.model_files import file_digest
from transforms.own_process import OwnProcess, ProcessDiedError

if TYPE_CHECKING:
    import pathlib

_FILE_NAMES = (
    "f32 f16 q4_0 q4_1 - - - q8_0 q5_0 q5_1 q2_k q3_k_s q3_k_m q3_k_l q4_k_s q4_k_m q5_k_s q5_k_m q6_k "
    "iq2_xxs iq2_xs q2_k_s iq3_xs iq3_xxs iq1_s iq4_nl iq3_s iq3_m iq2_s iq2_m iq4_xs iq1_m bf16 - - - tq1_0 "
    "tq2_0"
)
_FILE_TYPES = {name: number for number, name in enumerate(_FILE_NAMES.split()) if name != "-"}
"""llama.cpp's numbers of whole files' formats (llama_ftype)."""
FORMATS = NUMBER_FORMATS
"""The formats that can be made, about from large to small."""
NEEDS_IMPORTANCE = frozenset(
    {"iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq2_m", "iq3_xxs", "iq3_xs", "q2_k_s"}
)
"""Formats that llama.cpp makes only with an importance matrix, which a run of the model over texts gives."""
_WEIGHTS_WERE = "tekizai.weights_were"
_TEXT_OVERRIDE, _LONGEST = 3, 127
_FULL = 1 << 20
"""With fewer bytes than this left, a disk counts as full: llama.cpp does not say why it cannot write."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A GGUF file and what it holds."""

    path: str
    format: str
    """Of most of its weights, such as `q4_0`, as the file says it."""
    was: tuple[str, ...]
    """The quantised formats that the weights had been in before, in order, as far as the file knows."""
    quantised: bool
    bytes: int
    sha256: str
    shares: dict[str, float]
    """By tensor type: its share of the weights."""

    @property
    def quantised_as(self) -> tuple[str, ...]:
        """The quantised formats that the weights have been through: none where they are as trained."""
        return (*self.was, self.format) if self.quantised else self.was

    @property
    def lineage(self) -> str:
        """The format, and those before it: `q8_0 of q4_1`."""
        return " of ".join((self.format, *reversed(self.was)))


def describe_model(path: pathlib.Path) -> ModelFile:
    """Look at a file. Raises `ModelFileError` where it is not a GGUF file."""
    header = read_header(path)
    total = sum(header.weights.values()) or 1
    return ModelFile(
        str(path),
        format_of(header),
        tuple((header.text(_WEIGHTS_WERE) or "").split()),
        header.quantised,
        path.stat().st_size,
        file_digest(path),
        {kind: count / total for kind, count in header.weights.items()},
    )


def format_of(header: GgufHeader) -> str:
    """What most of a file's weights are, as the file says it."""
    number = header.number("general.file_type")
    names = {value: name for name, value in _FILE_TYPES.items()}
    return names.get(-1 if number is None else number) or next(iter(header.weights), "unknown")


def quantise(source: ModelFile, target: pathlib.Path, wanted: str) -> ModelFile:
    """Write the model to `target` in one of `FORMATS`; the file is there whole or not at all.

    A file made from quantised weights says so in its settings, so that its own descendants can tell.
    Raises `ModelFileError` where llama.cpp cannot make it or the disk does not take it.
    """
    before = source.quantised_as
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".quantize-") as folder:
            part = os.path.join(folder, "model.gguf")  # noqa: PTH118 - it goes to C as it is
            _apart(source.path, part, wanted, before)
            os.replace(part, target)  # noqa: PTH105 - likewise
    except OSError as error:
        raise ModelFileError(
            f"{target}: cannot be written ({error.strerror or error}); choose another --output, or make room"
        ) from error
    return describe_model(target)


def _apart(source: str, part: str, wanted: str, before: tuple[str, ...]) -> None:
    """Quantise in a process of its own: Ctrl-C ends it, and llama.cpp may end it without a word."""
    try:
        with OwnProcess(_quantiser, source, part) as process:
            said = process.ask((wanted, before))
    except ProcessDiedError as error:
        said = str(error)
    if said is None:
        return
    free = shutil.disk_usage(os.path.dirname(part)).free  # noqa: PTH120 - see `quantise`
    if free < _FULL:
        raise ModelFileError(
            f"{wanted}: cannot be written, the disk of the output folder is full ({free:,} bytes are left); "
            "make room, or choose another --output"
        )
    raise ModelFileError(
        f"{source}: llama.cpp cannot make {wanted} of it ({said or 'it gives no reason'}); choose another "
        "format, or fetch the file again if it may be damaged"
    )


def _quantiser(source: str, part: str) -> Any:  # noqa: ANN401 - a function of the request
    def make(request: tuple[str, tuple[str, ...]]) -> str | None:
        return _quantise(source, part, *request)

    return make


def _quantise(source: str, part: str, wanted: str, before: tuple[str, ...]) -> str | None:
    """Returns None where it is done, else llama.cpp's complaint."""
    c = library()
    log_tail().last()
    parameters = c.llama_model_quantize_default_params()
    parameters.ftype = _FILE_TYPES[wanted]
    parameters.allow_requantize = True
    overrides = _overrides(before)
    parameters.kv_overrides = ctypes.cast(overrides, ctypes.POINTER(c.llama_model_kv_override))
    code = c.llama_model_quantize(os.fsencode(source), os.fsencode(part), ctypes.byref(parameters))
    return log_tail().last().replace("=", "").strip() if code else None


def _overrides(before: tuple[str, ...]) -> Any:  # noqa: ANN401 - an array of C structures
    """The settings to write, ended by an empty one."""
    said = " ".join(before)[-_LONGEST:]
    found = (library().llama_model_kv_override * 2)()
    if said:
        found[0].tag, found[0].key = _TEXT_OVERRIDE, _WEIGHTS_WERE.encode()
        found[0].value.val_str = said.encode()
    return found
