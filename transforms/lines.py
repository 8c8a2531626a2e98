"""Cutting a stream of bytes into lines, without holding more than one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from transforms.decompression import DECOMPRESSION_ERRORS
from transforms.splits import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_LINE_BYTES = 64 << 20
"""A line beyond this is passed over without being held."""

_BOM = b"\xef\xbb\xbf"


class DamagedError(Exception):
    """Compressed data ends early or does not decompress; `offset` is where the first line not read begins."""

    def __init__(self, offset: int, cause: str) -> None:
        """Keep the byte offset (in decompressed bytes) and the decompressor's words."""
        super().__init__(cause)
        self.offset = offset


class Line(NamedTuple):
    """A line without its line end."""

    offset: int
    data: bytes | None
    """None for a line beyond MAX_LINE_BYTES."""
    size: int


def cut_lines(blocks: Iterable[bytes], offset: int) -> Iterator[Line]:
    """Cut a stream that begins at `offset` of its file into lines; an empty last line is none.

    A byte order mark at the beginning of the file is left out.

    Raises:
        DamagedError: where decompression fails; the lines before that place were yielded.
    """
    held: list[bytes] = []
    size = 0
    try:
        for block in blocks:
            *whole, rest = block.split(b"\n")
            for piece in whole:
                size = _hold(held, piece, size)
                yield _line(offset, held, size)
                offset += size + 1
                held, size = [], 0
            size = _hold(held, rest, size)
    except DECOMPRESSION_ERRORS as error:
        raise DamagedError(offset, one_line(error)) from error
    if size:
        yield _line(offset, held, size)


def _hold(held: list[bytes], piece: bytes, size: int) -> int:
    size += len(piece)
    if size > MAX_LINE_BYTES:
        held.clear()
    else:
        held.append(piece)
    return size


def _line(offset: int, held: list[bytes], size: int) -> Line:
    if size > MAX_LINE_BYTES:
        return Line(offset, None, size)
    data = held[0] if len(held) == 1 else b"".join(held)
    if offset == 0:
        data = data.removeprefix(_BOM)
    return Line(offset, data.removesuffix(b"\r"), size)
