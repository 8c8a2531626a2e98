"""Heads that packs carry, in whole jobs on fake models."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.console import Console

from pipelines.commands import calibrate_first
from pipelines.open_models import open_models
from pipelines.pack_heads import with_pack_heads
from pipelines.packs import told_packs
from pipelines.pilot_run import PilotRun
from pipelines.plan_pilot import PlanPilot
from pipelines.prepare import prepare, start
from pipelines.runner import options_of, run_plan
from router.calibration import ChosenPrompt, ModelCalibration
from router.calibration_file import write_calibration
from router.certification import Certification, CertifyingRows
from router.confidence import ConfidenceCurve
from router.gate import NOTHING, GateRule
from router.gate_calibration import GateCalibration, ModelReport
from router.head_training import ScaledScores
from router.student_training import fit_student
from tests.fake_llm_server import FakeLlmServer
from tests.pipelines.jobs import SENTIMENT, read_written
from tests.pipelines.judged_jobs import judged_job
from tests.router.pack_examples import MOOD, write_pack
from transforms.ask_student import encoder_digest, look_at

if TYPE_CHECKING:
    import pathlib

    from pipelines.annotate import Plan
    from router.student import Student
    from tests.pipelines.jobs import World, Written

GLAD = [f"I love this {thing}, it is wonderful" for thing in "abcdefghijklmnopqrstuvwxyzABCDEF"]
SAD = [f"I hate this {thing}, it is horrible" for thing in "abcdefghijklmnopqrstuvwxyzABCDEF"]
LINES = [
    {"id": "1", "text": "I love this house, it is wonderful small=negative:0.9"},
    {"id": "2", "text": "I hate this house, it is horrible small=positive:0.9"},
]
TASK = {**SENTIMENT, "labels": [{"name": "negative"}, {"name": "positive"}]}


def write_head(folder: pathlib.Path, found: GateCalibration) -> None:
    """Write a calibration as a pack's head."""
    (folder / "head").mkdir(exist_ok=True)
    value, arrays = write_calibration(found)
    (folder / "head" / "calibration.json").write_text(json.dumps(value), encoding="utf-8")
    (folder / "head" / "calibration.safetensors").write_bytes(arrays)


def calibration(
    models: tuple[ModelCalibration, ...] = (), students: tuple[Student, ...] = ()
) -> GateCalibration:
    """What was learned, without a gate."""
    none = np.empty(0)
    return GateCalibration(
        models,
        tuple(ModelReport("by hand", {}, ()) for _ in models),
        GateRule(NOTHING),
        Certification(None, {}),
        {},
        {},
        CertifyingRows(none, none.astype(bool), None, ()),
        students=students,
    )


@pytest.fixture(scope="module")
def student() -> Student:
    """A head on the text that knows glad from sad."""
    views = look_at([text for pair in zip(GLAD, SAD, strict=True) for text in pair])
    found = fit_student("sentiment", views, ["positive", "negative"] * len(GLAD), encoder=encoder_digest())
    assert found is not None
    return found.student


def pack_with(world: World, found: GateCalibration, **changes: Any) -> str:
    """A pack of the task with a head."""
    folder = world.folder / "pack"
    head = {"trained_on": "notes written for a test", "licence": "Apache-2.0"}
    given = write_pack(folder, **{**MOOD, "task": TASK, "head": head, **changes})
    write_head(folder, found)
    return given


def settled(world: World, told: list[str], **changes: Any) -> Plan:
    """The job's plan as `run` makes it."""
    return with_pack_heads(prepare(world.job(**changes), workers=1), told.append)


def run(world: World, plan: Plan) -> Written:
    """Run a plan."""
    start(plan)
    run_plan(calibrate_first(plan, options_of([]), Console(quiet=True)), options_of([]))
    return read_written(world.output)


def test_head_on_the_text_answers_in_the_small_models_place(
    world: World, asked: list[str], student: Student
) -> None:
    """The small model, which is wrong, is not asked; the gate looks at the head's confidence."""
    world.write_lines(LINES)
    folder, told = pack_with(world, calibration(students=(student,))), list[str]()

    plan = settled(world, told, tasks=[{"pack": folder}])
    written = run(world, plan)

    assert told == []
    assert written.labels() == {"1": "positive", "2": "negative"}
    assert {row["annotation"]["model"] for row in written.by_id().values()} == {"student"}
    assert asked == []
    assert plan.ending.manifest["pack_heads"][0]["model"] == "student"
    (line,) = told_packs(plan.job, plan.ending.manifest)
    assert line.startswith("task sentiment: pack mood (")
    assert line.endswith("), 2 labels, 0 examples, with its head on the text")


