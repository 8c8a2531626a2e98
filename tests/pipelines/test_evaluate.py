"""`tekizai evaluate` on outputs of real runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

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
    by_status = {name: (one["right"], one["records"]) for name, one in task["by"]["status"].items()}
    assert by_status == {"duplicate": (1, 1), "escalated": (1, 1), "kept": (1, 2)}
    assert set(task["by"]["model"]) == {"small", "large"}


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
    assert found["sentiment"]["accuracy"]["count"] == 1


def test_gold_lists_of_parquet_and_json(world: World) -> None:
    """A column of lists, as a data set has them."""
    rows = [
        {"id": "1", "text": "a =price:0.9", "gold": ["price"]},
        {"id": "2", "text": "b", "gold": ["price"]},
    ]
    run(world, rows, tasks=[TOPICS])

    assert evaluate_output(str(world.output))["tasks"]["topics"]["accuracy"]["count"] == 1


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
