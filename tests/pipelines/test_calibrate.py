"""Whole jobs whose gate is certified on a pilot, with local models that say what the texts tell them to."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import yaml
from rich.console import Console

from pipelines.calibration_store import CalibrationError
from pipelines.commands import calibrate_job
from pipelines.errors import JobFailedError
from tests.fake_llm_server import Behaviour, FakeLlmServer
from tests.pipelines.gate_rows import LABELS, hosted, read, rows, steered_label, target_job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.pipelines.jobs import World


def test_a_target_is_certified_and_kept(world: World) -> None:
    """Sure answers are always right: they are kept, unsure ones are sent on, and the summary says so."""
    world.write_lines(rows(1200))

    world.run(**target_job())

    summary, found = read(world)
    gate = summary["gate"]
    assert gate["certified"] is True
    assert (gate["target"], gate["delta"], gate["oracle"]) == (0.9, 0.05, "llm")
    assert (gate["pilot"]["job"], gate["pilot"]["records"]) == (1200, 1200)
    assert (found["label"] == found["truth"]).mean() >= 0.9
    kept = found.filter(pl.col("status") == "kept")
    assert len(kept) > 350
    assert kept["confidence"].min() >= gate["threshold"]


def test_the_account_holds_the_pilot(world: World) -> None:
    """What was asked before the main pass is on the records' accounts, once: totals are sums over rows."""
    world.write_lines(rows(400))

    world.run(**target_job())

    summary, found = read(world)
    total = found["usage"].struct.field("usd").sum()
    assert str(total.normalize()) == str(type(total)(summary["cost_usd"]["total"]).normalize())
    calls = found["usage"].struct.field("calls").list.len()
    escalated = found["status"] == "escalated"
    # Each model was asked once about a record: the small one about all, the large one about what it answered.
    assert calls.to_list() == [2 if one else 1 for one in escalated]


def test_nothing_is_asked_twice(world: World) -> None:
    """The server gets one request for each record that it answered, those of the pilot included."""
    world.write_lines(rows(600))
    with FakeLlmServer(answer=steered_label) as server:
        world.run(models=hosted(world, server), **target_job())
        asked = server.answered

    summary, found = read(world)
    assert asked == summary["status"]["escalated"]
    pilot = summary["gate"]["pilot"]
    in_pilot = found.filter(pl.col("reason").str.ends_with("asked for the pilot"))
    assert 0 < len(in_pilot) <= pilot["train"] + pilot["certify"]
    assert (in_pilot["model"] == "large").all()


def test_a_useless_model_keeps_no_more_than_the_promise_allows(world: World) -> None:
    """It is wrong as often as right: one record in twenty may differ, so at most some may be kept."""
    world.write_lines(rows(400, wrong_when_sure=0.5, wrong_when_unsure=0.5))

    world.run(**target_job(gate={"target": 0.95}))

    summary, found = read(world)
    assert summary["gate"]["certified"] is True
    assert summary["status"]["kept"] < 80
    assert (found["label"] == found["truth"]).mean() >= 0.95


def test_an_input_too_small_to_certify_is_escalated(world: World) -> None:
    """Ten records prove nothing."""
    world.write_lines(rows(10))

    world.run(**target_job())

    summary, found = read(world)
    assert (found["model"] == "large").all()
    assert summary["gate"]["threshold"] is None
    assert "every record is escalated" in summary["gate"]["note"]


def test_an_empty_input_is_no_error(world: World) -> None:
    """Nothing is drawn, nothing is promised of nothing."""
    world.write_lines([])

    world.run(**target_job())

    summary = json.loads((world.output / "summary.json").read_text())
    assert summary["records"]["annotated"] == 0


def test_records_left_without_an_answer_break_the_promise(world: World) -> None:
    """The large model fails on what the main pass asks: the gate is not certified any more."""
    world.write_lines(rows(600))

    def behave(request: Mapping[str, Any]) -> Behaviour:
        return Behaviour(answer="nonsense") if "record 7" in json.dumps(request) else Behaviour()

    with FakeLlmServer(answer=steered_label, behave=behave) as server:
        world.run(models=hosted(world, server), **target_job())

    summary, _ = read(world)
    assert summary["status"]["llm_unusable"] > 0
    assert summary["gate"]["certified"] is False
    assert "have no answer from the oracle" in summary["gate"]["note"]


