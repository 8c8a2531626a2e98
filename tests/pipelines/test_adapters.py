"""Whole jobs whose small model has adapters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.model_source import find_adapted
from pipelines.prepare import prepare
from router.adapters import AdaptedModel
from router.job import LlamaCppModel
from router.pilot import pilot_salt
from tests.adapters import adapter_file
from tests.models import GEMMA, SMOLLM2, model_path
from tests.pipelines.jobs import World
from transforms.llama_adapter import ModelFileError
from transforms.model_files import file_digest

if TYPE_CHECKING:
    import pathlib

CARD = "My card payment was declined and the bank has charged me a fee on my account."
FILM = "The film has a brilliant cast, and the music of this movie is lovely."
ROUTING = {"default": "small", "escalate_to": None, "gate": {"min_confidence": 0.0}}


def with_adapter(file: pathlib.Path, **fields: Any) -> dict[str, Any]:
    """Sections of a job whose model `small` has an adapter for texts about money."""
    adapter = {"when": {"domains": ["finance"]}, "path": str(file), "name": "money", **fields}
    model = {
        "engine": "llama_cpp",
        "source": f"pypi://{SMOLLM2}",
        "usd_per_hour": "3.6",
        "threads": 1,
        "adapters": [adapter],
    }
    return {"models": {"small": model}, "routing": ROUTING}


def test_records_are_answered_with_the_adapter_that_is_for_them(
    world: World, asked: list[str], tmp_path: pathlib.Path
) -> None:
    """Each under its name in answers, summary, journal and manifest; a second run asks nothing again."""
    file = adapter_file(tmp_path, model_path(SMOLLM2))
    world.write_lines([{"id": "card", "text": f"{CARD} =positive:0.9"}, {"id": "film", "text": FILM}])

    written = world.run(**with_adapter(file))

    rows = written.by_id()
    assert {name: row["annotation"]["model"] for name, row in rows.items()} == {
        "card": "small+money",
        "film": "small",
    }
    assert [row["route"]["rule"] for row in rows.values()] == [None, None]
    assert written.summary["answered_by"] == {"small": 1, "small+money": 1}
    assert written.summary["cost_usd"]["by_model"] == {"small": "0.000500", "small+money": "0.000500"}
    manifest = json.loads((written.folder / "state" / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["answers"]) == {"small", "small+money"}
    assert manifest["answers"]["small"] != manifest["answers"]["small+money"]
    assert set(manifest["models"]) == {"small", "small+money", "models.small.adapters[0]"}
    assert (written.folder / "report.html").exists()
    again = world.run(**with_adapter(file))
    assert len(asked) == 2
    assert again.labels() == written.labels()


def test_an_adapter_in_another_strength_is_asked_anew(
    world: World, asked: list[str], tmp_path: pathlib.Path
) -> None:
    """What the plain model said still counts."""
    file = adapter_file(tmp_path, model_path(SMOLLM2))
    world.write_lines([{"id": "card", "text": CARD}, {"id": "film", "text": FILM}])

    world.run(**with_adapter(file))
    world.run(**with_adapter(file, scale=0.5))

    assert asked.count(CARD) == 2
    assert asked.count(FILM) == 1


def test_an_adapter_for_another_model_stops_the_job_before_it_begins(tmp_path: pathlib.Path) -> None:
    """In one line: which adapter, which base, why, and what to do."""
    world = World(tmp_path)
    world.write_lines([{"id": "card", "text": CARD}])
    file = adapter_file(tmp_path, model_path(GEMMA))

    with pytest.raises(ModelFileError) as caught:
        prepare(world.job(**with_adapter(file)), workers=1)

    says = str(caught.value)
    assert "\n" not in says
    assert says.startswith(f"models.small.adapters[0].path: {file} does not fit models.small (")
    assert "give one that was made for this model" in says


def test_real_models_answer_with_their_adapters(tmp_path: pathlib.Path) -> None:
    """The record of the adapter's domain alone is answered otherwise than without it."""
    world = World(tmp_path)
    world.write_lines([{"id": "card", "text": CARD}, {"id": "film", "text": FILM}])
    sections = with_adapter(adapter_file(tmp_path, model_path(SMOLLM2)))

    def scores(sections: dict[str, Any], name: str) -> dict[str, Any]:
        found = world.run_to(tmp_path / name, output={"path": str(tmp_path / name)}, **sections).by_id()
        return {one: row["annotation"]["scores"] for one, row in found.items()}

    adapted = scores(sections, "with")
    sections["models"]["small"].pop("adapters")
    plain = scores(sections, "without")

    assert adapted["film"] == plain["film"]
    assert adapted["card"] != plain["card"]


def test_each_adapter_is_calibrated_by_itself(world: World, tmp_path: pathlib.Path) -> None:
    """A gate with a target reads the scores of each as those of a model of its own."""
    file = adapter_file(tmp_path, model_path(SMOLLM2))
    world.write_lines(
        {
            "id": str(number),
            "text": f"{CARD if number % 2 else FILM} {number} small=positive:{0.5 + number % 50 / 100}",
            "truth": "positive" if number % 10 else "negative",
        }
        for number in range(200)
    )
    sections = with_adapter(file)
    sections["routing"] = {"default": "small", "gate": {"target": 0.8, "oracle": "gold"}}

    written = world.run(
        **sections,
        input={"path": str(tmp_path / "in.jsonl"), "id": "id", "gold": "truth"},
        calibration={"search_seconds": 0},
    )

    assert written.summary["answered_by"] == {"small": 100, "small+money": 100}
    stored = (written.folder / "state" / "calibration" / "calibration.json").read_text(encoding="utf-8")
    assert '"small+money"' in stored


def test_the_pilot_of_a_job_is_in_the_order_of_its_adapters(tmp_path: pathlib.Path) -> None:
    """Run and plan draw it alike; without adapters the order is the one of all jobs."""
    file, world = adapter_file(tmp_path, model_path(SMOLLM2)), World(tmp_path)
    world.write_lines([{"id": "card", "text": CARD}])
    adapted = prepare(world.job(**with_adapter(file)), workers=1)
    sections = with_adapter(file)
    del sections["models"]["small"]["adapters"]
    plain = prepare(world.job(**sections), workers=1)

    assert adapted.sampling.salt == adapted.pilot_salt == pilot_salt([file_digest(file)])
    assert plain.sampling.salt == plain.pilot_salt == b""


def test_a_model_with_an_adapter_can_be_benched(tmp_path: pathlib.Path) -> None:
    """It is named by both; one that does not fit is told as in a job."""
    file = adapter_file(tmp_path, model_path(SMOLLM2))

    found = find_adapted(f"smollm2+{file}")

    assert isinstance(found.model, AdaptedModel)
    assert found.model.adapter.sha256 == file_digest(file)
    assert (found.source, found.path) == (f"pypi://{SMOLLM2}", model_path(SMOLLM2))
    assert find_adapted("smollm2").model == LlamaCppModel(engine="llama_cpp", source=f"pypi://{SMOLLM2}")
    with pytest.raises(
        ModelFileError, match=rf"^gemma3-270m\+{file}: {file} does not fit models.gemma3-270m "
    ):
        find_adapted(f"gemma3-270m+{file}")
