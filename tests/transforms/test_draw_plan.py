"""What a plan reads of an input: everything is counted, and copies of a text are not drawn."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam import pvalue

from router.census import Census
from tests.transforms.local_pipeline import job_on, lines_file, local_pipeline, reader_of
from transforms.draw_plan import PlanDraw, read_draw, save_draw
from transforms.index_records import IndexRecords
from transforms.index_splits import Sampling

if TYPE_CHECKING:
    import pathlib


def draw(folder: pathlib.Path, rows: list[dict[str, Any]], size: int) -> PlanDraw:
    """Draw from rows, in a pipeline of two splits."""
    job = job_on(lines_file(folder, rows))
    reader, splits = reader_of(job, split_bytes=200)
    url = str(folder / "state" / "plan.jsonl")
    with local_pipeline() as pipeline:
        sampling = Sampling(2, pilot=size, census=True)
        index = (
            pipeline
            | beam.Create(splits)
            | beam.Reshuffle()
            | "Index" >> IndexRecords(reader, sampling, str(folder), infer_types=False)
        )
        found = (index.census, index.pilot, index.sample, index.repeats)
        start = pipeline | "Start" >> beam.Create([None])
        _ = start | beam.Map(save_draw, *map(pvalue.AsList, found), url)
    with (folder / "state" / "plan.jsonl").open("rb") as lines:
        return read_draw(lines)


def test_the_census_counts_every_row_once(tmp_path: pathlib.Path) -> None:
    """Eight rows: one empty, one with an id that was there, two copies of the first text."""
    rows: list[dict[str, Any]] = [{"id": f"r{n}", "text": "abcde"} for n in range(3)]
    rows += [{"id": "r3", "text": "ab"}, {"id": "r4", "text": ""}, {"id": "r3", "text": "abc"}]
    rows += [{"id": "r5", "text": "é"}, {"id": "r6", "text": "x"}]

    found = draw(tmp_path, rows, 100)

    assert found.census == Census(8, Counter({"empty_text": 1, "duplicate_id": 1}), 2, 15 + 2 + 3 + 2 + 1)
    assert (found.census.annotated, found.census.answered) == (6, 4)
    assert found.census.mean_bytes == 23 / 7
    assert sorted(work.record.id for work in found.pilot.works) == ["r0", "r3", "r5", "r6"]
    assert len(found.sample) == 2


def test_a_draw_of_nothing(tmp_path: pathlib.Path) -> None:
    """An empty input has a census too."""
    found = draw(tmp_path, [], 10)

    assert (found.census, found.pilot.works, found.sample) == (Census(), (), ())
    assert found.census.mean_bytes == 0.0
