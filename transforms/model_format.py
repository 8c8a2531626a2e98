"""A model in the number format that a job wants: made once, and kept in the model cache."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from transforms.gguf_header import read_header
from transforms.llama_adapter import ModelFileError
from transforms.model_files import file_digest
from transforms.one_maker import one_maker
from transforms.quantize_model import describe_model, format_of, quantise

if TYPE_CHECKING:
    import pathlib

_LOGGER = logging.getLogger(__name__)
_DIGITS = 16
_MB = 1e6


def in_format(source: pathlib.Path, wanted: str, folder: pathlib.Path) -> pathlib.Path:
    """The model in a number format: `source` where it has that one, else a file of `folder`.

    Of processes that want it at once, one makes the file and the others wait. Its name has the digest of the
    source, so that another source is another file. Raises `ModelFileError` where it cannot be made.
    """
    if format_of(read_header(source)) == wanted:
        return source
    target = folder / f"{file_digest(source)[:_DIGITS]}-{wanted}.gguf"
    if target.exists():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with one_maker(target):
            if not target.exists():
                _make(source, target, wanted)
    except OSError as error:
        raise ModelFileError(
            f"{target}: cannot be written ({error.strerror}); make room there, or let TEKIZAI_CACHE name "
            "another folder"
        ) from error
    return target


def _make(source: pathlib.Path, target: pathlib.Path, wanted: str) -> None:
    of = describe_model(source)
    said = f"writing {source.name} ({of.lineage}, {of.bytes / _MB:.0f} MB) as {wanted} to {target}, once"
    _LOGGER.info("%s", said)
    started = time.monotonic()
    made = quantise(of, target, wanted)
    _LOGGER.info(
        "%s has %.0f MB and took %.1f s%s",
        target.name,
        made.bytes / _MB,
        time.monotonic() - started,
        f"; what {of.format} rounded away is not in it" if of.quantised_as else "",
    )
