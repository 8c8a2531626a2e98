"""`tekizai models compare` of models with adapters, and the promise of a run that takes its proposal."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.adapters import adapter_file
from tests.fake_llm_server import FakeLlmServer
from tests.models import SMOLLM2, model_path
from tests.pipelines.gate_rows import LABELS, hosted, steered_label
from tests.pipelines.jobs import read_written
from tests.pipelines.test_commands import tekizai
from tests.pipelines.test_compare import compared
from tests.pipelines.test_compare_pilot import asked_ids, certifying, with_proposal
from transforms.model_files import file_digest

if TYPE_CHECKING:
    import pathlib

    from tests.pipelines.jobs import World

__all__ = ["certifying"]

ROWS = 500


def write_rows(world: World) -> None:
    """Half English, half Japanese: Japanese is guessed at without an adapter; what is known errs at times."""
    rng, rows = random.Random(7), []
    for number in range(ROWS):
        truth = rng.choice(LABELS)
        wrong = LABELS[1 - LABELS.index(truth)]
        known = f"{wrong if rng.random() < 0.03 else truth}:{rng.choice((0.9, 0.95, 0.97))}"
        guess = f"{rng.choice(LABELS)}:{rng.choice((0.55, 0.6))}"
        english = number % 2 == 0
        told = (
            "The parcel came late and the box was torn" if english else "箱が破れて、荷物は遅れて届きました"
        )
        plain = known if english else guess
        # Two names for the same weights find each other's answers.
        said = f"small={plain} tuned={plain} useless={plain} tuned+ja={known} large={truth}:0.99"
        text = f"{told} {number} {said}"
        rows.append({"id": f"r{number}", "text": text, "truth": truth})
    world.write_lines(rows)


def tuned(path: pathlib.Path, name: str = "ja", **when: Any) -> dict[str, Any]:
    """A local model with an adapter, for Japanese texts where nothing else is said; cheaper than `small`."""
    adapter = {"when": when or {"languages": ["ja"]}, "path": str(path), "name": name}
    plain = {"engine": "llama_cpp", "source": f"pypi://{SMOLLM2}", "usd_per_hour": "0.005", "threads": 1}
    return {**plain, "adapters": [adapter]}


def job_file(world: World, server: FakeLlmServer, **models: Any) -> pathlib.Path:
    """A job that asks `small`, with other models that no rule names."""
    given = hosted(world, server)
    given["small"]["usd_per_hour"] = "0.01"
    return world.job_file(
        models={"small": given["small"], **models, "large": given["large"]},
        routing={"default": "small", "escalate_to": "large", "gate": {"target": 0.9}},
        calibration={"search_seconds": 0},
    )


def test_each_record_is_asked_with_the_adapter_that_is_for_it(world: World, tmp_path: pathlib.Path) -> None:
    """`tuned` knows both languages, and how many of its answers came from which adapter is told."""
    write_rows(world)
    path = adapter_file(tmp_path, model_path(SMOLLM2))
    with FakeLlmServer(steered_label) as server:
        found = compared(job_file(world, server, tuned=tuned(path)), "--records", 200)

    by = found["figures"]["by"]["language"]
    assert by["ja"]["tuned"]["quality"]["rate"] > 0.9 < by["en"]["tuned"]["quality"]["rate"]
    assert by["ja"]["small"]["quality"]["rate"] < 0.7
    japanese = by["ja"]["tuned"]["records"]
    assert found["models"]["tuned"]["adapted"] == {"tuned+ja": japanese}
    assert "adapted" not in found["models"]["small"]
    assert found["proposal"]["routing"]["default"] == "tuned"
    assert "rules" not in found["proposal"]["routing"]
    assert found["proposal"]["calibration"]["pilot"]["adapters"] == [file_digest(path)]
    assert any("tuned+ja" in note and f"{japanese}" in note for note in found["notes"])


def test_an_adapter_for_a_domain_that_the_job_does_not_ask_for(world: World, tmp_path: pathlib.Path) -> None:
    """What it asks of a record is found, although no model of the routing wants to know it."""
    rows = [
        {"id": f"r{n}", "text": f"My card payment {n} was declined and the bank charged a fee on my account."}
        for n in range(60)
    ]
    world.write_lines(rows)
    path = adapter_file(tmp_path, model_path(SMOLLM2))
    with FakeLlmServer(steered_label) as server:
        file = job_file(world, server, tuned=tuned(path, "money", domains=["finance"]))
        found = compared(file, "--records", 60)

    assert found["models"]["tuned"]["adapted"] == {"tuned+money": 60}


@pytest.mark.parametrize("dropped", [False, True])
def test_a_run_does_not_certify_on_what_was_compared(
    world: World, tmp_path: pathlib.Path, certifying: list[str], dropped: bool
) -> None:
    """Also where a model whose adapter was compared is not taken over, or no longer in the file."""
    write_rows(world)
    ours = adapter_file(tmp_path, model_path(SMOLLM2))
    theirs = adapter_file(tmp_path, model_path(SMOLLM2), "other", seed=3)
    others = {"tuned": tuned(ours), "useless": tuned(theirs, "none")}
    with FakeLlmServer(steered_label) as server:
        file = job_file(world, server, **others)
        found = compared(file, "--records", 200)
        chosen_on = asked_ids(server)
        with_proposal(file, found["proposal"])
        if dropped:
            job = yaml.safe_load(file.read_text(encoding="utf-8"))
            del job["models"]["useless"]
            file.write_text(yaml.safe_dump(job, sort_keys=False), encoding="utf-8")
        ran = tekizai("run", file)
        assert ran.exit_code == 0, ran.stderr

    assert found["proposal"]["routing"]["default"] == "tuned"
    assert found["proposal"]["calibration"]["pilot"]["adapters"] == sorted(map(file_digest, (ours, theirs)))
    assert len(chosen_on) == 200
    assert certifying
    assert not chosen_on & set(certifying)
    assert read_written(world.output).summary["gate"]["certified"]
    # What was compared trains, so nobody is asked about it again.
    assert len(server.requests) == len(asked_ids(server)) == server.billed


def test_an_adapter_that_was_not_compared_is_refused(
    world: World, tmp_path: pathlib.Path, asked: list[str]
) -> None:
    """Trained anew after the comparison, it would draw records in another order; a new comparison holds."""
    write_rows(world)
    path = adapter_file(tmp_path, model_path(SMOLLM2))
    with FakeLlmServer(steered_label) as server:
        file = job_file(world, server, tuned=tuned(path))
        with_proposal(file, compared(file, "--records", 200)["proposal"])
        path = adapter_file(tmp_path, model_path(SMOLLM2), seed=5)
        before = len(asked)
        refused = tekizai("run", file)
        paid = server.billed, len(asked)
        again = compared(file, "--records", 200)

    assert refused.exit_code == 2
    assert "models.tuned.adapters[0] is another adapter" in refused.stderr
    assert "models compare" in refused.stderr
    assert paid == (200, before)
    assert again["proposal"]["calibration"]["pilot"] == {"compared": 200, "adapters": [file_digest(path)]}


def test_a_model_that_cannot_be_asked_is_not_left_out_if_it_has_adapters(
    world: World, tmp_path: pathlib.Path
) -> None:
    """They settle the order in which the run draws its records."""
    write_rows(world)
    with FakeLlmServer(steered_label) as server:
        file = job_file(world, server, tuned=tuned(tmp_path / "missing.gguf"))
        refused = tekizai("models", "compare", file, "--records", 100)

    assert (refused.exit_code, server.billed) == (2, 0)
    assert "models.tuned: it has adapters and cannot be asked (" in refused.stderr
    assert "leave the model out" in refused.stderr


def test_a_gold_column_judges_models_that_all_have_adapters(world: World, tmp_path: pathlib.Path) -> None:
    """They may answer everything; none is escalated to."""
    write_rows(world)
    path = adapter_file(tmp_path, model_path(SMOLLM2))
    source = {"path": str(world.folder / "in.jsonl"), "text": "text", "id": "id", "gold": "truth"}
    file = world.job_file(
        models={"tuned": tuned(path)}, input=source, routing={"default": "tuned"}, calibration={}
    )
    found = compared(file, "--records", 200, "--target", 0.9)

    assert found["oracle"] == "gold"
    assert found["proposal"]["routing"] == {"default": "tuned"}
    # Who chooses a gate by hand is told what goes with it, the order of the records too.
    assert any(f"{{compared: 200, adapters: [{file_digest(path)}]}}" in note for note in found["notes"])


def test_without_a_gold_column_some_model_has_to_be_asked_as_it_is(
    world: World, tmp_path: pathlib.Path
) -> None:
    """What others are compared with is asked without adapters, and here all have some."""
    write_rows(world)
    path = adapter_file(tmp_path, model_path(SMOLLM2))
    file = world.job_file(models={"tuned": tuned(path)}, routing={"default": "tuned"})
    refused = tekizai("models", "compare", file, "--records", 100)

    assert refused.exit_code == 2
    assert "there is no model whose word can count" in refused.stderr
