"""Prices are exact, known or refused."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from router.job import LlamaCppModel, OpenAIModel, Price
from router.prices import (
    PriceTier,
    TokenPrice,
    UnknownPriceError,
    cost,
    hosted_price,
    load_price_table,
    local_cost,
    local_price,
)

_GROQ = "https://api.groq.com/openai/v1"
TABLE = Path(__file__).parents[2] / "configs" / "prices.yaml"
PRICE = TokenPrice(Decimal("0.000001"), Decimal("0.0000001"), Decimal("0.00001"), "a test")


def hosted(name: str = "gpt-5-mini", base_url: str | None = None, price: Price | None = None) -> OpenAIModel:
    """Make a hosted model."""
    return OpenAIModel(engine="openai", model=name, base_url=base_url, price=price)


def local(**fields: Any) -> LlamaCppModel:
    """Make a local model."""
    return LlamaCppModel(engine="llama_cpp", source="model.gguf", **fields)


def test_cached_tokens_are_part_of_the_input() -> None:
    """1,000 tokens of which 400 are cached: 600 at the full price, 400 at the cached one."""
    assert cost(PRICE, 1000, 400, 50) == Decimal("0.00114")


def test_nothing_costs_nothing() -> None:
    """A call without tokens costs zero."""
    assert cost(PRICE, 0, 0, 0) == 0


def test_all_input_may_be_cached() -> None:
    """As many cached tokens as input tokens is the boundary, and allowed."""
    assert cost(PRICE, 10, 10, 0) == Decimal("0.000001")


def test_half_a_quantum_is_rounded_up() -> None:
    """0.5e-12 becomes 1e-12, and what is below it becomes 0."""
    half = TokenPrice(Decimal("5e-13"), Decimal(0), Decimal("4.9e-13"), "a test")

    assert cost(half, 1, 0, 0) == Decimal("0.000000000001")
    assert cost(half, 0, 0, 1) == 0


@pytest.mark.parametrize("bad", [-1, True, False, 1.0, float("nan"), float("inf"), Decimal(1), "1", None])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_no_count_is_refused(bad: Any, place: int) -> None:
    """Negative, boolean and fractional or infinite counts are refused by name and value."""
    counts: list[Any] = [5, 0, 5]
    counts[place] = bad

    with pytest.raises(ValueError, match="tokens is"):
        cost(PRICE, *counts)


def test_more_cached_than_sent_is_refused() -> None:
    """Cached tokens beside the input, instead of within it, would make the cost negative."""
    with pytest.raises(ValueError, match=r"cached_tokens is 11, more than input_tokens \(10\)"):
        cost(PRICE, 10, 11, 0)


@pytest.mark.parametrize(("tokens", "expected"), [(272_000, "0.68"), (272_001, "1.360005")])
def test_a_long_prompt_costs_the_tier_on_all_tokens(tokens: int, expected: str) -> None:
    """The tier's price begins one token above its bound and holds for the whole call."""
    tier = PriceTier(272_000, Decimal("0.000005"), Decimal("0.0000005"), Decimal("0.0000225"))
    tiered = TokenPrice(Decimal("0.0000025"), Decimal("0.00000025"), Decimal("0.000015"), "a test", (tier,))

    assert cost(tiered, tokens, 0, 0) == Decimal(expected)


def test_the_job_files_price_comes_first() -> None:
    """A given price is divided down to a token; without a cached price the cache saves nothing."""
    given = Price(input_usd_per_million_tokens=Decimal("0.10"), output_usd_per_million_tokens=Decimal("0.40"))

    assert hosted_price(hosted(price=given)) == TokenPrice(
        Decimal("0.0000001"), Decimal("0.0000001"), Decimal("0.0000004"), "the job file"
    )


def test_a_free_endpoint_may_be_given_as_such() -> None:
    """A price of 0 is a price."""
    free = Price(input_usd_per_million_tokens=Decimal(0), output_usd_per_million_tokens=Decimal(0))

    assert cost(hosted_price(hosted(base_url="http://127.0.0.1:1/v1", price=free)), 10, 0, 10) == 0


