"""What `tekizai pack measure` finds, as a table for people and on the pack's page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.model_source import find_model
from pipelines.pack_measure import Rows, measure_pack
from pipelines.pack_new import HELD_BACK, MEASURED
from router.domain_pack import find_pack, shipped_packs
from transforms.files import read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from router.domain_pack import FoundPack

_HEAD = (
    "| prompt | accuracy | as a run without a calibration reads it | records/s | prefix tokens |",
    "|---|---|---|---|---|",
)


@dataclass(frozen=True, slots=True)
class MeasureOptions:
    """What the command line says; None where it says nothing."""

    pack: str
    data: str | None
    text: str
    label: str
    model: str | None
    records: int
    threads: int


def measure_and_note(
    options: MeasureOptions, tell: Callable[[str], None]
) -> tuple[dict[str, Any], list[str]]:
    """Measure a pack; returns JSON values and lines. The page of a folder of one's own gets the table.

    Raises `ValueError` where there is nothing to measure on, or no model to measure with.
    """
    found = find_pack(options.pack, read_file)
    rows = Rows(_data(options, found), options.text, options.label, options.records)
    model = find_model(options.model or _small_model(found))
    measured = measure_pack(found, model, rows, threads=options.threads, tell=tell)
    lines = list(told_measured(measured))
    page = Path(found.folder) / "README.md"
    if options.pack not in shipped_packs() and page.is_file() and _note(page, lines):
        lines.append(f"wrote it into {page}")
    return measured, lines


def _data(options: MeasureOptions, found: FoundPack) -> str:
    if options.data is not None:
        return options.data
    held_back = Path(found.folder) / HELD_BACK
    if not held_back.is_file():
        raise ValueError(f"--data: {found.folder} has no {HELD_BACK}; give a file with labelled rows")
    return str(held_back)


def _small_model(found: FoundPack) -> str:
    small = [one.source for one in found.pack.models if one.role == "small" and one.source is not None]
    if not small:
        raise ValueError(f"--model: pack {found.pack.name} names no small model; give one")
    return small[0]


def told_measured(measured: Mapping[str, Any]) -> Iterator[str]:
    """The table, and what changed for whom."""
    rows = measured["rows"]
    yield f"{rows['records']:,} rows of {Path(rows['path']).name}, {measured['model']}, intervals of 95 %:"
    yield ""
    yield from _HEAD
    for name, one in measured["prompts"].items():
        plain, free = (_rate(one["accuracy"][how]) for how in ("as_they_are", "label_free"))
        speed = one["records_per_second"] or 0.0
        yield f"| {name} | {plain} | {free} | {speed:.1f} | {one['prefix_tokens']} |"
    changed = measured["changed"]["label_free"]
    yield ""
    yield (
        f"Read as a run reads them, {changed['gained']} rows are right with the pack's prompt only, and "
        f"{changed['lost']} with the plain one only."
    )


def _rate(share: Mapping[str, Any]) -> str:
    return f"{share['rate'] or 0.0:.3f} ({share['low']:.3f} to {share['high']:.3f})"


def _note(page: Path, lines: list[str]) -> bool:
    """Put the lines between the page's marks; returns whether it has them."""
    text = page.read_text(encoding="utf-8")
    begin, end = MEASURED
    before, mark, rest = text.partition(begin)
    _, closing, after = rest.partition(end)
    if not (mark and closing):
        return False
    page.write_text(before + begin + "\n".join(lines) + "\n" + end + after, encoding="utf-8")
    return True
