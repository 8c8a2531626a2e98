"""Jobs whose large model is asked by the provider's batches, and what they cost."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fake_batch_server import FakeBatchServer
    from tests.pipelines.jobs import World, Written

PRICE = {
    "input_usd_per_million_tokens": "1",
    "cached_input_usd_per_million_tokens": "0.5",
    "output_usd_per_million_tokens": "2",
}
HALF = ("0.5", "0.25", "1")
"""The prices of a batch's tokens: input, cached input, output."""
ROWS = 24
HARD = 16
"""How many of the rows are escalated."""
SMALL_USD = Decimal("0.0005")
"""What the small model costs a record."""


def batched_models(world: World, server: FakeBatchServer, **fields: Any) -> dict[str, Any]:
    """The small model local, the large one asked in batches; `fields` go into the latter."""
    local = world.job().models["small"].model_dump(mode="json", exclude_none=True)
    batch = {"poll_seconds": 0.02, **fields.pop("batch", {})}
    large = {"engine": "openai", "model": "m", "base_url": server.base_url, "price": PRICE, "batch": batch}
    return {"small": local, "large": {**large, **fields}}


def write_rows(world: World) -> None:
    """Every third record is sure, the others are escalated."""
    world.write_lines(
        [{"id": f"r{n}", "text": f"text {n} =positive:{0.9 if n % 3 == 0 else 0.6}"} for n in range(ROWS)]
    )


def number_of(request: Any) -> int:
    """The number of the record that a request asks about, whether for the first or the second time."""
    [text] = [m["content"] for m in request["messages"] if m["content"].startswith("text ")]
    return int(text.split()[1])


def paid(written: Written) -> Decimal:
    """What the large model cost, as the sum over the records."""
    return sum((Decimal(row["usage"]["usd"]) - SMALL_USD for row in written.annotations), Decimal(0))


def batch_sizes(server: FakeBatchServer) -> list[int]:
    """How many requests each batch had, in the order in which they were submitted."""
    return [len(server.requests_in(name)) for name in server.batches]
