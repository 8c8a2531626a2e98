"""Whole jobs in which a student answers ahead of the small model."""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from pipelines.calibration_store import CalibrationError, load_artefact
from pipelines.evaluate import evaluate_output
from tests.pipelines.gate_rows import LABELS, read, target_job
from tests.pipelines.test_plan import planned
from transforms import ask_student

if TYPE_CHECKING:
    from collections.abc import Sequence

    from router.text_view import TextView
    from tests.pipelines.jobs import World

_STEERING = re.compile(r"\w+=\w+:[0-9.]+")


@pytest.fixture(autouse=True)
def _blind_to_steering(monkeypatch: pytest.MonkeyPatch) -> None:
    """The student must not read what steers the fake models."""
    look_at = ask_student.look_at

    def look_past(texts: Sequence[str]) -> list[TextView]:
        return look_at([_STEERING.sub("", text) for text in texts])

    monkeypatch.setattr("transforms.ask_student.look_at", look_past)
    monkeypatch.setattr("pipelines.students.look_at", look_past)


def student_rows(count: int, *, told: float = 0.5, seed: int = 5) -> list[dict[str, Any]]:
    """Records of which a share says its label in a word, which the small model does not understand.

    Of the others only the small model knows the label; it is sure of it, and right.
    """
    rng = random.Random(seed)
    found = []
    for number in range(count):
        truth = rng.choice(LABELS)
        if rng.random() < told:
            word, said, sure = {"negative": "awful", "positive": "lovely"}[truth], rng.choice(LABELS), 0.6
        else:
            word, said, sure = "thing", truth, 0.95
        steer = f"record=number:{number} small={said}:{sure} large={truth}:0.99"
        found.append({"id": f"r{number}", "text": f"it was {word} {steer}", "truth": truth})
    return found


def with_student(**changes: Any) -> dict[str, Any]:
    """Sections of a job with a target and a student."""
    return target_job(gate={"student": "auto", **changes.pop("gate", {})}, **changes)


def test_the_student_takes_its_share(world: World, asked: list[str]) -> None:
    """Half of the records say their label in a word: the small model is not asked about those any more."""
    rows = student_rows(1200)
    world.write_lines(rows)

    world.run(**with_student())

    summary, found = read(world)
    taken = found.filter(pl.col("model") == "student")
    assert len(taken) > 300
    assert (taken["status"] == "kept").all()
    assert taken["reason"].str.starts_with("confidence ").all()
    assert taken["text"].str.contains("awful|lovely").all()
    assert set(taken["text"]).isdisjoint(asked)
    # What the small model said of the training records is on their accounts, whoever answered them.
    calls = {name: one["asked"] for name, one in summary["by_model"].items()}
    assert calls["small"] + calls["large"] == len(asked)
    assert calls["small"] < 800
    assert summary["answered_by"]["student"] == len(taken)
    assert summary["gate"]["certified"] is True
    assert (found["label"] == found["truth"]).mean() >= 0.9


def test_its_account_is_its_own(world: World) -> None:
    """Seconds at the price of the small model's machine, and no tokens, also where it did not know enough."""
    world.write_lines(student_rows(600))

    world.run(**with_student())

    summary, found = read(world)
    usage = summary["by_model"]["student"]
    assert usage["input_tokens"] == usage["output_tokens"] == 0
    assert usage["asked"] == 600
    assert 0.0 < usage["seconds"] < 60.0
    calls = found["usage"].struct.field("calls").to_list()
    used = [one for row in calls for one in row if one["model"] == "student"]
    assert len(used) == 600
    # 3.6 dollars an hour are .001 a second.
    assert sum(float(one["usd"]) for one in used) == pytest.approx(usage["seconds"] * 0.001, rel=0.01)
    total = found["usage"].struct.field("usd").sum()
    assert float(total) == pytest.approx(float(summary["cost_usd"]["total"]))
    assert summary["status"]["kept"] == (found["status"] == "kept").sum()


def test_it_is_part_of_the_calibration(world: World) -> None:
    """The folder holds its weights as data, the summary how it came about, the manifest its digest."""
    world.write_lines(student_rows(1200))

    world.run(**with_student())

    calibration = load_artefact(str(world.output / "state/calibration"))
    [student] = calibration.students
    assert student.labels == LABELS
    summary, _ = read(world)
    assert summary["gate"]["student"]["sentiment"].startswith("answers ")
    [entry] = [one for one in summary["gate"]["models"] if one["model"] == "student"]
    assert entry["held_back"]["agreement"] == 1.0
    manifest = json.loads((world.output / "state/manifest.json").read_text())
    assert manifest["student"]["sentiment"]["digest"] == student.digest
    methods = {one["model"]: one["method"] for one in summary["calibration"]}
    assert methods["student"] == "a linear head on the text, learned from the pilot"


