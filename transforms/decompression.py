"""Decompressing gzip and Zstandard streams, so that all data before a damaged place is delivered."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Protocol

import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# What a decoder makes of the piece in which it fails is lost, and zstandard may make 128 KiB of 4 bytes:
# small pieces bound both. They cost little: 256 bytes at a time take 1.4 times as long as 64 KiB.
_PIECE = 256

DECOMPRESSION_ERRORS = (zlib.error, zstandard.ZstdError, EOFError)
"""What `decompress` raises where the data is damaged."""


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def decompress(blocks: Iterable[bytes], compression: str) -> Iterator[bytes]:
    """Decompress `gz` or `zst` data: any number of members or frames; zero bytes between them are padding.

    Raises:
        EOFError: where the last member or frame is not complete.
        zlib.error, zstandard.ZstdError: where the data is not what the format says.
    """
    decoder: _Decoder | None = None
    for piece in _pieces(blocks):
        rest = piece
        while rest:
            if decoder is None:
                rest = rest.lstrip(b"\0")
                if not rest:
                    break
                decoder = _DECODERS[compression]()
            if data := decoder.decompress(rest):
                yield data
            if not decoder.eof:
                break
            rest = decoder.unused_data
            decoder = None
    if decoder is not None:
        raise EOFError("it ends before its end marker, so the file is cut off")


def _pieces(blocks: Iterable[bytes]) -> Iterator[bytes]:
    for block in blocks:
        for start in range(0, len(block), _PIECE):
            yield block[start : start + _PIECE]


def _gzip() -> _Decoder:
    return zlib.decompressobj(wbits=31)


def _zstandard() -> _Decoder:
    return zstandard.ZstdDecompressor().decompressobj()


_DECODERS: dict[str, Callable[[], _Decoder]] = {"gz": _gzip, "zst": _zstandard}
