"""A gate with a target where there is little money, and with labels that people have corrected."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl

from tests.fake_llm_server import FakeLlmServer
from tests.pipelines.gate_rows import LABELS, hosted, read, rows, steered_label, target_job

if TYPE_CHECKING:
    from tests.pipelines.jobs import World


def graded(count: int) -> list[dict[str, Any]]:
    """Records of all confidences from .5 to 1, which are wrong as often as the small model thinks."""
    rng = random.Random(5)
    found = []
    for number in range(count):
        sure, truth = rng.uniform(0.5, 1.0), rng.choice(LABELS)
        said = truth if rng.random() < sure else LABELS[1 - LABELS.index(truth)]
        text = f"record {number:04} small={said}:{sure:.4f} large={truth}:0.99"
        found.append({"id": f"r{number}", "text": text, "truth": truth, "sure": sure})
    return found


def test_too_small_a_budget_is_spent_where_it_corrects_most(world: World) -> None:
    """Of the records that are not trusted, the surer ones go without, and nothing is certified any more."""
    world.write_lines(graded(1500))
    with FakeLlmServer(answer=steered_label) as server:
        models = hosted(world, server, concurrency=2)
        world.run(models=models, budget={"max_usd": "0.08"}, **target_job(gate={"target": 0.95}))

    summary, found = read(world)
    assert "budget.max_usd allows about" in summary["gate"]["note"]
    assert summary["gate"]["certified"] is False
    assert Decimal("0.06") < Decimal(summary["cost_usd"]["by_model"]["large"]) <= Decimal("0.08")
    left = found.filter(pl.col("reason").str.starts_with("not asked: other records gain more"))
    asked = found.filter(
        (pl.col("status") == "escalated") & ~pl.col("reason").str.contains("asked for the pilot")
    )
    assert (left["status"] == "over_budget").all()
    assert left.height > 50
    assert float(left["sure"].median()) > float(asked["sure"].median()) + 0.1


def test_corrected_records_are_learned_from(world: World) -> None:
    """They have no label in the column, so they train and do not certify."""
    given = [{**row, "gold": row["truth"]} for row in rows(800)]
    corrected = given[:40]
    for row in corrected:
        row["gold"] = None
    world.write_lines(given)
    path = world.folder / "corrected.jsonl"
    lines = [json.dumps({"id": row["id"], "label": row["truth"]}) + "\n" for row in corrected]
    path.write_text("".join(lines), encoding="utf-8")
    source = {"path": str(world.folder / "in.jsonl"), "id": "id", "gold": "gold"}

    world.run(**target_job(gate={"oracle": "gold"}, calibration={"corrections": str(path)}), input=source)

    stored = json.loads((world.output / "state/calibration/calibration.json").read_text())
    [model] = stored["models"]
    assert model["rows"] == stored["sizes"]["train"] + len(corrected)
    assert stored["sizes"]["records"] == len(given) - len(corrected)
