"""Running a few transforms on Beam's local runner."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.testing.test_pipeline import TestPipeline

from router.job import Job
from transforms.read_records import Reader
from transforms.reading import plan_input

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterable, Mapping

    from transforms.reading import Split


def local_pipeline() -> TestPipeline:
    """A pipeline on the runner that jobs use; the default one first looks for a binary on the network."""
    return TestPipeline(runner=fn_runner.FnApiRunner())


def labelled(outputs: Mapping[str, Any]) -> Any:
    """Several collections as one of (label, element), so that one assertion sees all of them."""
    return [
        one | f"Label {name}" >> beam.Map(lambda element, name=name: (name, element))
        for name, one in outputs.items()
    ] | "AllLabelled" >> beam.Flatten()


def job_on(path: pathlib.Path, **changes: Any) -> Job:
    """A job on an input, with the tasks `mood` and `topic` and two models that are never opened."""
    task = {"kind": "single_label", "instruction": "Judge.", "labels": [{"name": "bad"}, {"name": "good"}]}
    local = {"engine": "llama_cpp", "source": "nowhere.gguf"}
    return Job.model_validate(
        {
            "name": "test",
            "input": {"path": str(path), "text": "text", "id": "id", **changes.pop("input", {})},
            "output": {"path": str(path.parent / "out")},
            "tasks": [{"name": "mood", **task}],
            "models": {"small": local, "other": local},
            "routing": {"default": "small"},
            **changes,
        }
    )


def lines_file(
    folder: pathlib.Path, rows: Iterable[Mapping[str, Any]], name: str = "in.jsonl"
) -> pathlib.Path:
    """Write rows as JSON lines."""
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def reader_of(job: Job, *, split_bytes: int = 1 << 20) -> tuple[Reader, tuple[Split, ...]]:
    """A reader and the splits of a job's input."""
    plan = plan_input(job.input, split_bytes=split_bytes)
    return Reader(job, plan.schema), plan.splits
