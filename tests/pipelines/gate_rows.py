"""Records and job files for tests of a gate with a target."""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from tests.fake_llm_server import FakeLlmServer
    from tests.pipelines.jobs import World

LABELS = ("negative", "positive")
PRICE = {"input_usd_per_million_tokens": "1", "output_usd_per_million_tokens": "2"}


def rows(
    count: int, *, wrong_when_unsure: float = 0.4, wrong_when_sure: float = 0.0, seed: int = 3
) -> list[dict[str, Any]]:
    """Records of which the small model is sure (.95) or unsure (.6), and wrong so often; sorted by that."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        sure = number % 2 == 0
        truth = rng.choice(LABELS)
        wrong = rng.random() < (wrong_when_sure if sure else wrong_when_unsure)
        said = LABELS[1 - LABELS.index(truth)] if wrong else truth
        text = f"record {number} of {seed} small={said}:{0.95 if sure else 0.6} large={truth}:0.99"
        found.append({"id": f"r{number}", "text": text, "truth": truth})
    return sorted(found, key=lambda row: ":0.6" in str(row["text"]))


def steered_label(text: str) -> str:
    """What the large model says, by the text's own words."""
    said = re.search(r"large=(\w+):", text)
    return json.dumps({"label": said[1] if said else "negative"})


def hosted(world: World, server: FakeLlmServer, **fields: Any) -> dict[str, Any]:
    """Models: the small one local, the large one behind the server."""
    local = world.job().models["small"].model_dump(mode="json", exclude_none=True)
    large = {"engine": "openai", "model": "m", "base_url": server.base_url, "price": PRICE, **fields}
    return {"small": local, "large": large}


def target_job(
    *, gate: dict[str, Any] | None = None, calibration: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """Sections of a job with a target of .9, which does not look for a prompt."""
    wanted = {"target": 0.9, "delta": 0.05, **(gate or {})}
    routing = {"default": "small", "escalate_to": "large", "gate": wanted}
    return {"routing": routing, "calibration": {"search_seconds": 0, **(calibration or {})}, **changes}


def read(world: World) -> tuple[dict[str, Any], pl.DataFrame]:
    """The summary, and the rows that came out with fields of their annotation as columns."""
    summary = json.loads((world.output / "summary.json").read_text())
    found = pl.read_parquet(str(world.output / "annotations-*.parquet"))
    fields = ("label", "status", "confidence", "reason", "model")
    return summary, found.with_columns(pl.col("annotation").struct.field(name) for name in fields)
