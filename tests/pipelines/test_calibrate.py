"""Whole jobs whose gate is certified on a pilot, with local models that say what the texts tell them to."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from tests.pipelines.jobs import World

LABELS = ("negative", "positive")


def rows(count: int, *, wrong_when_unsure: float = 0.4, wrong_when_sure: float = 0.0) -> list[dict[str, Any]]:
    """Records of which the small model is sure (.95) or unsure (.6), and wrong so often; sorted by that."""
    rng = random.Random(3)
    found = []
    for number in range(count):
        sure = number % 2 == 0
        truth = rng.choice(LABELS)
        wrong = rng.random() < (wrong_when_sure if sure else wrong_when_unsure)
        said = LABELS[1 - LABELS.index(truth)] if wrong else truth
        text = f"record {number} small={said}:{0.95 if sure else 0.6} large={truth}:0.99"
        found.append({"id": f"r{number}", "text": text, "truth": truth})
    return sorted(found, key=lambda row: ".6" in str(row["text"]))


def target_job(world: World, **changes: Any) -> dict[str, Any]:
    """Sections of a job with a target."""
    gate = {"target": 0.9, "delta": 0.05, **changes.pop("gate", {})}
    routing = {"default": "small", "escalate_to": "large", "gate": gate, **changes.pop("routing", {})}
    calibration = {"search_seconds": 0, **changes.pop("calibration", {})}
    return {"routing": routing, "calibration": calibration, **changes}


def read(world: World) -> tuple[dict[str, Any], pl.DataFrame]:
    """The summary and the rows that came out."""
    summary = json.loads((world.output / "summary.json").read_text())
    found = pl.read_parquet(str(world.output / "annotations-*.parquet"))
    return summary, found.with_columns(
        pl.col("annotation").struct.field("label"),
        pl.col("annotation").struct.field("status"),
        pl.col("annotation").struct.field("confidence"),
        pl.col("annotation").struct.field("reason"),
        pl.col("annotation").struct.field("model"),
    )


def test_a_target_is_certified_and_kept(world: World) -> None:
    """Sure answers are always right: they are kept, unsure ones are sent on, and the summary says so."""
    world.write_lines(rows(2000))

    world.run(**target_job(world))

    summary, found = read(world)
    gate = summary["gate"]
    assert gate["certified"] is True
    assert (gate["target"], gate["delta"], gate["oracle"]) == (0.9, 0.05, "llm")
    assert gate["pilot"]["job"] == 2000
    assert (found["label"] == found["truth"]).mean() >= 0.9
    kept = found.filter(pl.col("status") == "kept")
    assert len(kept) > 800
    assert kept["confidence"].min() >= gate["threshold"]
