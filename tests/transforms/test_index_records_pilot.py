"""The pilot that the first pass draws: a uniform sample of all records, whatever the input looks like."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import pytest
from apache_beam import pvalue

from router.pilot import pilot_key, pilot_salt, read_pilot
from router.records import Position, Record
from tests.transforms.local_pipeline import job_on, lines_file, local_pipeline, reader_of
from transforms.ask_pilot import save_pilot
from transforms.index_records import IndexRecords
from transforms.index_splits import Sampling

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Sequence

    from router.job import Job
    from router.pilot import Pilot

TARGET: dict[str, Any] = {"default": "small", "escalate_to": "other", "gate": {"target": 0.9}}
GOLD: dict[str, Any] = {**TARGET, "gate": {"target": 0.9, "oracle": "gold"}}


def pilot_of(job: Job, folder: pathlib.Path, size: int, *, salt: bytes = b"", **settings: Any) -> Pilot:
    """Draw a pilot from the job's input, and take it from the file that a run leaves."""
    reader, splits = reader_of(job, **settings)
    target = folder / "state" / "pilot.jsonl"
    sampling = Sampling(0, pilot=size, gold_only=job.routing.gate.oracle == "gold", salt=salt)
    with local_pipeline() as pipeline:
        index = (
            pipeline
            | beam.Create(splits)
            | beam.Reshuffle()
            | "Index" >> IndexRecords(reader, sampling, str(folder), infer_types=False)
        )
        start = pipeline | "Start" >> beam.Create([None])
        _ = start | beam.Map(save_pilot, pvalue.AsList(index.pilot), str(target))
    with target.open("rb") as lines:
        return read_pilot(lines)


def ids(pilot: Pilot) -> list[str]:
    """Who was drawn, in the pilot's order."""
    return [work.record.id for work in pilot.works]


def in_order(names: Sequence[str], salt: bytes = b"") -> list[str]:
    """Ids in the pilot's order, worked out one by one."""
    return sorted(
        names,
        key=lambda name: pilot_key(Record(Position(0, 0), name, "", "", None, b""), own_id=True, salt=salt),
    )


NAMES = [f"r{number:03}" for number in range(24)]


@pytest.mark.parametrize(("split_bytes", "seed"), [(1 << 20, None), (1 << 20, 1), (200, None), (200, 2)])
def test_the_draw_depends_neither_on_order_nor_on_splits(
    tmp_path: pathlib.Path, split_bytes: int, seed: int | None
) -> None:
    """The records whose ids have the smallest digests, whether the input is sorted or shuffled."""
    names = list(NAMES)
    if seed is not None:
        random.Random(seed).shuffle(names)
    path = lines_file(tmp_path, ({"id": name, "text": f"text of {name}"} for name in names))

    pilot = pilot_of(job_on(path, routing=TARGET), tmp_path, 8, split_bytes=split_bytes)

    assert ids(pilot) == in_order(NAMES)[:8]
    assert (pilot.records, pilot.job) == (24, 24)
    assert [work.record.text for work in pilot.works] == [f"text of {name}" for name in ids(pilot)]


def test_the_draw_is_in_the_order_of_the_jobs_adapters(tmp_path: pathlib.Path) -> None:
    """Other records than those that an adapter may have been trained on."""
    path = lines_file(tmp_path, [{"id": name, "text": name} for name in NAMES])
    salt = pilot_salt(["ab" * 32])

    pilot = pilot_of(job_on(path, routing=TARGET), tmp_path, 8, salt=salt)

    assert ids(pilot) == in_order(NAMES, salt)[:8] != in_order(NAMES)[:8]


def test_the_draw_does_not_depend_on_the_files(tmp_path: pathlib.Path) -> None:
    """The same records in three files."""
    for number in range(3):
        rows = [{"id": name, "text": name} for name in NAMES[number::3]]
        lines_file(tmp_path, rows, f"in-{number}.jsonl")

    pilot = pilot_of(job_on(tmp_path / "in-*.jsonl", routing=TARGET), tmp_path, 8)

    assert ids(pilot) == in_order(NAMES)[:8]


def test_a_small_input_is_drawn_whole(tmp_path: pathlib.Path) -> None:
    """Each record with its route, without its row, and with nothing asked."""
    path = lines_file(tmp_path, [{"id": name, "text": name} for name in NAMES[:3]])

    pilot = pilot_of(job_on(path, routing=TARGET), tmp_path, 20)

    assert ids(pilot) == in_order(NAMES[:3])
    for work in pilot.works:
        assert (work.route.model, work.route.task) == ("small", "mood")
        assert (work.ask, work.record.payload) == (None, b"")


def test_an_empty_input_gives_an_empty_pilot(tmp_path: pathlib.Path) -> None:
    """There may be no part to draw from."""
    pilot = pilot_of(job_on(lines_file(tmp_path, []), routing=TARGET), tmp_path, 20)

    assert (pilot.works, pilot.records, pilot.job) == ((), 0, 0)


