"""What a job's manifest says of each model's price: the price in words, where it is from and of when."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.job import LlamaCppModel
    from router.prices import PriceTable, TokenPrice

PriceNote = dict[str, str]
"""`price`, `source` and `checked`, all as words; `checked` is empty where nothing says it."""

_MILLION = Decimal(1_000_000)


def hosted_note(price: TokenPrice) -> PriceNote:
    """The note of a hosted model's price."""
    words = (
        f"{_plain(price.input * _MILLION)} USD for a million tokens sent "
        f"({_plain(price.cached_input * _MILLION)} cached), "
        f"{_plain(price.output * _MILLION)} for a million received"
    )
    for tier in price.tiers:
        words += (
            f"; above {tier.above:,} tokens in a prompt {_plain(tier.input * _MILLION)} "
            f"({_plain(tier.cached_input * _MILLION)}) and {_plain(tier.output * _MILLION)}"
        )
    source, _, rest = price.source.partition(", as of ")
    date, comma, more = rest.partition(", ")
    return {"price": words, "source": f"{source}{comma}{more}", "checked": date}


def local_note(
    model: LlamaCppModel, threads: int, usd_per_hour: Decimal, table: PriceTable, machine: str | None
) -> PriceNote:
    """The note of what an hour of a local model costs. Raises `UnknownPriceError` for an unknown machine."""
    words = f"{_plain(usd_per_hour)} USD for an hour on {threads} {'thread' if threads == 1 else 'threads'}"
    if model.usd_per_hour is not None:
        return {"price": words, "source": "the job file", "checked": ""}
    found = table.machine(machine)
    words += f" of {found.vcpus} vCPUs of {found.name} ({found.provider}, {found.region})"
    return {"price": words, "source": found.source, "checked": found.checked}


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"
