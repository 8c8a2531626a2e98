"""Whole jobs whose large model is asked by the provider's batches, against a server that keeps a bill."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.fake_batch_server import FakeBatchServer

if TYPE_CHECKING:
    from tests.pipelines.jobs import World, Written

PRICE = {
    "input_usd_per_million_tokens": "1",
    "cached_input_usd_per_million_tokens": "0.5",
    "output_usd_per_million_tokens": "2",
}
HALF = ("0.5", "0.25", "1")
ROWS = 24
HARD = 16


def models(world: World, server: FakeBatchServer, **fields: Any) -> dict[str, Any]:
    """The small model local, the large one asked in batches."""
    local = world.job().models["small"].model_dump(mode="json", exclude_none=True)
    batch = {"poll_seconds": 0.02, **fields.pop("batch", {})}
    large = {"engine": "openai", "model": "m", "base_url": server.base_url, "price": PRICE, "batch": batch}
    return {"small": local, "large": {**large, **fields}}


def write_rows(world: World) -> None:
    """Every third record is sure, the others are escalated."""
    world.write_lines(
        [{"id": f"r{n}", "text": f"text {n} =positive:{0.9 if n % 3 == 0 else 0.6}"} for n in range(ROWS)]
    )


def costs(written: Written) -> Decimal:
    """What the large model cost, as the sum over the records that it answered."""
    small = Decimal("0.0005")
    return sum(
        (
            Decimal(row["usage"]["usd"]) - small
            for row in written.annotations
            if row["annotation"]["status"] == "escalated"
        ),
        Decimal(0),
    )


def test_escalated_records_go_into_one_batch_at_half_price(world: World) -> None:
    """One file, one batch; the records' costs add up to the server's own bill, exactly."""
    write_rows(world)
    with FakeBatchServer() as server:
        written = world.run(models=models(world, server))
        again = world.run(models=models(world, server))

    assert len(server.batches) == 1
    [batch] = server.batches.values()
    assert len(server.requests_in(batch.id)) == len(server.lines) == HARD
    assert sorted(written.statuses().values()) == ["escalated"] * HARD + ["kept"] * (ROWS - HARD)
    assert costs(written) == server.bill(*HALF) > 0
    assert Decimal(written.summary["cost_usd"]["by_model"]["large"]) == server.bill(*HALF)
    assert written.summary["tokens"]["cached"] >= 40 * HARD
    assert costs(again) == costs(written)