@pytest.mark.parametrize("split_bytes", [100, 1 << 20])
def test_copies_of_a_text_are_records_of_their_own(tmp_path: pathlib.Path, split_bytes: int) -> None:
    """Under ids of the content all ten are one id: eight copies count as eight, as in the job."""
    path = lines_file(tmp_path, [{"text": "one"}] * 8 + [{"text": "two"}, {"text": "three"}])

    pilot = pilot_of(job_on(path, input={"id": None}, routing=TARGET), tmp_path, 20, split_bytes=split_bytes)

    assert sorted(work.record.text for work in pilot.works) == ["one"] * 8 + ["three", "two"]
    assert len({work.record.position for work in pilot.works}) == 10
    assert len(set(ids(pilot))) == 3
    assert (pilot.records, pilot.job) == (10, 10)


@pytest.mark.parametrize("split_bytes", [100, 1 << 20])
def test_of_a_repeated_id_the_record_that_is_annotated_is_drawn(
    tmp_path: pathlib.Path, split_bytes: int
) -> None:
    """The first; the others are refused and count neither as drawn nor for the job, nor do broken rows."""
    rows = [{"id": "a", "text": "first"}, {"id": "b", "text": "two"}]
    rows += [{"id": "a", "text": "second"}, {"id": "a", "text": "third"}, {"id": "c", "text": ""}]
    path = lines_file(tmp_path, rows)

    pilot = pilot_of(job_on(path, routing=TARGET), tmp_path, 20, split_bytes=split_bytes)

    assert sorted(work.record.text for work in pilot.works) == ["first", "two"]
    assert (pilot.records, pilot.job) == (2, 2)


def test_for_a_gold_oracle_only_records_with_gold_are_drawn(tmp_path: pathlib.Path) -> None:
    """The job is larger than what was drawn from."""
    rows: list[dict[str, Any]] = [{"id": name, "text": name, "truth": "good"} for name in NAMES[:6]]
    rows += [{"id": name, "text": name} for name in NAMES[6:15]]
    rows += [{"id": NAMES[15], "text": "x", "truth": None}]
    path = lines_file(tmp_path, rows)

    pilot = pilot_of(job_on(path, input={"gold": "truth"}, routing=GOLD), tmp_path, 4)

    assert ids(pilot) == in_order(NAMES[:6])[:4]
    assert {work.record.gold for work in pilot.works} == {"good"}
    assert (pilot.records, pilot.job) == (6, 16)


def test_with_an_llm_for_an_oracle_gold_plays_no_part(tmp_path: pathlib.Path) -> None:
    """Every record can be asked about."""
    rows = [{"id": "a", "text": "one", "truth": "good"}, {"id": "b", "text": "two"}]
    path = lines_file(tmp_path, rows)

    pilot = pilot_of(job_on(path, input={"gold": "truth"}, routing=TARGET), tmp_path, 20)

    assert (sorted(ids(pilot)), pilot.records, pilot.job) == (["a", "b"], 2, 2)


def test_a_refused_record_is_not_drawn_for_its_gold(tmp_path: pathlib.Path) -> None:
    """The first `a` is annotated and has none; the second is a dead letter."""
    rows = [{"id": "a", "text": "one"}, {"id": "a", "text": "two", "truth": "bad"}]
    path = lines_file(tmp_path, [*rows, {"id": "b", "text": "three", "truth": "good"}])

    pilot = pilot_of(job_on(path, input={"gold": "truth"}, routing=GOLD), tmp_path, 20)

    assert (ids(pilot), pilot.job) == (["b"], 2)


ENGLISH = "The parcel arrived two weeks late and nobody answered my letters."
JAPANESE = "荷物が二週間も遅れて届き、問い合わせにも返事がありませんでした。"


@pytest.mark.parametrize("split_bytes", [100, 1 << 20])
def test_slices_are_counted_over_the_whole_input(tmp_path: pathlib.Path, split_bytes: int) -> None:
    """Not only over what was drawn."""
    texts = [ENGLISH] * 7 + [JAPANESE] * 3
    path = lines_file(tmp_path, ({"id": f"r{number}", "text": text} for number, text in enumerate(texts)))
    routing = {**TARGET, "gate": {"target": 0.9, "per": "language"}}

    pilot = pilot_of(job_on(path, routing=routing), tmp_path, 2, split_bytes=split_bytes)

    assert pilot.slices == {"en": 7, "ja": 3}
    assert (len(pilot.works), pilot.records, pilot.job) == (2, 10, 10)


@pytest.mark.parametrize("gate", [{"target": 0.9}, {"target": 0.9, "per": "label"}])
def test_slices_that_nobody_knows_yet_are_not_counted(tmp_path: pathlib.Path, gate: Any) -> None:
    """Which label a small model will give is not known before it is asked."""
    path = lines_file(tmp_path, [{"id": "a", "text": ENGLISH}])

    assert pilot_of(job_on(path, routing={**TARGET, "gate": gate}), tmp_path, 2).slices == {}


def test_no_pilot_is_drawn_unasked(tmp_path: pathlib.Path) -> None:
    """A job with a fixed threshold needs none."""
    job = job_on(lines_file(tmp_path, [{"id": "a", "text": "one"}]))
    reader, splits = reader_of(job)
    with local_pipeline() as pipeline:
        index = (
            pipeline
            | beam.Create(splits)
            | IndexRecords(reader, Sampling(1), str(tmp_path / "state"), infer_types=False)
        )

    assert index.pilot is None