def test_an_oracle_that_is_not_there_stops_the_job(world: World) -> None:
    """Without its word nothing can be certified, and the message says why."""
    world.write_lines(rows(200))
    models_of = {"max_retries": 0, "max_failures": 2}
    with (
        FakeLlmServer(behave=lambda _: Behaviour(status=503)) as server,
        pytest.raises(JobFailedError, match=r"records got no answer from large \(.*503.*\); without them"),
    ):
        world.run(models=hosted(world, server, **models_of), **target_job())


def test_the_promise_per_label(world: World) -> None:
    """Each label is certified with its share of delta and has a threshold of its own."""
    world.write_lines(rows(1000))

    world.run(**target_job(gate={"per": "label"}))

    summary, found = read(world)
    assert sorted(summary["gate"]["slices"]) == ["negative", "positive"]
    for label, one in summary["gate"]["slices"].items():
        assert one["rows"] >= 50
        kept = found.filter((pl.col("status") == "kept") & (pl.col("label") == label))
        assert kept["confidence"].min() >= one["threshold"]
    assert (found["label"] == found["truth"]).mean() >= 0.9


def test_gold_labels_as_the_oracle(world: World) -> None:
    """Small and large model are judged by the column; its labels are nobody's answers."""
    world.write_lines(rows(1200))

    world.run(
        input={**world.job().input.model_dump(), "gold": "truth"}, **target_job(gate={"oracle": "gold"})
    )

    summary, found = read(world)
    assert (summary["gate"]["oracle"], summary["gate"]["certified"]) == ("gold", True)
    assert (found["label"] == found["truth"]).mean() >= 0.9
    assert not found["reason"].str.contains("for the pilot").any()


def test_a_gold_label_that_is_none_is_refused(world: World) -> None:
    """A typo in the column would count as a disagreement."""
    world.write_lines([{**row, "truth": "joyful"} for row in rows(100)])
    source = {**world.job().input.model_dump(), "gold": "truth"}

    with pytest.raises(ValueError, match="'joyful' is not a label of task 'sentiment'"):
        world.run(input=source, **target_job(gate={"oracle": "gold"}))


def test_trusted_answers_are_audited(world: World) -> None:
    """A tenth of them is asked about all the same; the summary tells how many agreed."""
    world.write_lines(rows(1000, wrong_when_sure=0.03))

    world.run(audit={"fraction": 0.1}, **target_job())

    summary, found = read(world)
    audited = found.filter(pl.col("reason").str.ends_with("asked to audit it"))
    assert summary["audit"]["records"] == len(audited)
    assert 20 < len(audited) < 150
    assert summary["audit"]["agreed"] >= 0.8 * len(audited)
    assert (audited["status"] == "escalated").all()


def test_a_prompt_is_searched_for_with_records_of_its_own(world: World) -> None:
    """The records that give examples are not trained on; what was tried is in the artefact."""
    world.write_lines(rows(1000))

    world.run(**target_job(calibration={"search_seconds": 60}))

    stored = json.loads((world.output / "state/calibration/calibration.json").read_text())
    [model] = stored["models"]
    assert len(model["prompts"]) > 3
    assert stored["sizes"]["examples"] > 0
    pilot = (world.output / "state/calibration/pilot.jsonl").read_text().splitlines()[1:]
    first = {json.loads(line)["text"] for line in pilot[: stored["sizes"]["examples"]]}
    assert {one["text"] for one in model["prompt"]["examples"] or ()} <= first


def test_examples_may_come_from_another_file(world: World) -> None:
    """Then no record of the pilot is set aside for them, and the chosen ones are that file's."""
    world.write_lines(rows(1000))
    others = [{"text": f"other {n} small={label}:0.9", "label": label} for n in range(9) for label in LABELS]
    path = world.folder / "examples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in others), encoding="utf-8")
    [task] = world.job().model_dump(mode="json")["tasks"]
    task["examples"] = {"from": str(path)}

    world.run(**target_job(calibration={"search_seconds": 60}), tasks=[task])

    stored = json.loads((world.output / "state/calibration/calibration.json").read_text())
    [model] = stored["models"]
    assert stored["sizes"]["examples"] == 0
    assert "8 examples" in " ".join(one["prompt"] for one in model["prompts"])
    assert {one["text"] for one in model["prompt"]["examples"]} <= {row["text"] for row in others}


def test_calibrate_does_the_pilot_only_and_run_goes_on_with_it(world: World) -> None:
    """The artefact is there, nothing is annotated; a run of the same job asks the rest."""
    world.write_lines(rows(600))
    with FakeLlmServer(answer=steered_label) as server:
        changes = {"models": hosted(world, server), **target_job()}
        calibrate_job(world.job(**changes), [], console=Console(quiet=True))
        asked = server.answered
        assert not (world.output / "summary.json").exists()
        world.run(**changes)

        summary, _ = read(world)
        assert 0 < asked < server.answered
        assert server.answered == summary["status"]["escalated"]