def test_unsure_head_escalates_without_the_small_model(
    world: World, asked: list[str], student: Student
) -> None:
    """What the head is not sure enough of goes to the large model at once."""
    world.write_lines([{"id": "1", "text": "A chair. large=negative:0.9"}])
    folder = pack_with(world, calibration(students=(student,)))
    routing = {"default": "small", "escalate_to": "large", "gate": {"min_confidence": 0.999}}

    written = run(world, settled(world, [], tasks=[{"pack": folder}], routing=routing))

    assert written.labels() == {"1": "negative"}
    assert written.statuses() == {"1": "escalated"}
    assert asked == ["A chair. large=negative:0.9"]


def test_head_is_left_out_where_the_job_says_off(world: World, asked: list[str], student: Student) -> None:
    """`student: off` leaves the task to the small model."""
    world.write_lines(LINES)
    folder = pack_with(world, calibration(students=(student,)))
    routing = {"default": "small", "gate": {"min_confidence": 0.8, "student": "off"}}

    written = run(world, settled(world, [], tasks=[{"pack": folder}], routing=routing))

    assert written.labels() == {"1": "negative", "2": "positive"}


def test_head_follows_the_tasks_name(world: World, student: Student) -> None:
    """A head on the text is asked under the name that the job gives the task."""
    world.write_lines(LINES)
    folder = pack_with(world, calibration(students=(student,)))

    written = run(world, settled(world, [], tasks=[{"pack": folder, "name": "tone"}]))

    assert written.labels() == {"1": "positive", "2": "negative"}


@pytest.mark.parametrize(
    "other",
    [
        {"labels": [{"name": "good"}, {"name": "positive"}]},
        {"labels": [{"name": "negative"}, {"name": "positive"}, {"name": "neither"}]},
        {"instruction": "Is it about money?"},
    ],
    ids=["another label", "a label more", "another question"],
)
def test_another_task_leaves_the_head_out(world: World, student: Student, other: dict[str, object]) -> None:
    """A head was taught the pack's question and labels; it cannot read others, and the user is told."""
    world.write_lines(LINES)
    folder, told = pack_with(world, calibration(students=(student,))), list[str]()

    plan = settled(world, told, tasks=[{"pack": folder, **other}])

    assert plan.students == ()
    why = "labels or instruction are others than the pack's, or the sentence encoder is"
    assert told == [f"pack mood: its head on the text is not used: {why}"]


def of_small(world: World, folder: str, prompt: ChosenPrompt) -> ModelCalibration:
    """How the small model's scores are read: always as positive, with a confidence of .881 (log odds 2)."""
    plan = prepare(world.job(tasks=[{"pack": folder}]), workers=1)
    opening = plan.opening.asking({"small": {"sentiment": prompt}}, features=False, embedding=False)
    fingerprint = open_models(opening).fingerprints["small"]["sentiment"]
    scaled, curve = ScaledScores((0.999, 0.001), 1.0), ConfidenceCurve(0.01, 0.01, 2.0)
    return ModelCalibration("theirs", "sentiment", fingerprint, prompt, scaled, None, curve, 40)


def test_head_of_a_model_reads_its_scores(world: World) -> None:
    """Where file and prompt are the pack's, the small model's scores are read as the pack learned."""
    world.write_lines(LINES)
    folder = pack_with(world, calibration())
    one = of_small(world, folder, ChosenPrompt(None, None, label_tree=False))
    write_head(world.folder / "pack", calibration((one,)))
    told: list[str] = []

    written = run(world, settled(world, told, tasks=[{"pack": folder}]))

    assert told == []
    assert written.labels() == {"1": "positive", "2": "positive"}
    assert [row["annotation"]["confidence"] > 0.87 for row in written.by_id().values()] == [True, True]
    assert set(written.statuses().values()) == {"kept"}


