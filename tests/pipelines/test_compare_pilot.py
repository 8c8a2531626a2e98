"""The records that a comparison chose on, and those on which a run of its proposal certifies the gate."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pipelines import calibrate
from pipelines.compare_pilot import Pace, Room
from router.escalation import Terms
from tests.fake_llm_server import FakeLlmServer
from tests.pipelines.gate_rows import LABELS, steered_label
from tests.pipelines.jobs import SENTIMENT, read_written
from tests.pipelines.test_commands import tekizai
from tests.pipelines.test_compare import compared, models, write_rows

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Sequence

    from tests.pipelines.jobs import World

NUMBER = re.compile(r" (\d+) small=")


@pytest.fixture
def certifying(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the records that certified a gate."""
    ids: list[str] = []
    certify_rows = calibrate.certify_rows

    def noting(*given: Any) -> Any:
        ids.extend(work.record.id for work in given[3])
        return certify_rows(*given)

    monkeypatch.setattr(calibrate, "certify_rows", noting)
    return ids


def numbers(texts: Sequence[str]) -> list[int]:
    """The numbers in records' texts, as `write_rows` writes them."""
    return [int(found[1]) for text in texts if (found := NUMBER.search(text))]


def with_proposal(file: pathlib.Path, proposal: dict[str, Any]) -> None:
    """Put a proposal into a job file in place of what it says."""
    job = yaml.safe_load(file.read_text(encoding="utf-8"))
    sections = yaml.safe_load(proposal["yaml"])
    file.write_text(yaml.safe_dump({**job, **sections}, sort_keys=False), encoding="utf-8")


def rows_of(world: World, count: int) -> list[dict[str, Any]]:
    """So many rows as `write_rows` writes them."""
    write_rows(world, count)
    return [yaml.safe_load(line) for line in (world.folder / "in.jsonl").read_text("utf-8").splitlines()]


def promising_job(
    world: World, server: FakeLlmServer, *small: tuple[str, ...], **calibration: Any
) -> pathlib.Path:
    """A job that promises .9, of the models that `models` gives, without a search for prompts."""
    return world.job_file(
        models=models(world, server, *small),
        routing={"default": "small", "escalate_to": "large", "gate": {"target": 0.9}},
        calibration={"search_seconds": 0, **calibration},
    )


def asked_ids(server: FakeLlmServer) -> set[str]:
    """Ids of the records that the server was asked about."""
    return {f"r{number}" for number in numbers([r["messages"][-1]["content"] for r in server.requests])}


def write_copies(world: World) -> None:
    """600 records, of which every third has the text of the one before it."""
    lines = rows_of(world, 400)
    rows = []
    for number, row in enumerate(lines):
        rows.append(row)
        if number % 2:
            rows.append({**row, "id": f"copy of r{number}"})
    world.write_lines(rows)


def write_some_gold(world: World) -> None:
    """600 records, of which every third has no true label."""
    lines = rows_of(world, 600)
    world.write_lines(
        [{**row, "truth": None if number % 3 == 0 else row["truth"]} for number, row in enumerate(lines)]
    )


def write_two_tasks(world: World) -> None:
    """600 records, half of them of another task with the same labels."""
    lines = rows_of(world, 600)
    world.write_lines(
        [{**row, "task": "mood" if number % 4 < 2 else "sentiment"} for number, row in enumerate(lines)]
    )


def source(world: World, **columns: str) -> dict[str, str]:
    """The input with more columns named."""
    return {"path": str(world.folder / "in.jsonl"), "text": "text", "id": "id", **columns}


@pytest.mark.parametrize(
    ("write", "records", "gate", "calibration"),
    [
        pytest.param(write_rows, 200, {}, {}, id="half of the input"),
        pytest.param(write_rows, 300, {}, {}, id="more than half"),
        pytest.param(
            write_rows, 250, {}, {"pilot": {"train": 50, "certify": 60}}, id="a pilot of fixed size"
        ),
        pytest.param(write_copies, 200, {}, {}, id="copies of texts"),
        pytest.param(write_some_gold, 200, {"oracle": "gold"}, {}, id="gold"),
        pytest.param(write_two_tasks, 250, {}, {}, id="two tasks"),
        pytest.param(write_rows, 200, {"per": "language"}, {}, id="in each language"),
        pytest.param(write_rows, 200, {}, {"search_seconds": 0.3}, id="examples and a search for a prompt"),
    ],
)
def test_no_record_that_chose_certifies(  # noqa: PLR0917 - two fixtures and four facts of the case
    world: World,
    certifying: list[str],
    write: Any,
    records: int,
    gate: dict[str, Any],
    calibration: dict[str, Any],
) -> None:
    """All that were compared train in the run of the proposal, and no answer to them is paid again."""
    write(world)
    tasks = [{**SENTIMENT, "name": name} for name in ("sentiment", "mood")]
    with FakeLlmServer(steered_label) as server:
        file = world.job_file(
            models=models(world, server),
            routing={"default": "small", "escalate_to": "large", "gate": {"target": 0.9, **gate}},
            calibration={"search_seconds": 0, **calibration},
            **({"input": source(world, gold="truth")} if "oracle" in gate else {}),
            **({"input": source(world, task="task"), "tasks": tasks} if write is write_two_tasks else {}),
        )
        found = compared(file, "--records", records)
        chose = asked_ids(server)
        with_proposal(file, found["proposal"])
        ran = tekizai("run", file)
        texts = [request["messages"][-1]["content"] for request in server.requests]

    assert ran.exit_code == 0, ran.stderr
    assert len(chose) == records
    assert len(certifying) == len(set(certifying)) >= 50
    assert not chose & set(certifying)
    assert len(texts) == len(set(texts))
    assert read_written(world.output).summary["gate"]["certified"]


