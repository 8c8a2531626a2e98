"""What a GGUF file says of itself: its settings, and of which types and shapes its tensors are.

Reference: the GGUF specification of ggml (docs/gguf.md there), versions 2 and 3, little-endian.
"""

from __future__ import annotations

import mmap
import struct
from collections import Counter
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING

from transforms.llama_adapter import ModelFileError, check_gguf

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping

    Value = int | float | bool | str

_VERSIONS = (2, 3)
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""GGUF's numbers of the types of settings, as `struct` calls them."""
_STRING, _ARRAY = 8, 9
_DEEPEST = 4
_MOST_DIMENSIONS = 8
_LONGEST_TEXT = 1 << 16
"""Longer texts (chat templates are shorter) are cut off: nothing here needs them."""

_TENSOR_NAMES = (
    "f32 f16 q4_0 q4_1 - - q5_0 q5_1 q8_0 - q2_k q3_k q4_k q5_k q6_k - iq2_xxs iq2_xs iq3_xxs iq1_s iq4_nl "
    "iq3_s iq2_s iq4_xs i8 i16 i32 i64 f64 iq1_m bf16 - - - tq1_0 tq2_0 - - - mxfp4 nvfp4"
)
TENSOR_TYPES = {number: name for number, name in enumerate(_TENSOR_NAMES.split()) if name != "-"}
"""ggml's numbers of tensor types that files may hold."""
WHOLE = frozenset({"f32", "f16", "bf16", "f64"})
"""Types of weights that were not quantised."""


_ALIGNMENT, _ALIGNED = "general.alignment", 32
"""The tensors begin at a multiple of this many bytes, where the file does not say another one."""


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """What the head says of a tensor."""

    shape: tuple[int, ...]
    """As ggml counts: the dimension whose numbers lie side by side comes first."""
    kind: str
    begin: int
    """Where it begins in the file, in bytes."""


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """The head of a GGUF file."""

    settings: Mapping[str, Value]
    """What is a number, a truth value or a text; lists, such as the vocabulary, are left out."""
    weights: Mapping[str, int]
    """How many weights each tensor type holds, most first."""
    tensors: Mapping[str, TensorHeader] = field(default_factory=dict)

    @property
    def quantised(self) -> bool:
        """Whether some weights are not the numbers that the model was trained to."""
        return any(kind not in WHOLE for kind in self.weights)

    def number(self, key: str) -> int | None:
        """A whole number among the settings; None where there is none of that name."""
        value = self.settings.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def text(self, key: str) -> str | None:
        """A text among the settings; None where there is none of that name."""
        value = self.settings.get(key)
        return value if isinstance(value, str) else None


def read_header(path: pathlib.Path) -> GgufHeader:
    """Read the head of a file. Raises `ModelFileError` where it is not a GGUF file or is cut off there."""
    check_gguf(path)
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _header(_Cursor(data))
    except (struct.error, ValueError, OverflowError) as error:
        raise ModelFileError(
            f"{path}: its GGUF header cannot be read ({error}); it is cut off or damaged: fetch it again"
        ) from error


class _Cursor:
    """Reads one value after another."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def skip(self, size: int) -> None:
        if size > len(self._data) - self._at:
            raise ValueError(f"it ends after {len(self._data)} bytes")
        self._at += size

    def aligned(self, size: int) -> int:
        """Where the next multiple of so many bytes is."""
        return -(-self._at // size) * size

    def number(self, kind: str) -> int | float | bool:
        form = f"<{kind}"
        at = self._at
        self.skip(struct.calcsize(form))
        found: int | float | bool = struct.unpack_from(form, self._data, at)[0]
        return found

    def count(self, kind: str = "Q") -> int:
        return int(self.number(kind))

    def text(self) -> str:
        size = self.count()
        at = self._at
        self.skip(size)
        return self._data[at : at + min(size, _LONGEST_TEXT)].decode("utf-8", "replace")


def _header(cursor: _Cursor) -> GgufHeader:
    cursor.skip(4)
    version = cursor.count("I")
    if version not in _VERSIONS:
        raise ValueError(f"version {version}, but only 2 and 3 are known")
    tensor_count, settings = cursor.count(), cursor.count()
    found: dict[str, Value] = {}
    for _ in range(settings):
        key = cursor.text()
        value = _value(cursor, cursor.count("I"))
        if value is not None:
            found[key] = value
    tensors = dict(_tensor(cursor) for _ in range(tensor_count))
    weights: Counter[str] = Counter()
    for one in tensors.values():
        weights[one.kind] += prod(one.shape)
    aligned = found.get(_ALIGNMENT)
    start = cursor.aligned(aligned if isinstance(aligned, int) and aligned > 0 else _ALIGNED)
    tensors = {name: replace(one, begin=start + one.begin) for name, one in tensors.items()}
    return GgufHeader(found, dict(weights.most_common()), tensors)


def _value(cursor: _Cursor, kind: int, depth: int = 0) -> Value | None:
    """The next value; a list is read over, and None stands for it."""
    if kind == _STRING:
        return cursor.text()
    if kind != _ARRAY:
        if kind not in _NUMBERS:
            raise ValueError(f"a setting of the unknown type {kind}")
        return cursor.number(_NUMBERS[kind])
    inner, size = cursor.count("I"), cursor.count()
    if inner in _NUMBERS:
        cursor.skip(size * struct.calcsize(f"<{_NUMBERS[inner]}"))
    elif inner == _STRING:
        for _ in range(size):
            cursor.skip(cursor.count())
    elif depth < _DEEPEST:
        for _ in range(size):
            _value(cursor, inner, depth + 1)
    else:
        raise ValueError("lists in lists in lists")
    return None


def _tensor(cursor: _Cursor) -> tuple[str, TensorHeader]:
    """Name and head of the next tensor; it begins so far behind where all tensors do."""
    name = cursor.text()
    dimensions = cursor.count("I")
    if dimensions > _MOST_DIMENSIONS:
        raise ValueError(f"a tensor of {dimensions} dimensions")
    shape = tuple(cursor.count() for _ in range(dimensions))
    kind = cursor.count("I")
    return name, TensorHeader(shape, TENSOR_TYPES.get(kind, f"type {kind}"), cursor.count())
