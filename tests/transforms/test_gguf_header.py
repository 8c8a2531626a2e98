"""What the head of a GGUF file says, and files whose head cannot be read."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from tests.transforms.gguf_examples import gguf, list_setting, number_setting, tensor, text_setting
from transforms.gguf_header import read_header
from transforms.llama_adapter import ModelFileError

if TYPE_CHECKING:
    import pathlib

F32, Q4_0 = 0, 2
SETTINGS = [
    ("general.name", text_setting("tiny")),
    ("tokenizer.ggml.tokens", list_setting(["a", "b", "cd"])),
    ("general.file_type", number_setting(2)),
]


def written(folder: pathlib.Path, data: bytes) -> pathlib.Path:
    """The bytes as a file."""
    path = folder / "a.gguf"
    path.write_bytes(data)
    return path


def refusal(folder: pathlib.Path, data: bytes) -> str:
    """The line with which a file is refused."""
    with pytest.raises(ModelFileError) as caught:
        read_header(written(folder, data))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_settings_and_weights(tmp_path: pathlib.Path) -> None:
    """Settings after a list are found too; weights are counted by type, most first."""
    tensors = [tensor("norm", F32, 64), tensor("a", Q4_0, 64, 32), tensor("b", Q4_0, 64)]

    header = read_header(written(tmp_path, gguf(SETTINGS, tensors)))

    assert dict(header.settings) == {"general.name": "tiny", "general.file_type": 2}
    assert list(header.weights.items()) == [("q4_0", 64 * 32 + 64), ("f32", 64)]
    assert header.quantised
    assert header.number("general.file_type") == 2
    assert header.text("general.file_type") is None
    assert header.number("nothing") is None


def test_weights_as_they_were_trained(tmp_path: pathlib.Path) -> None:
    """A file of 32- and 16-bit numbers is not quantised."""
    tensors = [tensor("a", F32, 64), tensor("b", 1, 64), tensor("c", 30, 64)]

    header = read_header(written(tmp_path, gguf((), tensors)))

    assert not header.quantised
    assert set(header.weights) == {"f32", "f16", "bf16"}


def test_a_type_of_the_future(tmp_path: pathlib.Path) -> None:
    """It has a number, if no name."""
    assert dict(read_header(written(tmp_path, gguf((), [tensor("a", 99, 5)]))).weights) == {"type 99": 5}


@pytest.mark.parametrize("size", [5, 20, 30, 60, 100])
def test_a_file_that_is_cut_off(tmp_path: pathlib.Path, size: int) -> None:
    """Wherever its head ends too soon, the line says so."""
    data = gguf(SETTINGS, [tensor("a", F32, 64)])
    assert size < len(data)

    assert "its GGUF header cannot be read (it ends after" in refusal(tmp_path, data[:size])


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (gguf(version=1), "version 1, but only 2 and 3 are known"),
        (gguf([("a", struct.pack("<I", 77))]), "a setting of the unknown type 77"),
        (gguf([("a", struct.pack("<IIQ", 9, 9, 1) + struct.pack("<IQ", 9, 1) * 9)]), "lists in lists"),
        (gguf([("a", struct.pack("<IIQ", 9, 4, 2**62))]), "it ends after"),
        (gguf((), [tensor("a", F32, *[1] * 9)]), "a tensor of 9 dimensions"),
    ],
    ids=["version", "setting", "lists", "a long list", "dimensions"],
)
def test_a_head_that_makes_no_sense(tmp_path: pathlib.Path, data: bytes, cause: str) -> None:
    """Nothing is read beyond the file, and the line gives the cause."""
    assert cause in refusal(tmp_path, data)


def test_no_gguf_file(tmp_path: pathlib.Path) -> None:
    """The same line as a job gets."""
    assert "not a GGUF model (it begins with b'# ab')" in refusal(tmp_path, b"# abc")
