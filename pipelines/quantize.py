"""`tekizai models quantize`: a model in other number formats, and what each of them cost it."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipelines.console import WIDTH
from transforms.quantize_model import FORMATS, NEEDS_IMPORTANCE, quantise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pipelines.model_source import FoundModel
    from transforms.quantize_model import ModelFile

_MB = 1e6
_LEAST_SHARE = 0.005
_MOST = 0.5


def parse_formats(given: str) -> tuple[str, ...]:
    """The formats of `--to`, in the order given, each once. Raises `ValueError` for what cannot be made."""
    names = [name.strip().lower() for name in given.split(",")]
    for name in names:
        if name in NEEDS_IMPORTANCE:
            raise ValueError(
                f"--to: {name} cannot be made here: with so few bits llama.cpp asks for an importance "
                "matrix, measured on texts with its own llama-imatrix; choose q2_k or a larger format"
            )
        if name not in FORMATS:
            raise ValueError(f"--to: {name!r} is no format; give some of {', '.join(FORMATS)}")
    return tuple(dict.fromkeys(names))


def quantize_model(
    found: FoundModel, formats: Sequence[str], output: Path, *, force: bool
) -> Iterator[dict[str, Any]]:
    """Make the files one after another, and tell of each as JSON values.

    Raises `ValueError` before anything is made where a file is there already or would be what it is made of,
    and `ModelFileError` where one cannot be made.
    """
    targets = {name: output / f"{found.stem}-{name}.gguf" for name in formats}
    if found.file.format in targets:
        raise ValueError(
            f"--to: {found.given} is {found.file.format} already, and made of itself it stays what it is; "
            "leave that format out"
        )
    there = [str(path) for path in targets.values() if path.exists()]
    if there and not force:
        raise ValueError(f"{there[0]}: is there already; give --force to replace it, or another --output")
    for name, target in targets.items():
        made = quantise(found.file, target, name)
        yield {
            "file": asdict(made),
            "source": {"given": found.given, **asdict(found.file)},
            "notes": list(_notes(found.file, made)),
            "job_file": job_line(made),
        }


def job_line(made: ModelFile) -> str:
    """How a job file names the model, under `models:`."""
    source = json.dumps(made.path, ensure_ascii=False)
    return f'small: {{engine: llama_cpp, source: {source}, sha256: "{made.sha256}"}}'


def _notes(source: ModelFile, made: ModelFile) -> Iterator[str]:
    if source.quantised_as:
        more = (
            f"and {made.format} rounds what is left once more"
            if made.quantised and made.bytes < source.bytes
            else f"and {made.format} takes more room but cannot bring it back"
        )
        yield (
            f"Requantised: made from {source.lineage} weights, not from those that were trained. What "
            f"{' and then '.join(source.quantised_as)} rounded away is lost, {more}. Where an f16, bf16 or "
            "f32 file can be had, quantise that."
        )
    blocks = made.format.endswith("_k") or "_k_" in made.format
    share = sum(part for kind, part in made.shares.items() if kind.endswith("_k"))
    if blocks and share < _MOST:
        yield (
            f"Only {share:.0%} of the weights are in blocks of 256, as {made.format} means them: the rows of "
            "the others are of another length, and llama.cpp gave them types that are larger."
        )


def told(one: Mapping[str, Any]) -> Iterator[str]:
    """Lines about a file that was made, for people."""
    made, source = one["file"], one["source"]
    weights = ", ".join(
        f"{share:.0%} {kind}" for kind, share in made["shares"].items() if share >= _LEAST_SHARE
    )
    yield made["path"]
    yield (
        f"  {made['bytes'] / _MB:.1f} MB, made from {source['bytes'] / _MB:.1f} MB ({source['format']}); "
        f"weights: {weights}"
    )
    yield f"  sha256: {made['sha256']}"
    for note in one["notes"]:
        yield from textwrap.wrap(note, WIDTH, initial_indent="  ", subsequent_indent="  ")
    yield "  In the job file, under models:"
    yield f"    {one['job_file']}"
