"""A gate with a target where there is little money, and with labels that people have corrected."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl

from tests.fake_llm_server import FakeLlmServer
from tests.pipelines.gate_rows import hosted, read, rows, steered_label, target_job

if TYPE_CHECKING:
    from tests.pipelines.jobs import World


def test_too_small_a_budget_is_spent_where_it_corrects_most(world: World) -> None:
    """Of the records that are not trusted, those that look surer go without; the promise is not certified."""
    given = rows(1500)
    for row in given[len(given) * 3 // 4 :]:
        row["text"] = row["text"].replace(":0.6", ":0.75")
    world.write_lines(given)
    with FakeLlmServer(answer=steered_label) as server:
        world.run(models=hosted(world, server), budget={"max_usd": "0.06"}, **target_job())

    summary, found = read(world)
    assert "budget.max_usd allows about" in summary["gate"]["note"]
    assert summary["gate"]["certified"] is False
    assert Decimal("0.04") < Decimal(summary["cost_usd"]["by_model"]["large"]) <= Decimal("0.06")
    left, asked = (
        found.filter(pl.col("status") == "over_budget"),
        found.filter(pl.col("status") == "escalated"),
    )
    assert left.height > 50
    assert left["reason"].unique().to_list() == [
        "not asked: other records gain more for what budget.max_usd allows"
    ]
    in_main = asked.filter(~pl.col("reason").str.contains("asked for the pilot"))
    assert left["text"].str.contains(":0.75").mean() > 0.9
    assert in_main["text"].str.contains("small=.*:0.6 ").mean() > 0.6


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
