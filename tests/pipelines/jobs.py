"""Small jobs on fake models, run on Beam's local runner, and what they wrote."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl
import yaml
from rich.console import Console

from pipelines.commands import calibrate_first
from pipelines.prepare import prepare, start
from pipelines.runner import is_local, options_of, run_plan
from router.job_loading import parse_job
from tests.fake_models import gguf_file

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterable, Mapping, Sequence

    from router.job import Job

SENTIMENT = {
    "name": "sentiment",
    "instruction": "Classify the sentiment.",
    "labels": [{"name": "negative"}, {"name": "positive"}],
}
TOPICS = {
    "name": "topics",
    "kind": "multi_label",
    "instruction": "Say what the text is about.",
    "labels": [{"name": "price"}, {"name": "sound"}, {"name": "colour"}],
}


@dataclass
class World:
    """A folder with an input, a model file and an output, and the job file that names them."""

    folder: pathlib.Path
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def output(self) -> pathlib.Path:
        """The output folder."""
        return self.folder / "out"

    def write_lines(self, rows: Iterable[Mapping[str, Any] | str], name: str = "in.jsonl") -> pathlib.Path:
        """Write input lines: objects, or text as it is."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    def job_file(self, **changes: Any) -> pathlib.Path:
        """Write the job file; `changes` replace sections of it."""
        local = {
            name: {
                "engine": "llama_cpp",
                "source": str(gguf_file(self.folder, f"{name}.gguf")),
                "threads": 1,
                "usd_per_hour": "3.6",
            }
            for name in ("small", "large")
        }
        job = {
            "name": "test",
            "input": {"path": str(self.folder / "in.jsonl"), "text": "text", "id": "id"},
            "output": {"path": str(self.output), "format": "parquet"},
            "tasks": [SENTIMENT],
            "models": local,
            "routing": {"default": "small", "escalate_to": "large", "gate": {"min_confidence": 0.8}},
            "calibration": {"label_free": False},
            **self.changes,
            **changes,
        }
        path = self.folder / "job.yaml"
        path.write_text(yaml.safe_dump(job, sort_keys=False), encoding="utf-8")
        return path

    def job(self, **changes: Any) -> Job:
        """The job as `run` would load it."""
        return parse_job(self.job_file(**changes).read_text(encoding="utf-8"), name="job.yaml", environ={})

    def run(self, *, options: Sequence[str] = (), workers: int = 1, **changes: Any) -> Written:
        """Run the job; what it wrote."""
        return self.run_to(self.output, options=options, workers=workers, **changes)

    def run_to(
        self, folder: pathlib.Path, *, options: Sequence[str] = (), workers: int = 1, **changes: Any
    ) -> Written:
        """Run the job, which writes to a folder; what it wrote."""
        local = is_local(options_of(options))
        plan = prepare(self.job(**changes), workers=workers, local=local)
        start(plan)
        plan = calibrate_first(plan, options_of(options), Console(quiet=True))
        run_plan(plan, options_of(options))
        return read_written(folder)


@dataclass(frozen=True)
class Written:
    """An output folder."""

    folder: pathlib.Path
    annotations: list[dict[str, Any]]
    """Rows in the order of the files."""
    dead: list[dict[str, Any]]
    summary: dict[str, Any]

    def by_id(self) -> dict[str, dict[str, Any]]:
        """Annotated rows by their id."""
        found = {row["id"]: row for row in self.annotations}
        assert len(found) == len(self.annotations), "ids repeat"
        return found

    def labels(self) -> dict[str, Any]:
        """Labels by id."""
        return {name: row["annotation"].get("label") for name, row in self.by_id().items()}

    def statuses(self) -> dict[str, str]:
        """Statuses by id."""
        return {name: row["annotation"]["status"] for name, row in self.by_id().items()}

    def reasons(self) -> dict[str | None, str]:
        """Reasons of the dead letters by id."""
        return {row["id"]: row["reason"] for row in self.dead}


def read_written(folder: pathlib.Path) -> Written:
    """Read an output folder with polars and json."""
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob("annotations-*")):
        rows += pl.read_parquet(path).to_dicts() if path.suffix == ".parquet" else json_lines(path)
    dead = [row for path in sorted(folder.glob("dead_letters-*.jsonl")) for row in json_lines(path)]
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return Written(folder, rows, dead, summary)


def json_lines(path: pathlib.Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def lasting_files(folder: pathlib.Path) -> list[str]:
    """Every file below, the journal's by their tier only: the rest of their names is made up."""
    return [re.sub(r"(journal/[a-z]+)-.*", r"\1", name) for name in files_in(folder)]


def files_in(folder: pathlib.Path) -> list[str]:
    """Every file and empty folder below, relative, sorted."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if path.is_file() or not any(path.iterdir())
        )
    return []
