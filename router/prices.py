"""What answering costs: token prices of hosted models and machine time of local ones, in exact decimals."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import ROUND_HALF_UP, Decimal
from importlib import metadata
from typing import TYPE_CHECKING, Any

import yaml
from genai_prices import Usage as PricedUsage
from genai_prices import calc_price
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError, model_validator

from router.job_base import Usd
from router.records import MONEY_QUANTUM

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from genai_prices.types import PriceCalculation

    from router.job import LlamaCppModel, OpenAIModel, Price

_MILLION = Decimal(1_000_000)
_SECONDS_PER_HOUR = Decimal(3600)
_BATCH_DISCOUNT = Decimal("0.5")
"""What batches cost less where nobody says otherwise (docs/batch.md names source and date)."""
_BATCH = {"processing": "batch"}


class UnknownPriceError(ValueError):
    """Nobody knows what the model costs; the message holds the lines that settle it."""


@dataclass(frozen=True, slots=True)
class PriceTier:
    """The prices that hold for all tokens of a call with a long prompt."""

    above: int
    """Input tokens that the prompt must exceed."""
    input: Decimal
    cached_input: Decimal
    output: Decimal


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """What a hosted model charges, in USD per token."""

    input: Decimal
    cached_input: Decimal
    output: Decimal
    source: str
    """Where the figures come from, in words for the report."""
    tiers: tuple[PriceTier, ...] = ()
    """Dearer prices for long prompts, by ascending `above`; empty for most models."""


def cost(price: TokenPrice, input_tokens: int, cached_tokens: int, output_tokens: int) -> Decimal:
    """Price one call in USD, rounded half up to `MONEY_QUANTUM`.

    Every hosted call is priced here and nowhere else: tiers are data in `price`, not another formula.

    Args:
        price: USD per token.
        input_tokens: All tokens of the prompt.
        cached_tokens: Those of them that the provider had in its cache.
        output_tokens: Tokens of the answer, reasoning included.

    Raises:
        ValueError: A count is negative or not an integer, or more is cached than was sent.

    """
    _check_count("input_tokens", input_tokens)
    _check_count("cached_tokens", cached_tokens)
    _check_count("output_tokens", output_tokens)
    if cached_tokens > input_tokens:
        raise ValueError(
            f"cached_tokens is {cached_tokens}, more than input_tokens ({input_tokens}): "
            "cached tokens are a part of the input, so pass the whole prompt's count as input_tokens"
        )
    rates: TokenPrice | PriceTier = price
    for tier in price.tiers:
        if input_tokens > tier.above:
            rates = tier
    total = (
        rates.input * (input_tokens - cached_tokens)
        + rates.cached_input * cached_tokens
        + rates.output * output_tokens
    )
    return total.quantize(MONEY_QUANTUM, rounding=ROUND_HALF_UP)


def hosted_price(model: OpenAIModel, at: datetime | None = None) -> TokenPrice:
    """Find what a hosted model charges: the job file's `price`, else the table of the genai-prices package.

    The table ships inside that package; nothing is fetched. A price that depends on the time of day is taken
    as it is at `at` (default: now) and stays so for the job, so that equal calls of a job cost the same. With
    `batch` it is the price of batches.

    Raises:
        UnknownPriceError: Neither knows the model. A local endpoint is never looked up: it needs a `price`.

    """
    batched = model.batching is not None
    if model.price is not None:
        price = _given_price(model.price)
        return _discounted(price, model.price.batch_discount) if batched else price
    moment = at if at is not None else datetime.now(tz=timezone.utc)
    found = _look_up(model, moment, {})
    price = _listed_price(found.model_price, _source(found, moment))
    if not batched:
        return price
    cheaper = _look_up(model, moment, _BATCH)
    if cheaper.model_price == found.model_price:
        return _discounted(price, _BATCH_DISCOUNT)
    return _listed_price(cheaper.model_price, f"{_source(cheaper, moment)}, for batches")


def _look_up(model: OpenAIModel, moment: datetime, context: Mapping[str, str]) -> PriceCalculation:
    """The table's row of a model. Raises `UnknownPriceError` where it has none that prices tokens alone."""
    if model.base_url is None:
        where: dict[str, Any] = {"provider_id": "openai"}
    else:
        where = {"provider_api_url": model.base_url}
    try:
        found = calc_price(
            PricedUsage(input_tokens=0, output_tokens=0),
            model.model,
            genai_request_timestamp=moment,
            price_context=context,
            **where,
        )
    except LookupError:
        raise _unknown(model, "it is not in the table of genai-prices") from None
    listed = found.model_price
    if listed.input_mtok is None or listed.output_mtok is None:
        raise _unknown(model, "genai-prices lists no price per token")
    if listed.requests_kcount is not None:
        raise _unknown(model, "its provider also charges per request, which a price per token leaves out")
    return found


def _source(found: PriceCalculation, moment: datetime) -> str:
    version = metadata.version("genai-prices")
    return f"genai-prices {version}, {found.provider.id}/{found.model.id}, as of {moment.date().isoformat()}"


