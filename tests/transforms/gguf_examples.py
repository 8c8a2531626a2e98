"""Small GGUF files, written by hand."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Setting = tuple[str, bytes]


def text(value: str) -> bytes:
    """A string as GGUF writes it: its length, then its bytes."""
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def text_setting(value: str) -> bytes:
    """A setting that is a text."""
    return struct.pack("<I", 8) + text(value)


def number_setting(value: int) -> bytes:
    """A setting that is a 32-bit number."""
    return struct.pack("<II", 4, value)


def list_setting(values: Sequence[str]) -> bytes:
    """A setting that is a list of texts."""
    return struct.pack("<IIQ", 9, 8, len(values)) + b"".join(map(text, values))


def tensor(name: str, kind: int, *dimensions: int) -> bytes:
    """What the head says of a tensor."""
    sizes = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
    return text(name) + sizes + struct.pack("<IQ", kind, 0)


def gguf(settings: Sequence[Setting] = (), tensors: Sequence[bytes] = (), version: int = 3) -> bytes:
    """A file that has nothing but its head."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(settings))
    return head + b"".join(text(key) + value for key, value in settings) + b"".join(tensors)
