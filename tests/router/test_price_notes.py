"""The manifest says what each model costs, who says so and of when that is."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from router.job import LlamaCppModel
from router.price_notes import hosted_note, local_note
from router.prices import PriceTier, TokenPrice, load_price_table

TABLE = Path(__file__).parents[2] / "configs" / "prices.yaml"
ROUTER_TOKENS = Decimal("0.000001")


def test_a_hosted_price_is_told_for_a_million_tokens_with_source_and_date() -> None:
    """What genai-prices says carries its version and the day it was looked up."""
    price = TokenPrice(
        Decimal("0.00000025"),
        Decimal("0.000000025"),
        Decimal("0.000002"),
        "genai-prices 0.2.3, openai/gpt-5-mini, as of 2026-11-25",
    )

    assert hosted_note(price) == {
        "price": "0.25 USD for a million tokens sent (0.025 cached), 2 for a million received",
        "source": "genai-prices 0.2.3, openai/gpt-5-mini",
        "checked": "2026-11-25",
    }


def test_a_discount_is_told_with_the_source() -> None:
    """The date stays a date."""
    price = TokenPrice(
        ROUTER_TOKENS,
        ROUTER_TOKENS,
        ROUTER_TOKENS,
        "genai-prices 1, a/b, as of 2026-01-02, less 50 % for batches",
    )

    note = hosted_note(price)

    assert note["source"] == "genai-prices 1, a/b, less 50 % for batches"
    assert note["checked"] == "2026-01-02"


def test_dearer_prices_of_long_prompts_are_told_too() -> None:
    """A tier is part of the price."""
    tier = PriceTier(200_000, 4 * ROUTER_TOKENS, 2 * ROUTER_TOKENS, 30 * ROUTER_TOKENS)
    price = TokenPrice(ROUTER_TOKENS, ROUTER_TOKENS, 10 * ROUTER_TOKENS, "the job file", (tier,))

    note = hosted_note(price)

    assert note["price"].endswith("; above 200,000 tokens in a prompt 4 (2) and 30")
    assert (note["source"], note["checked"]) == ("the job file", "")


def test_a_local_price_names_the_machine_unless_the_job_file_gives_it() -> None:
    """Half of a machine with two vCPUs, or what the user said."""
    table = load_price_table(TABLE)
    plain = LlamaCppModel(engine="llama_cpp", source="model.gguf")
    given = LlamaCppModel(engine="llama_cpp", source="model.gguf", usd_per_hour=Decimal("0.05"))

    note = local_note(plain, 1, Decimal("0.03350571"), table, None)

    assert note["price"] == (
        "0.03350571 USD for an hour on 1 thread of 2 vCPUs of e2-standard-2 (Google Cloud, us-central1)"
    )
    assert note["checked"] == "2026-09"
    assert local_note(given, 2, Decimal("0.05"), table, None) == {
        "price": "0.05 USD for an hour on 2 threads",
        "source": "the job file",
        "checked": "",
    }