def _discounted(price: TokenPrice, discount: Decimal) -> TokenPrice:
    """The price of a batch's tokens, cached ones included."""
    left = 1 - discount
    return TokenPrice(
        price.input * left,
        price.cached_input * left,
        price.output * left,
        f"{price.source}, less {(100 * discount).normalize():f} % for batches",
        tuple(
            PriceTier(tier.above, tier.input * left, tier.cached_input * left, tier.output * left)
            for tier in price.tiers
        ),
    )


def _given_price(price: Price) -> TokenPrice:
    cached = price.cached_input_usd_per_million_tokens
    if cached is None:
        cached = price.input_usd_per_million_tokens
    return TokenPrice(
        input=price.input_usd_per_million_tokens / _MILLION,
        cached_input=cached / _MILLION,
        output=price.output_usd_per_million_tokens / _MILLION,
        source="the job file",
    )


def _listed_price(listed: Any, source: str) -> TokenPrice:  # noqa: ANN401 - its fields are dynamic attributes
    given, made = listed.input_mtok, listed.output_mtok
    cached = given if listed.cache_read_mtok is None else listed.cache_read_mtok
    starts = sorted({tier.start for column in (given, cached, made) for tier in getattr(column, "tiers", ())})
    tiers = [
        PriceTier(start, _rate(given, start + 1), _rate(cached, start + 1), _rate(made, start + 1))
        for start in starts
    ]
    return TokenPrice(_rate(given, 0), _rate(cached, 0), _rate(made, 0), source, tuple(tiers))


def _rate(column: Any, input_tokens: int) -> Decimal:  # noqa: ANN401 - a Decimal or the package's TieredPrices
    if isinstance(column, Decimal):
        return column / _MILLION
    rate: Decimal = column.base
    for tier in column.tiers:
        if input_tokens > tier.start:
            rate = tier.price
    return rate / _MILLION


def _unknown(model: OpenAIModel, why: str) -> UnknownPriceError:
    where = "OpenAI" if model.base_url is None else model.base_url
    return UnknownPriceError(
        f"the price of model {model.model!r} at {where} is unknown: {why}. Add to the model in the job file\n"
        '  price: {input_usd_per_million_tokens: "…", output_usd_per_million_tokens: "…"}\n'
        'with what the provider charges; "0" if the calls cost you nothing'
    )


def _check_count(name: str, value: object, least: int = 0) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}: expected an integer of {least} or more")


class Machine(BaseModel):
    """A machine whose time is charged by the hour."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    provider: str
    region: str
    vcpus: PositiveInt
    memory_gib: PositiveInt
    usd_per_hour: Usd
    source: str
    checked: str


class PriceTable(BaseModel):
    """configs/prices.yaml: what machines cost on which local models run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    default_machine: str
    """The machine that is meant where the job file names none."""
    machines: tuple[Machine, ...]

    @model_validator(mode="after")
    def _knows_its_default(self) -> PriceTable:
        self.machine(None)
        return self

    def machine(self, name: str | None) -> Machine:
        """The machine of a name; None means the default. Raises `UnknownPriceError`."""
        wanted = self.default_machine if name is None else name
        known = [one.name for one in self.machines]
        if wanted in known:
            return self.machines[known.index(wanted)]
        near = difflib.get_close_matches(wanted, known, n=1)
        meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
        raise UnknownPriceError(
            f"the price of machine {wanted!r} is unknown: {meant} For another one, add to each local model\n"
            '  usd_per_hour: "…"\nwith what an hour of the threads that it runs on costs'
        )


def load_price_table(path: Path) -> PriceTable:
    """Read configs/prices.yaml.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not YAML, or a key is missing, unknown or of the wrong type.

    """
    try:
        return PriceTable.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise ValueError(f"{path} is not a price table: {error}") from error


def local_price(model: LlamaCppModel, threads: int, table: PriceTable, machine: str | None = None) -> Decimal:
    """Find what a local model's machine time costs, in USD per hour.

    Args:
        model: Its `usd_per_hour` is taken as it is, where given.
        threads: Threads that the model runs on; each is priced as one vCPU of the machine.
        table: What machines cost.
        machine: Name of the machine; None for the default one.

    Raises:
        UnknownPriceError: The machine is not in the table.
        ValueError: `threads` is not a positive integer.

    """
    _check_count("threads", threads, least=1)
    if model.usd_per_hour is not None:
        return model.usd_per_hour
    found = table.machine(machine)
    return found.usd_per_hour / found.vcpus * threads


def local_cost(seconds: float, usd_per_hour: Decimal) -> Decimal:
    """Price machine time in USD, rounded half up to `MONEY_QUANTUM`.

    Raises:
        ValueError: A value is negative or not finite.

    """
    if isinstance(seconds, bool) or not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"seconds is {seconds!r}: expected a finite number of 0 or more")
    if not usd_per_hour.is_finite() or usd_per_hour < 0:
        raise ValueError(f"usd_per_hour is {usd_per_hour}: expected a finite amount of 0 or more")
    # repr is the shortest decimal that means this float; Decimal(float) would carry its binary noise along.
    total = Decimal(repr(float(seconds))) * usd_per_hour / _SECONDS_PER_HOUR
    return total.quantize(MONEY_QUANTUM, rounding=ROUND_HALF_UP)
