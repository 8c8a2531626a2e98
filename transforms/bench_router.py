"""How fast the router reads texts: in batches as a job does, and one at a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from router.bench_figures import Spread, digits, percentile
from router.findings import Wanted
from router.language import identify_language
from transforms.route_records import BATCH, RouterPlace, load_router

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SINGLE = 300
_PERCENTS = (50, 95, 99)


def bench_router(texts: Sequence[str], repeats: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Everything that the router can find (task, domain, complexity, language), on one thread.

    Texts are read in batches, `repeats` times, then up to 300 of them one at a time. Raises `ValueError` for
    no text.
    """
    router = load_router(RouterPlace()).router
    router.find(["warm up"], Wanted())
    rates = []
    for turn in range(repeats):
        tell(f"turn {turn + 1} of {repeats}: in batches of {BATCH}")
        rates.append(_rate(texts, lambda batch: router.find(batch, Wanted()), BATCH))
    tell("one at a time")
    taken = [1 / _rate([text], lambda one: router.find(one, Wanted()), 1) for text in texts[:_SINGLE]]
    language = _rate(texts, lambda one: identify_language(one[0]), 1)
    return {
        "texts": len(texts),
        "mean_characters": digits(sum(map(len, texts)) / len(texts)),
        "batch": BATCH,
        "records_per_second": Spread.of(rates).as_json(),
        "one_at_a_time_milliseconds": {
            f"p{percent}": digits(1000 * percentile(taken, percent)) for percent in _PERCENTS
        },
        "language_alone_records_per_second": digits(language),
    }


def _rate(texts: Sequence[str], read: Callable[[list[str]], object], size: int) -> float:
    started = time.perf_counter()
    for begin in range(0, len(texts), size):
        read(list(texts[begin : begin + size]))
    return len(texts) / (time.perf_counter() - started)
