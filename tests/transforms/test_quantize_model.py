"""Quantising a real model, and what is said where that cannot be done."""

from __future__ import annotations

import os
import pathlib
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.models import SMOLLM2, real_model
from tests.transforms.gguf_examples import gguf, number_setting, tensor, text_setting
from transforms import quantize_model
from transforms.gguf_header import TENSOR_TYPES
from transforms.llama_adapter import ModelFileError
from transforms.llama_library import library
from transforms.model_files import file_digest
from transforms.own_process import ProcessDiedError
from transforms.quantize_model import FORMATS, NEEDS_IMPORTANCE, ModelFile, describe_model, quantise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self


@pytest.fixture(scope="module")
def smollm2() -> ModelFile:
    """SmolLM2 as its package carries it."""
    return describe_model(pathlib.Path(real_model(SMOLLM2).path))


@pytest.fixture(scope="module")
def made(smollm2: ModelFile, tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    """The same as q4_0."""
    return quantise(smollm2, tmp_path_factory.mktemp("made") / "in" / "smollm2-q4_0.gguf", "q4_0")


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A disk of 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(mounting, check=False).returncode != 0:
        pytest.skip("a small disk cannot be mounted here (that needs root on Linux)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_what_a_model_is(smollm2: ModelFile) -> None:
    """Its format and the share of each tensor type, without loading it."""
    assert smollm2.format == "q4_1"
    assert smollm2.lineage == "q4_1"
    assert smollm2.quantised
    assert sum(smollm2.shares.values()) == pytest.approx(1.0)
    assert next(iter(smollm2.shares)) == "q4_1"


def test_a_model_as_q4_0(smollm2: ModelFile, made: ModelFile) -> None:
    """Smaller, of the wanted type, and the file itself says what its weights were before."""
    path = pathlib.Path(made.path)

    assert made.format == "q4_0"
    assert made.was == ("q4_1",)
    assert made.lineage == "q4_0 of q4_1"
    assert made.bytes == path.stat().st_size < smollm2.bytes
    assert made.sha256 == file_digest(path)
    assert next(iter(made.shares)) == "q4_0"
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_the_file_knows_its_own_history(tmp_path: pathlib.Path) -> None:
    """What is read of a file that was made from one that was made from another."""
    path = tmp_path / "a.gguf"
    settings = [
        ("general.file_type", number_setting(15)),
        ("tekizai.weights_were", text_setting("q4_1 q8_0")),
    ]
    path.write_bytes(gguf(settings, [tensor("a", 12, 256)]))

    assert describe_model(path).lineage == "q4_k_m of q8_0 of q4_1"


def test_a_format_that_cannot_be_made(smollm2: ModelFile, tmp_path: pathlib.Path) -> None:
    """llama.cpp's own reason is passed on, and nothing is left."""
    with pytest.raises(ModelFileError, match=r"cannot make iq2_xxs of it \(.*importance matrix.*\); choose"):
        quantise(smollm2, tmp_path / "a.gguf", "iq2_xxs")

    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(smollm2: ModelFile, small_disk: pathlib.Path) -> None:
    """It is called what it is, and the room is given back."""
    with pytest.raises(ModelFileError, match=r"q4_0: cannot be written, the disk .* is full .*; make room"):
        quantise(smollm2, small_disk / "a.gguf", "q4_0")

    assert list(small_disk.iterdir()) == []


def test_no_folder(smollm2: ModelFile, tmp_path: pathlib.Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("")

    with pytest.raises(ModelFileError, match=r"a\.gguf: cannot be written \(.*\); choose another --output"):
        quantise(smollm2, tmp_path / "file" / "a.gguf", "q4_0")


def test_llama_cpp_that_dies(
    smollm2: ModelFile, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process ends without a word; the file that was there stays as it was."""

    class Dying:
        def __init__(self, *_: Any) -> None: ...
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...
        def ask(self, _: object) -> object:
            raise ProcessDiedError("its process ended before it had answered (by signal SIGABRT)")

    monkeypatch.setattr(quantize_model, "OwnProcess", Dying)
    target = tmp_path / "a.gguf"
    target.write_bytes(b"before")

    with pytest.raises(ModelFileError, match=r"cannot make q4_0 of it .*SIGABRT"):
        quantise(smollm2, target, "q4_0")

    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


def test_the_lists_of_formats() -> None:
    """What can be made, and what needs more than there is, have nothing in common."""
    assert not NEEDS_IMPORTANCE & set(FORMATS)
    assert len(set(FORMATS)) == len(FORMATS)


def test_numbers_are_those_of_the_bindings() -> None:
    """Every name that the bindings have too stands for the same number there."""
    c = library()

    for name, number in quantize_model._FILE_TYPES.items():
        kind = "ALL" if name == "f32" else "MOSTLY"
        assert getattr(c, f"LLAMA_FTYPE_{kind}_{name.upper()}") == number
    for number, name in TENSOR_TYPES.items():
        assert getattr(c, f"GGML_TYPE_{name.upper()}", number) == number