def test_known_models_are_priced_from_the_table() -> None:
    """GPT-4o mini costs 0.15 in, 0.075 cached and 0.60 out per million tokens."""
    found = hosted_price(hosted("gpt-4o-mini"), at=datetime(2026, 1, 2, tzinfo=timezone.utc))

    assert (found.input, found.cached_input, found.output) == (
        Decimal("0.00000015"),
        Decimal("0.000000075"),
        Decimal("0.0000006"),
    )
    version = metadata.version("genai-prices")
    assert found.source == f"genai-prices {version}, openai/gpt-4o-mini, as of 2026-01-02"


@pytest.mark.parametrize(("discount", "left"), [(None, "0.5"), ("0.25", "0.75"), ("0", "1"), ("1", "0")])
def test_batches_cost_less(discount: str | None, left: str) -> None:
    """Half of all three prices, or what the job file leaves of them; the source says so."""
    given: dict[str, Any] = {"input_usd_per_million_tokens": "1", "output_usd_per_million_tokens": "2"}
    given |= {"cached_input_usd_per_million_tokens": "0.2"}
    given |= {} if discount is None else {"batch_discount": discount}
    model = OpenAIModel(engine="openai", model="m", price=Price.model_validate(given), batch=True)

    found = hosted_price(model)

    rates = [rate * 1_000_000 for rate in (found.input, found.cached_input, found.output)]
    assert rates == [Decimal(left) * Decimal(rate) for rate in ("1", "0.2", "2")]
    percent = {"0.5": "50", "0.75": "25", "1": "0", "0": "100"}[left]
    assert found.source == f"the job file, less {percent} % for batches"


def test_single_calls_cost_the_full_price() -> None:
    """Without `batch` a discount changes nothing."""
    given = Price(
        input_usd_per_million_tokens=Decimal(1),
        output_usd_per_million_tokens=Decimal(2),
        batch_discount=Decimal("0.9"),
    )

    assert hosted_price(hosted(price=given)).input == Decimal("0.000001")


def test_a_listed_price_without_one_for_batches_is_halved() -> None:
    """Where the table has no price for batches of a model, they cost what OpenAI's documentation says."""
    at, name, url = datetime(2026, 11, 1, tzinfo=timezone.utc), "llama-3.1-8b-instant", _GROQ
    single = hosted_price(hosted(name, url), at)
    batch = hosted_price(OpenAIModel(engine="openai", model=name, base_url=url, batch=True), at)

    assert (batch.input, batch.cached_input, batch.output) == (
        single.input / 2,
        single.cached_input / 2,
        single.output / 2,
    )
    assert batch.source == f"{single.source}, less 50 % for batches"


def test_a_listed_price_for_batches_is_taken() -> None:
    """Where genai-prices knows what a provider charges for batches, that counts, tiers included."""
    at = datetime(2026, 11, 1, tzinfo=timezone.utc)
    single = hosted_price(hosted("gpt-5.4"), at)
    batch = hosted_price(OpenAIModel(engine="openai", model="gpt-5.4", batch=True), at)

    version = metadata.version("genai-prices")
    assert batch.source == f"genai-prices {version}, openai/gpt-5.4, as of 2026-11-01, for batches"
    assert (batch.input, batch.cached_input, batch.output) == (
        Decimal("0.00000125"),
        Decimal("0.00000013"),
        Decimal("0.0000075"),
    )
    assert [(tier.above, tier.input * 2) for tier in batch.tiers] == [
        (tier.above, tier.input) for tier in single.tiers
    ]


def test_the_provider_is_told_from_the_url() -> None:
    """The same model at another provider is looked up there."""
    found = hosted_price(hosted("openai/gpt-4o-mini", "https://openrouter.ai/api/v1"))

    assert "openrouter/" in found.source


def test_a_price_without_a_cached_one_has_no_discount() -> None:
    """Groq lists no cached price for this model, so cached tokens cost as much as others."""
    found = hosted_price(hosted("llama-3.1-8b-instant", _GROQ))

    assert found.cached_input == found.input > 0


def test_tiers_of_the_table_are_kept() -> None:
    """A tiered price of the table costs the same as its own calculation, on both sides of the bound."""
    found = hosted_price(hosted("gpt-5.4"))

    assert [tier.above for tier in found.tiers] == [272_000]
    assert cost(found, 272_000, 0, 0) == Decimal("0.68")
    assert cost(found, 272_001, 0, 0) == Decimal("1.360005")