def test_report_evaluation_and_plan_know_it(world: World) -> None:
    """The pages name it, the evaluation judges its answers, and a plan of the same job is made as before."""
    world.write_lines(student_rows(700))
    source = {**world.job().input.model_dump(), "gold": "truth"}
    job = with_student(input=source)
    world.run(**job)

    found = evaluate_output(str(world.output))["tasks"]["sentiment"]
    report = (world.output / "report.html").read_text()
    plan = planned(world.job_file(output={"path": str(world.folder / "planned")}, **job))

    assert found["accuracy"]["count"] >= 0.9 * 700
    assert ">student<" in report
    assert plan["records"]["annotated"] == 700


def test_a_student_that_knows_nothing_is_left_out(world: World, asked: list[str]) -> None:
    """No record says its label: every one is asked of the small model, and the summary says why."""
    world.write_lines(student_rows(600, told=0.0))

    world.run(**with_student())

    summary, found = read(world)
    assert "student" not in summary["answered_by"]
    assert summary["gate"]["student"]["sentiment"].startswith("left out: ")
    assert set(asked) == set(found["text"])


def test_without_the_key_there_is_none(world: World) -> None:
    """It is off by default."""
    world.write_lines(student_rows(600))

    world.run(**target_job())

    summary, _ = read(world)
    assert "student" not in summary["answered_by"]
    assert "student" not in summary["gate"]


def test_the_same_run_again_takes_the_same_records(world: World, asked: list[str]) -> None:
    """Its answers are in no journal: they are computed again, alike."""
    world.write_lines(student_rows(800))
    world.run(**with_student())
    _, first = read(world)
    before = len(asked)

    world.run(**with_student())

    _, second = read(world)
    assert len(asked) == before
    columns = ["id", "model", "label", "confidence", "status", "reason"]
    assert first.select(columns).sort("id").equals(second.select(columns).sort("id"))


def test_the_promise_per_label(world: World) -> None:
    """A label's records are those that the student or the small model gave it, each with its threshold."""
    world.write_lines(student_rows(1500))

    world.run(**with_student(gate={"per": "label"}))

    summary, found = read(world)
    assert sorted(summary["gate"]["slices"]) == ["negative", "positive"]
    for label, one in summary["gate"]["slices"].items():
        kept = found.filter((pl.col("status") == "kept") & (pl.col("label") == label))
        assert (kept["model"] == "student").sum() > 50
        assert kept["confidence"].min() >= one["threshold"]


def test_what_the_gate_does_not_trust_goes_to_the_large_model(world: World) -> None:
    """Sizes of the pilot that certify nothing: what the student is sure of is escalated like all else."""
    world.write_lines(student_rows(400))

    world.run(**with_student(calibration={"pilot": {"train": 100, "certify": 10}}))

    summary, found = read(world)
    assert summary["gate"]["threshold"] is None
    assert (found["model"] == "large").all()
    told = found.filter(pl.col("text").str.contains("awful|lovely"))
    assert told["reason"].str.starts_with("student: ").any()


def test_a_later_job_uses_the_same_student(world: World, asked: list[str]) -> None:
    """Another input that looks alike: the calibration's student takes its share, nothing is certified."""
    world.write_lines(student_rows(1200))
    made = world.output.parent / "made"
    world.run_to(made, output={"path": str(made)}, **with_student())
    asked.clear()
    world.write_lines(student_rows(600, seed=6))
    job = with_student(calibration={"artefact": str(made / "state/calibration"), "drift": "refuse"})

    world.run(**job)

    summary, found = read(world)
    assert summary["gate"]["certified"] is False
    taken = found.filter(pl.col("model") == "student")
    assert len(taken) > 200
    assert set(taken["text"]).isdisjoint(asked)


def test_a_calibration_with_a_student_is_not_used_without_it(world: World) -> None:
    """Its threshold was found for both together."""
    world.write_lines(student_rows(1200))
    made = world.output.parent / "made"
    world.run_to(made, output={"path": str(made)}, **with_student())

    with pytest.raises(CalibrationError, match=r"set routing.gate.student to auto"):
        world.run(**target_job(calibration={"artefact": str(made / "state/calibration")}))