def test_the_judge_asks_models_as_the_pack_does(world: World) -> None:
    """Its second opinions come from the handlers that the pack's prompts made, and so do its fingerprints."""
    pytest.importorskip("pydantic_ai", reason="the agent library has no version for this Python")
    world.write_lines(LINES)
    folder = pack_with(world, calibration())
    one = of_small(world, folder, ChosenPrompt(None, None, label_tree=False))
    write_head(world.folder / "pack", calibration((one,)))
    with FakeLlmServer() as server:
        changes = judged_job(world, server, second_opinion="small")
        plan = settled(world, [], tasks=[{"pack": folder}], **changes)

    assert plan.judge is not None
    other = plan.judge.job.other
    assert other is not None
    assert other.handler is plan.handlers["small"]
    assert other.fingerprints["sentiment"] == one.fingerprint
    assert plan.ending.manifest["answers"]["judge"] == plan.judge.job.verdicts.fingerprints


def test_head_of_another_model_is_told(world: World) -> None:
    """A fingerprint that differs leaves the scores as they are, and says so in one line."""
    world.write_lines(LINES)
    folder = pack_with(world, calibration())
    one = of_small(world, folder, ChosenPrompt(None, None))
    write_head(world.folder / "pack", calibration((replace(one, fingerprint="0" * 16),)))
    told: list[str] = []

    plan = settled(world, told, tasks=[{"pack": folder}])

    assert (dict(plan.settled), plan.readings) == ({}, None)
    why = "it belongs to another model file, or to another task name, instruction, label or example"
    assert told == [f"pack mood: its head is not used for small: {why}"]


def test_other_tasks_are_still_read_by_a_sample(world: World, student: Student) -> None:
    """Beside a pack's task an ordinary one is calibrated on a sample, which asks nothing about the pack's."""
    other = {"name": "other", "instruction": "Say.", "labels": [{"name": "no"}, {"name": "yes"}]}
    rows = [{"id": f"o{n}", "text": f"{n} =yes:0.9", "task": "other"} for n in range(30)]
    rows[1]["text"] = "Less than the others. =yes:0.6"
    world.write_lines([*({**row, "task": "sentiment"} for row in LINES), *rows])
    folder = pack_with(world, calibration(students=(student,)))
    source = {"path": str(world.folder / "in.jsonl"), "text": "text", "id": "id", "task": "task"}
    changes = {"input": source, "calibration": {"label_free": True}, "routing": {"default": "small"}}

    written = run(world, settled(world, [], tasks=[{"pack": folder}, other], **changes))

    assert {key: written.labels()[key] for key in ("1", "2", "o1")} == {
        "1": "positive",
        "2": "negative",
        "o1": "no",
    }
    methods = {one["task"]: one["method"] for one in written.summary["calibration"]}
    assert methods["other"] == "divided by the mean prediction"
    assert methods["sentiment"] == "a head that the task's pack brings"


def test_target_and_artefact_leave_the_pack_alone(world: World, student: Student) -> None:
    """A job that calibrates, or names what it calibrated, is its own master."""
    world.write_lines(LINES)
    folder = pack_with(world, calibration(students=(student,)))
    target = {"default": "small", "escalate_to": "large", "gate": {"target": 0.9}}

    plan = prepare(world.job(tasks=[{"pack": folder}], routing=target), workers=1)
    named = prepare(world.job(tasks=[{"pack": folder}], calibration={"artefact": "x"}), workers=1)

    assert with_pack_heads(plan, lambda _: None) is plan
    assert with_pack_heads(named, lambda _: None) is named


def test_plan_asks_the_head_too(world: World, asked: list[str], student: Student) -> None:
    """`tekizai plan` takes what the head says in the small model's place, and asks no small model."""
    world.write_lines(LINES)
    folder = pack_with(world, calibration(students=(student,)))
    plan = settled(world, [], tasks=[{"pack": folder}])
    start(plan)
    run_of = PilotRun(plan, options_of([]))
    pilot = PlanPilot(run_of, lambda _: None)

    works = run_of.draw(10, gold_only=False).works
    pilot.ask_small(works)

    assert [pilot.answer("small", work).model for work in works] == ["student", "student"]  # type: ignore[union-attr]
    assert asked == []


def test_shipped_head_knows_bank_customers(world: World, asked: list[str]) -> None:
    """The head of `customer-support` tells plain messages apart, under the digest that the manifest notes."""
    said = {
        "lost_or_stolen_card": "Somebody stole my card on the train!",
        "terminate_account": "Please close my account, I do not need it any more.",
        "change_pin": "How can I change my PIN?",
    }
    world.write_lines([{"id": label, "text": text} for label, text in said.items()])

    written = run(world, settled(world, [], tasks=[{"pack": "customer-support"}]))

    assert written.labels() == {label: label for label in said}
    assert asked == []
    assert [one["records"] for one in written.summary["calibration"]] == [3000]
