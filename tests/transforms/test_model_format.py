"""A model in the number format that a job asks for."""

from __future__ import annotations

import logging
import multiprocessing
import pathlib
import time
from typing import TYPE_CHECKING

import pytest

from router.job import LlamaCppModel
from tests.models import SMOLLM2, real_model
from tests.transforms.gguf_examples import gguf, number_setting, tensor
from transforms import model_format
from transforms.llama_adapter import LlamaModel, ModelFileError
from transforms.model_files import fetch_model, file_digest
from transforms.quantize_model import ModelFile, describe_model

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Q4_1, Q8_0 = 3, 7
"""llama.cpp's numbers of files' formats."""


@pytest.fixture(autouse=True)
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A cache of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TEKIZAI_CACHE", str(folder))
    return folder / "models"


def model(source: object, wanted: str | None) -> LlamaCppModel:
    """A model as the job file has it."""
    return LlamaCppModel.model_validate({"engine": "llama_cpp", "source": str(source), "format": wanted})


def small_model(path: pathlib.Path, number: int = Q4_1) -> pathlib.Path:
    """A file that says what format it has; there is no model in it."""
    path.write_bytes(gguf([("general.file_type", number_setting(number))], [tensor("a", number, 256)]))
    return path


def slowly(source: ModelFile, target: pathlib.Path, wanted: str) -> ModelFile:
    """Write something in the place of a model, and a line for each time that was done."""
    with (pathlib.Path(source.path).parent / "calls").open("a", encoding="utf-8") as calls:
        calls.write(f"{wanted}\n")
    part = target.with_suffix(".part")
    part.write_bytes(pathlib.Path(source.path).read_bytes())
    time.sleep(0.3)
    part.rename(target)
    return describe_model(target)


def test_a_real_model(cache: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is made once and says what it was made from; the log tells it, and the engine can load it.

    Its digest, which is in the journal's keys, is another than the source's.
    """
    source = pathlib.Path(real_model(SMOLLM2).path)
    with caplog.at_level(logging.INFO, "transforms.model_format"):
        first, second = (fetch_model("small", model(source, "q8_0")) for _ in range(2))

    assert first == second == cache / f"{file_digest(source)[:16]}-q8_0.gguf"
    assert describe_model(first).lineage == "q8_0 of q4_1"
    assert file_digest(first) != file_digest(source)
    assert [path.suffix for path in cache.iterdir()] == [".gguf"]
    begun, done = caplog.messages
    assert begun == f"writing {source.name} (q4_1, 98 MB) as q8_0 to {first}, once"
    assert done.startswith(f"{first.name} has 145 MB and took ")
    assert done.endswith("; what q4_1 rounded away is not in it")
    assert LlamaModel(first).vocabulary == real_model(SMOLLM2).vocabulary


def test_what_has_the_format_already(tmp_path: pathlib.Path, cache: pathlib.Path) -> None:
    """Is used where it is, as is a model of which no format is asked for."""
    path = small_model(tmp_path / "a.gguf", Q8_0)

    assert fetch_model("small", model(path, "q8_0")) == path
    assert fetch_model("small", model(path, None)) == path
    assert not cache.exists()


def test_another_source_is_another_file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is named by what is in its source and by the format, not by the source's name."""
    monkeypatch.setattr(model_format, "quantise", slowly)
    path = small_model(tmp_path / "a.gguf")
    before = fetch_model("small", model(path, "q8_0"))
    path.write_bytes(path.read_bytes() + b"more")

    assert fetch_model("small", model(path, "q8_0")) != before
    assert fetch_model("small", model(path, "bf16")) != before


def _fetch(source: str, answer: Connection) -> None:
    answer.send(file_digest(fetch_model("small", model(source, "q8_0"))))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_processes_that_want_it_at_once(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One makes it, the others wait, and all get it whole."""
    monkeypatch.setattr(model_format, "quantise", slowly)
    path = small_model(tmp_path / "a.gguf")
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe() for _ in range(3)]
    workers = [context.Process(target=_fetch, args=(str(path), theirs)) for _, theirs in pipes]
    for worker in workers:
        worker.start()

    assert {mine.recv() for mine, _ in pipes} == {file_digest(path)}
    for worker in workers:
        worker.join()
    assert (tmp_path / "calls").read_text(encoding="utf-8") == "q8_0\n"


def test_what_cannot_be_made(
    tmp_path: pathlib.Path, cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line names the key of the job file, and no file is left that would be taken for a model."""
    path = small_model(tmp_path / "a.gguf")
    with pytest.raises(
        ModelFileError, match=r"^models\.small\.format: .*a\.gguf: llama\.cpp cannot make q8_0"
    ):
        fetch_model("small", model(path, "q8_0"))
    assert list(cache.iterdir()) == []

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TEKIZAI_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        ModelFileError, match=r"cannot be written \(.*\); make room there, or let TEKIZAI_CACHE"
    ):
        fetch_model("small", model(path, "q8_0"))
