"""`tekizai evaluate` on outputs of real runs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from pipelines.errors import OutputError
from pipelines.evaluate import evaluate_output
from tests.pipelines.jobs import SENTIMENT, TOPICS
from tests.pipelines.test_commands import lines, tekizai

if TYPE_CHECKING:
    from tests.pipelines.jobs import World

COLUMNS = {"text": "text", "id": "id", "gold": "gold"}


def run(world: World, rows: list[dict[str, Any]], **changes: Any) -> None:
    """Run a job with a gold column over rows."""
    columns = changes.pop("columns", COLUMNS)
    path = world.write_lines(rows)
    done = tekizai("run", world.job_file(input={"path": str(path), **columns}, **changes))
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_an_output_against_its_gold_column(world: World, form: str) -> None:
    """Three right of four with a true label, one without; copies count as records of their own."""
    run(
        world,
        [
            {"id": "1", "text": "x =positive:0.9", "gold": "positive"},
            {"id": "2", "text": "y =positive:0.9", "gold": "negative"},
            {"id": "3", "text": "z small=positive:0.6 large=negative:0.9", "gold": "negative"},
            {"id": "4", "text": "x =positive:0.9", "gold": "positive"},
            {"id": "5", "text": "w =positive:0.9", "gold": None},
        ],
        output={"path": str(world.output), "format": form},
    )

    found = evaluate_output(str(world.output))

    assert found["records"] == {"annotated": 5, "with_gold": 4}
    task = found["tasks"]["sentiment"]
    assert (task["accuracy"]["count"], task["accuracy"]["of"]) == (3, 4)
    assert task["confusion"] == {"negative": {"negative": 1, "positive": 1}, "positive": {"positive": 2}}
    assert counts(task["by"]["status"]) == {"duplicate": (1, 1), "escalated": (1, 1), "kept": (1, 2)}
    assert counts(task["by"]["model"]) == {"large": (1, 1), "small": (2, 3)}


def counts(parts: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """How many are right of how many, by part."""
    return {name: (one["accuracy"]["count"], one["accuracy"]["of"]) for name, one in parts.items()}


def test_parts_have_all_figures_of_the_task(world: World) -> None:
    """English: one of two, the surer one wrong; Japanese: the one there is. One model said all of it."""
    run(
        world,
        [
            {"id": "1", "text": "The sound of it is good =positive:0.95", "gold": "negative"},
            {"id": "2", "text": "The colour of it is good =positive:0.85", "gold": "positive"},
            {"id": "3", "text": "音がとても悪いです =negative:0.9", "gold": "negative"},
        ],
    )

    task = evaluate_output(str(world.output))["tasks"]["sentiment"]

    english, japanese = task["by"]["language"]["en"], task["by"]["language"]["ja"]
    assert english["confusion"] == {"negative": {"positive": 1}, "positive": {"positive": 1}}
    assert japanese["confusion"] == {"negative": {"negative": 1}}
    # Positive: one of two said is right; negative: never said.
    assert english["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)
    assert [(one["label"], one["recall"]["of"]) for one in japanese["labels"]] == [("negative", 1)]
    assert english["calibration"]["expected_error"] == pytest.approx((0.95 + 0.15) / 2, abs=1e-3)
    kept = [(one["kept"], one["accuracy"]) for one in english["risk_coverage"]]
    assert kept == [(0.5, 0.0), (1.0, 0.5)]
    whole = {name: value for name, value in task.items() if name not in {"kind", "by"}}
    assert task["by"]["model"] == {"small": whole}


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_sets_of_labels_are_right_as_a_whole(world: World, form: str) -> None:
    """In any order; a list, a JSON text or one name alone is a set; beside a task with one label."""
    run(
        world,
        [
            {"id": "1", "text": "a =price:0.9 =sound:0.9", "task": "topics", "gold": '["sound", "price"]'},
            {"id": "2", "text": "b =price:0.9", "task": "topics", "gold": "price"},
            {"id": "3", "text": "c", "task": "topics", "gold": "[]"},
            {"id": "4", "text": "d =price:0.9", "task": "topics", "gold": '["price", "sound"]'},
            {"id": "5", "text": "e =positive:0.9", "task": "sentiment", "gold": "positive"},
        ],
        output={"path": str(world.output), "format": form},
        columns={**COLUMNS, "task": "task"},
        tasks=[SENTIMENT, TOPICS],
    )

    found = evaluate_output(str(world.output))["tasks"]

    assert (found["topics"]["accuracy"]["count"], found["topics"]["accuracy"]["of"]) == (3, 4)
    price, sound = found["topics"]["labels"]
    assert (price["label"], price["recall"]["count"], price["recall"]["of"]) == ("price", 3, 3)
    assert (sound["label"], sound["recall"]["count"], sound["recall"]["of"]) == ("sound", 1, 2)
    assert found["sentiment"]["accuracy"]["count"] == 1


def test_gold_lists_of_parquet_and_json(world: World) -> None:
    """A column of lists, as a data set has them."""
    rows = [
        {"id": "1", "text": "a =price:0.9", "gold": ["price"]},
        {"id": "2", "text": "b", "gold": ["price"]},
    ]
    run(world, rows, tasks=[TOPICS])

    assert evaluate_output(str(world.output))["tasks"]["topics"]["accuracy"]["count"] == 1


def test_names_that_look_like_json_are_names(world: World) -> None:
    """A label may be called `true` or 1e2; in a list, an empty place is no label and a number is one."""
    odd = {**TOPICS, "labels": [{"name": "true"}, {"name": "1e2"}, {"name": "price"}]}
    rows = [
        {"id": "1", "text": "a =true:0.9", "gold": "true"},
        {"id": "2", "text": "b =1e2:0.9", "gold": "1e2"},
        {"id": "3", "text": "c =price:0.9", "gold": '["price", "price", null]'},
        {"id": "4", "text": "d =price:0.9", "gold": '["price", 7, true]'},
    ]
    run(world, rows, tasks=[odd])

    found = evaluate_output(str(world.output))["tasks"]["topics"]

    assert (found["accuracy"]["count"], found["accuracy"]["of"]) == (3, 4)
    assert found["confusion"]['["7", "price", "true"]'] == {'["price"]': 1}


def test_the_command_tells_people_and_programs(world: World) -> None:
    """A table, or JSON on stdout; names are no markup."""
    run(
        world,
        [
            {"id": "1", "text": "x =positive:0.9", "gold": "positive"},
            {"id": "2", "text": "y", "gold": "[red]"},
        ],
    )

    told = tekizai("evaluate", world.output)
    machine = tekizai("evaluate", world.output, "--json")

    assert (told.exit_code, machine.exit_code) == (0, 0)
    assert "Task sentiment: accuracy 0.500 (95 % interval 0.013 to 0.987)" in told.stdout
    assert "[red]" in told.stdout
    assert "Most often mixed up: [red] called " in told.stdout
    assert "Accuracy of the surest " in told.stdout
    assert "Agreement with the oracle: not measured: the job had no audit" in told.stdout
    assert "Gate: threshold 0.8, not certified" in told.stdout
    assert lines(told) == lines(machine) == [f"wrote {world.output}/evaluation.html"]
    assert json.loads(machine.stdout)["tasks"]["sentiment"]["accuracy"]["of"] == 2


def test_what_cannot_be_evaluated_is_said(world: World) -> None:
    """No output, no gold column, no gold label: exit code 2 and the way out."""
    nothing = tekizai("evaluate", world.folder / "nowhere")
    world.write_lines([{"id": "1", "text": "x"}])
    tekizai("run", world.job_file())
    unnamed = tekizai("evaluate", world.output)

    assert (nothing.exit_code, unnamed.exit_code) == (2, 2)
    assert "give a finished job's output" in lines(nothing)[0]
    assert "set input.gold" in lines(unnamed)[0]


def test_no_true_label_at_all(world: World) -> None:
    """The column is named and empty."""
    run(world, [{"id": "1", "text": "x"}])

    with pytest.raises(OutputError, match='no record has a true label in column "gold"'):
        evaluate_output(str(world.output))


def test_agreement_and_gate_are_those_of_the_summary(world: World) -> None:
    """What the job measured and promised is shown and passed on."""
    run(world, [{"id": "1", "text": "x =positive:0.9", "gold": "positive"}])
    path = world.output / "summary.json"
    audit = {"records": 10, "agreed": 10, "rate": 1.0, "low": 0.6915, "high": 1.0}
    gate = {"threshold": 0.75, "certified": True, "target": 0.9, "delta": 0.05}
    summary = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**summary, "audit": audit, "gate": gate}), encoding="utf-8")

    told = tekizai("evaluate", world.output)
    machine = json.loads(tekizai("evaluate", world.output, "--json").stdout)

    assert (machine["audit"], machine["gate"]) == (audit, gate)
    assert (
        "Agreement with the oracle: 1.000 (95 % interval 0.692 to 1.000): the small model said the same of "
        "10 of 10 audited records\nGate: threshold 0.75, certified, target 0.9, delta 0.05\n"
    ) in told.stdout


def test_the_page_goes_with_the_rows_it_describes(world: World) -> None:
    """Written anew each time; a run that replaces the rows removes it, one with nothing to do does not."""
    rows = [{"id": "1", "text": "x =positive:0.9", "gold": "positive"}]
    run(world, rows)
    page = world.output / "evaluation.html"
    page.write_text("what was there", encoding="utf-8")

    tekizai("evaluate", f"{world.output}/")

    assert "<title>test: Tekizai evaluation</title>" in page.read_text(encoding="utf-8")
    run(world, rows)
    assert page.exists()
    run(world, [*rows, {"id": "2", "text": "y", "gold": "negative"}])
    assert not page.exists()


def test_an_output_in_a_store_of_objects(world: World) -> None:
    """The page is written where the output is."""
    run(world, [{"id": "1", "text": "x =positive:0.9", "gold": "positive"}])
    store = fsspec.filesystem("memory")
    store.put(f"{world.output}/", "/bucket/out/", recursive=True)
    try:
        told = tekizai("evaluate", "memory://bucket/out")

        assert (told.exit_code, lines(told)) == (0, ["wrote memory://bucket/out/evaluation.html"])
        assert b"Accuracy, <bdi" in store.cat_file("/bucket/out/evaluation.html")
    finally:
        store.rm("/bucket", recursive=True)
    assert not (world.output / "evaluation.html").exists()


def test_an_output_that_cannot_be_written_is_told_of_all_the_same(world: World) -> None:
    """The figures are printed; the message says that the page is missing."""
    run(world, [{"id": "1", "text": "x =positive:0.9", "gold": "positive"}])
    (world.output / "evaluation.html").mkdir()

    told = tekizai("evaluate", world.output)

    assert told.exit_code == 2
    assert "Task sentiment: accuracy 1.000" in told.stdout
    assert re.fullmatch(
        r"tekizai: .*/evaluation\.html cannot be written \(.*\); what it would show is in what --json prints",
        lines(told)[0],
    )


def test_an_output_without_rows(world: World) -> None:
    """There is nothing to compare, and no page."""
    done = tekizai(
        "run",
        world.job_file(
            input={"path": str(world.write_lines([{"id": "1", "text": ""}])), **COLUMNS},
            limits={"max_dead_letter_fraction": 1},
        ),
    )
    assert done.exit_code == 0, done.stderr

    told = tekizai("evaluate", world.output)

    assert told.exit_code == 2
    assert 'no record has a true label in column "gold"' in lines(told)[0]
    assert not (world.output / "evaluation.html").exists()
