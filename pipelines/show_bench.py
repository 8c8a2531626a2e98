"""The benchmark in a terminal: at most 80 columns, and plain text where it is piped."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from pipelines.console import WIDTH, printable, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

_WAYS = {
    "tekizai": "Tekizai",
    "tekizai_packed": "Tekizai, packed",
    "chat_json_schema": "chat, JSON",
    "chat_json_schema_converted": "chat, converted",
    "grammar": "grammar",
    "limit": "512 at once",
}
_RATIOS = {
    "tekizai_packed": ("packed_to_chat_json_schema", " x chat"),
    "chat_json_schema": ("to_chat_json_schema", " x"),
    "chat_json_schema_converted": ("to_chat_json_schema_converted", " x"),
    "grammar": ("to_grammar", " x"),
    "limit": ("of_limit", " of it"),
}
_JOBS = {"rules_only": "routes by language", "all_routes": "domain, complexity too"}
_MILLION = 1e6


def print_bench(found: Mapping[str, Any], console: Console) -> None:
    """Print machine, versions and models, then a table for each section."""
    about = found["machine"]
    _say(
        console,
        f"{about['processor']}, {about['cores']} cores, {about['memory_gib']:g} GiB, {about['system']}",
    )
    _say(console, "  ".join(f"{name} {version}" for name, version in found["versions"].items()))
    for name, model in found["models"].items():
        _say(console, f"{printable(name)}: {printable(model['source'])}, sha256 {model['sha256'][:16]}…")
    for note in found["notes"]:
        _say(console, f"Note: {note}.")
    sections = found["sections"]
    for row in sections.get("slm", ()):
        _print_slm(row, console)
    for name, show in (
        ("pipeline", _print_pipeline),
        ("router", _print_router),
        ("llm", _print_llm),
        ("scale", _print_scale),
    ):
        if name in sections:
            show(sections[name], console)
    _say(
        console, "Medians of the turns; under them the lowest and the highest. What each means: docs/bench.md"
    )


def _print_slm(row: Mapping[str, Any], console: Console) -> None:
    millions = row["layer_parameters"] / _MILLION
    as_format = f" as {row['format']}" if row.get("format") else ""
    _head(
        console,
        f"slm: {printable(row['model'])}{as_format} ({millions:.0f} M parameters in its layers), "
        f"{row['threads']} thread(s), {row['texts']} texts of {row['text_tokens']:.0f} tokens",
    )
    table = _table("way", "records/s", "tokens/s", "GFLOP/s a core", "Tekizai is")
    for name, way in row["ways"].items():
        key, unit = _RATIOS.get(name, ("", ""))
        ratio = row["ratios"].get(key)
        cells = (
            "" if way["records_per_second"] is None else _spread(way["records_per_second"]),
            _spread(way["tokens_per_second"]),
            _number(way["gflops_per_core"]),
            "" if ratio is None else _spread(ratio, unit),
        )
        table.add_row(_WAYS[name], *cells, style="bold" if name == "tekizai" else None)
    console.print(table)


def _print_pipeline(section: Mapping[str, Any], console: Console) -> None:
    outcome = section["outcome"]
    _head(
        console,
        f"pipeline: {section['records']:,} records, {outcome['escalated']:,} escalated, "
        f"{outcome['duplicates']:,} copies, {outcome['dead_lettered']:,} dead letters, one process",
    )
    table = _table("router finds", "models answer", "records/s", "CPU seconds", "peak MiB")
    for name, way in section["ways"].items():
        for key, said in (("answers_in_journal", "from the journal"), ("models_take_no_time", "in no time")):
            speed = way[key]
            table.add_row(
                _JOBS[name],
                said,
                _spread(speed["records_per_second"]),
                _number(speed["cpu_seconds"]["median"]),
                _number(speed["peak_mib"]),
            )
    console.print(table)
    shares = section["stages"]["shares"].items()
    told = ", ".join(f"{stage} {share:.0%}" for stage, share in shares if round(share, 2) > 0)
    _say(console, f"Where the time of the first line goes: {told}.")


def _print_router(section: Mapping[str, Any], console: Console) -> None:
    _head(
        console,
        f"router: {section['texts']:,} texts of {section['mean_characters']:.0f} characters; domain, task, "
        "complexity and language; one thread",
    )
    table = _table(f"records/s in {section['batch']}s", "one at a time: p50", "p95", "p99", "language alone")
    times = section["one_at_a_time_milliseconds"]
    table.add_row(
        _spread(section["records_per_second"]),
        *(f"{_number(times[name])} ms" for name in ("p50", "p95", "p99")),
        f"{_number(section['language_alone_records_per_second'])}/s",
    )
    console.print(table)


def _print_llm(section: Mapping[str, Any], console: Console) -> None:
    milliseconds = 1000 * section["latency_seconds"]
    _head(console, f"llm: the client against a server on loopback that takes {milliseconds:g} ms a request")
    table = _table("at once", "requests/s", "at most", "client is", "bare client is")
    for level in section["levels"]:
        table.add_row(
            f"{level['concurrency']}",
            _spread(level["requests_per_second"]),
            _number(level["ideal_requests_per_second"]),
            f"{level['of_ideal']:.2f} of it",
            f"{level['bare_of_ideal']:.2f} of it",
        )
    console.print(table)


def _print_scale(section: Mapping[str, Any], console: Console) -> None:
    processes = section["processes"]
    _head(
        console,
        f"scale: {processes['records']:,} records of {printable(processes['model'])} in worker processes of "
        "one thread",
    )
    table = _table("processes", "records/s", "peak MiB", "two are, whole job", "while answering")
    for count, rate in processes["records_per_second"].items():
        ratios = [_spread(processes[name], " x") for name in ("ratio", "ratio_while_answering")]
        table.add_row(
            count,
            _spread(rate),
            _number(processes["peak_mib"][count]),
            *(ratios if count == "2" else ("", "")),
        )
    console.print(table)
    _head(console, "scale: models that take no time, answers journaled, one process")
    sizes = _table("records", "seconds", "records/s", "peak MiB")
    for row in section["sizes"]:
        sizes.add_row(
            f"{row['records']:,}",
            *(_number(row[name]) for name in ("seconds", "records_per_second", "peak_mib")),
        )
    console.print(sizes)


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, width=WIDTH)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _head(console: Console, line: str) -> None:
    console.print()
    _say(console, line)


def _say(console: Console, line: str) -> None:
    for part in textwrap.wrap(line, WIDTH, break_on_hyphens=False):
        say(console, part)


def _spread(found: Mapping[str, float], unit: str = "") -> Text:
    """The median, and under it the lowest and the highest, where they differ."""
    median, low, high = (_number(found[name]) for name in ("median", "low", "high"))
    return Text(f"{median}{unit}" if low == high else f"{median}{unit}\n{low} to {high}")


def _number(value: float) -> str:
    """Three digits that say something."""
    shown: Sequence[tuple[float, str]] = ((100, ",.0f"), (10, ".1f"), (0, ".2f"))
    return next(f"{value:{form}}" for least, form in shown if value >= least)