@pytest.mark.parametrize(
    ("name", "base_url"),
    [
        ("my-model", None),
        ("gpt-4o-mini", "http://127.0.0.1:8081/v1"),
        ("gpt-4o-mini", "http://localhost:11434/v1"),
        ("gpt-4o-mini", "https://llm.example.org/v1"),
        ("sonar", "https://api.perplexity.ai"),
    ],
)
def test_an_unknown_price_says_what_to_add(name: str, base_url: str | None) -> None:
    """Unknown models, local endpoints and prices per request end in an error with the YAML to add."""
    lines = 'price: {input_usd_per_million_tokens: "…", output_usd_per_million_tokens: "…"}'

    with pytest.raises(UnknownPriceError) as caught:
        hosted_price(hosted(name, base_url))

    assert lines in str(caught.value)
    assert repr(name) in str(caught.value)


def test_the_shipped_table_prices_a_thread_as_a_vcpu() -> None:
    """Half of the two-vCPU default machine for one thread, twice it for four."""
    table = load_price_table(TABLE)

    assert table.machine(None).name == "e2-standard-2"
    assert local_price(local(), 1, table) == Decimal("0.03350571")
    assert local_price(local(), 4, table) == Decimal("0.13402284")


def test_a_named_machine_is_priced_by_its_own_vcpus() -> None:
    """n2-standard-4 costs 0.194236 for four vCPUs, so one thread costs a quarter of it."""
    table = load_price_table(TABLE)

    assert local_price(local(), 1, table, "n2-standard-4") == Decimal("0.048559")
    assert local_price(local(usd_per_hour="0.05"), 1, table, "n2-standard-4") == Decimal("0.05")


def test_an_unknown_machine_is_an_error_with_the_nearest_name_and_the_line_to_add() -> None:
    """A price that nobody knows is never taken for another machine's."""
    with pytest.raises(UnknownPriceError, match="did you mean n2-standard-4") as caught:
        local_price(local(), 1, load_price_table(TABLE), "n2-standard4")

    assert 'usd_per_hour: "…"' in str(caught.value)


def test_every_machine_of_the_shipped_table_says_where_its_price_is_from_and_when() -> None:
    """A price without source and date is worth nothing a year later."""
    for machine in load_price_table(TABLE).machines:
        assert machine.source.startswith("https://")
        assert re.fullmatch(r"20\d\d-\d\d", machine.checked)


def test_a_given_price_per_hour_is_taken_as_it_is() -> None:
    """usd_per_hour is the worker's, however many threads it runs; 0 counts as given."""
    table = load_price_table(TABLE)

    assert local_price(local(usd_per_hour="0.05"), 2, table) == Decimal("0.05")
    assert local_price(local(usd_per_hour=0), 2, table) == 0


@pytest.mark.parametrize("threads", [0, -1, True, 1.5])
def test_threads_are_counted_from_one(threads: Any) -> None:
    """A model runs on one thread at least."""
    with pytest.raises(ValueError, match="threads is"):
        local_price(local(), threads, load_price_table(TABLE))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.0, "0"), (3600.0, "0.05"), (0.1, "0.000001388889"), (7, "0.000097222222")],
)
def test_machine_time_is_priced_by_the_second(seconds: float, expected: str) -> None:
    """Seconds times 0.05 USD an hour, to twelve decimals."""
    assert local_cost(seconds, Decimal("0.05")) == Decimal(expected)


@pytest.mark.parametrize("seconds", [-0.1, float("nan"), float("inf"), True])
def test_impossible_times_are_refused(seconds: float) -> None:
    """Negative, infinite and boolean times are refused."""
    with pytest.raises(ValueError, match="seconds is"):
        local_cost(seconds, Decimal(1))


@pytest.mark.parametrize("rate", ["-1", "NaN", "Infinity"])
def test_impossible_rates_are_refused(rate: str) -> None:
    """Negative and infinite prices are refused."""
    with pytest.raises(ValueError, match="usd_per_hour is"):
        local_cost(1.0, Decimal(rate))


@pytest.mark.parametrize(
    "text", ["", "default_machine: {", "default_machine: {name: x}", "defualt_machine: 1"]
)
def test_a_broken_table_is_refused_with_its_path(tmp_path: Path, text: str) -> None:
    """An empty file, bad YAML, a missing and a misspelt key all name the file."""
    path = tmp_path / "prices.yaml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ValueError, match=r"prices\.yaml is not a price table"):
        load_price_table(path)