def test_calibrating_afresh_asks_again(world: World) -> None:
    """Else a second time does nothing: the calibration is there."""
    world.write_lines(rows(600))
    with FakeLlmServer(answer=steered_label) as server:
        job = world.job(models=hosted(world, server), **target_job())
        asked = []
        for fresh in (False, False, True):
            calibrate_job(job, [], fresh=fresh, console=Console(quiet=True))
            asked.append(server.answered)

    assert asked[0] == asked[1]
    assert asked[2] == 2 * asked[0]


def test_one_record_alone_teaches_nothing(world: World) -> None:
    """It cannot be held back from a fit to others; the scores say nothing then, and nothing is trusted."""
    world.write_lines(rows(400))

    world.run(**target_job(calibration={"pilot": {"train": 1, "certify": 200}}))

    stored = json.loads((world.output / "state/calibration/calibration.json").read_text())
    assert [model["rows"] for model in stored["models"]] == [0]
    assert stored["models"][0]["chosen"] == "no answer to learn from"


def test_what_another_version_certified_is_certified_anew(world: World) -> None:
    """Answers that are still valid are not asked for again."""
    world.write_lines(rows(600))
    with FakeLlmServer(answer=steered_label) as server:
        changes = {"models": hosted(world, server), **target_job()}
        calibrate_job(world.job(**changes), [], console=Console(quiet=True))
        path = world.output / "state/calibration/calibration.json"
        stored = json.loads(path.read_text())
        prints = stored["models"][0]["fingerprint"]
        stored["models"][0]["fingerprint"] = "0" * len(prints)
        path.write_text(json.dumps(stored), encoding="utf-8")
        asked = server.answered
        said = io.StringIO()
        calibrate_job(world.job(**changes), [], console=Console(file=said, width=200))

        assert "another version of Tekizai" in said.getvalue()
        assert json.loads(path.read_text())["models"][0]["fingerprint"] == prints
        assert server.answered == asked


def test_calibrating_without_a_target_is_refused(world: World) -> None:
    """There is nothing to certify."""
    world.write_lines(rows(10))

    with pytest.raises(ValueError, match="no target to certify"):
        calibrate_job(world.job(), [], console=Console(quiet=True))


def carried(world: World, **calibration: Any) -> dict[str, Any]:
    """A second job that names the calibration of the first."""
    artefact = str(world.output / "state/calibration")
    return target_job(calibration={"artefact": artefact, **calibration}) | {
        "name": "next",
        "output": {"path": str(world.folder / "next")},
    }


def test_a_later_job_uses_the_calibration(world: World) -> None:
    """It asks no pilot, keeps what the threshold trusts, and says that the promise was another input's."""
    world.write_lines(rows(1200))
    world.run(**target_job())
    world.write_lines(rows(900, seed=8))

    plan = world.run_to(world.folder / "next", **carried(world))

    gate = plan.summary["gate"]
    assert gate["certified"] is False
    assert "carried over from" in gate["note"]
    assert "looks alike" in gate["note"]
    assert gate["threshold"] is not None
    assert plan.summary["status"]["kept"] > 300
    assert plan.summary["status"]["escalated"] > 300


def test_an_input_that_looks_different_is_refused_where_the_job_says_so(world: World) -> None:
    """The small model is unsure of everything now."""
    world.write_lines(rows(1200))
    world.run(**target_job())
    world.write_lines([{**row, "text": re.sub("0.95", "0.6", row["text"])} for row in rows(500, seed=8)])

    with pytest.raises(JobFailedError, match="looks different"):
        world.run_to(world.folder / "next", **carried(world, drift="refuse"))


@pytest.mark.parametrize("change", ["instruction", "labels"])
def test_a_calibration_of_other_labels_is_refused(world: World, change: str) -> None:
    """The message names what changed, before anything is asked or compared."""
    world.write_lines(rows(600))
    world.run(**target_job())
    task = yaml.safe_load(world.job_file().read_text())["tasks"][0]
    if change == "instruction":
        task["instruction"] = "Judge the mood."
    else:
        task["labels"].append({"name": "neutral"})

    with pytest.raises(CalibrationError, match="another model file, prompt, instruction or labels of small"):
        world.run_to(world.folder / "next", **carried(world), tasks=[task])