def test_without_being_told_a_run_certifies_on_what_was_compared(world: World, certifying: list[str]) -> None:
    """Of 400 records 300 were compared; a run that does not know it takes others than the first 200."""
    write_rows(world)
    with FakeLlmServer(steered_label) as server:
        file = promising_job(world, server)
        found = compared(file, "--records", 300)
        chose = asked_ids(server)
        proposal = found["proposal"]
        assert proposal["calibration"] == {"search_seconds": 0.0, "pilot": {"compared": 300}}
        with_proposal(file, {"yaml": yaml.safe_dump({"routing": proposal["routing"]})})
        assert tekizai("run", file).exit_code == 0

    assert chose & set(certifying)


def test_a_job_keeps_what_it_says_of_the_calibration(world: World) -> None:
    """Its own numbers stay; of two comparisons the larger one counts; what is from elsewhere is left out."""
    write_rows(world, 300)
    with FakeLlmServer(steered_label) as server:
        file = promising_job(world, server, drift="widen", pilot={"certify": 60, "compared": 180})
        result = tekizai("models", "compare", file, "--records", 150)

    assert result.exit_code == 0, result.stderr
    assert "calibration:\n  pilot: {certify: 60, compared: 180}\n  search_seconds: 0.0\n" in result.stdout
    told = " ".join(result.stdout.split())
    assert "to paste in place of the job file's `routing` and `calibration`:" in told
    assert "`compared: 180` keeps those that have chosen out of that" in told


def test_a_small_input_is_not_compared_as_a_whole(world: World) -> None:
    """Of 240 records 120 are compared, where nobody says how many."""
    write_rows(world, 240)
    with FakeLlmServer(steered_label) as server:
        file = promising_job(world, server)
        assert compared(file)["records"]["asked"] == 120


def test_too_few_that_are_left_are_told_before_anything_is_asked(world: World) -> None:
    """Of 150 records 140 are compared; with 100 of them, the other 50 could certify."""
    write_rows(world, 150)
    with FakeLlmServer(steered_label) as server:
        file = promising_job(world, server)
        result = tekizai("models", "compare", file, "--records", 140)

    said = (
        "a run can draw 150 records; 140 of them are compared, and the 10 others are too few to certify "
        "0.9 on, so it would trust no small model; compare 100 at most with --records"
    )
    told = result.stderr.splitlines()
    [at] = [number for number, line in enumerate(told) if said in line]
    assert at < told.index("asking large about 140 records")
    assert said in " ".join(result.stdout.split())


def test_where_nothing_is_certified_nothing_is_kept_apart(world: World) -> None:
    """One model is proposed for everything: the section is told for those who choose otherwise."""
    world.write_lines(
        [
            {
                "id": f"r{n}",
                "text": f"text {n} small={LABELS[n % 2]}:0.6 large={LABELS[n // 2 % 2]}:0.9",
            }
            for n in range(200)
        ]
    )
    with FakeLlmServer(steered_label) as server:
        file = promising_job(world, server, ("small",))
        found = compared(file, "--records", 80)

    assert found["proposal"]["yaml"] == "routing:\n  default: large\n"
    assert any("`calibration: {pilot: {compared: 80}}`" in note for note in found["notes"])


def test_room_for_a_gate() -> None:
    """100 records that are left can certify .95; 49 are fewer than a pilot certifies with at all."""
    places: dict[Any, int] = {}
    room = Room(places, 200, 200, gold=True, terms=Terms(0.95, 0.05), fixed=None)

    assert room.suffices(100)
    assert not room.suffices(151)


def test_a_pace_is_a_range() -> None:
    """Of eight records without the fastest and the slowest one; of one record that alone; of none nothing."""
    assert Pace.of([8.0, 1.0, 2.0, 3.0, 5.0, 4.0, 6.0, 7.0]) == Pace(2.0, 4.5, 7.0)
    assert Pace.of([3.0]) == Pace(3.0, 3.0, 3.0)
    assert Pace.of([]) == Pace(0.0, 0.0, 0.0)


def test_labels_are_those_of_the_rows() -> None:
    """The task that the cases share has the labels that rows are written with."""
    assert {label["name"] for label in SENTIMENT["labels"]} == set(LABELS)
