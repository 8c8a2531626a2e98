"""How many processes a job gets where nobody says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from apache_beam.options.pipeline_options import DirectOptions

from pipelines import parallelism
from pipelines.parallelism import WORTH_BYTES, WORTH_RECORDS, Machine, choose_processes, settle_workers
from pipelines.runner import options_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.pipelines.jobs import World

GIB = 1 << 30
FOUR = Machine(4, 16 * GIB)


@pytest.mark.parametrize(
    ("machine", "threads", "size", "limit", "processes"),
    [
        (FOUR, [None], WORTH_BYTES, None, 4),
        (FOUR, [None], WORTH_BYTES - 1, None, 1),
        (FOUR, [None], None, None, 4),
        (FOUR, [None], WORTH_BYTES, WORTH_RECORDS, 4),
        (FOUR, [None], WORTH_BYTES, WORTH_RECORDS - 1, 1),
        (FOUR, [None, 2], WORTH_BYTES, None, 2),
        (FOUR, [8], WORTH_BYTES, None, 1),
        (FOUR, [], WORTH_BYTES, None, 1),
        (Machine(4, 3 * GIB - 1), [None], WORTH_BYTES, None, 2),
        (Machine(4, 0), [None], WORTH_BYTES, None, 1),
        (Machine(4, None), [None], WORTH_BYTES, None, 4),
        (Machine(1, 16 * GIB), [None], WORTH_BYTES, None, 1),
    ],
)
def test_one_process_a_core_where_that_pays(
    machine: Machine, threads: Sequence[int | None], size: int | None, limit: int | None, processes: int
) -> None:
    """Not for a few records, not without memory, and fewer where a model has several threads."""
    found = choose_processes(machine, threads, size, limit)

    assert found.processes == processes
    assert found.why


def test_a_pilot_has_to_be_worth_it_too() -> None:
    """Its steps start processes of their own, so four times as much input is needed."""
    assert choose_processes(FOUR, [None], 4 * WORTH_BYTES, None, pilot=True).processes == 4
    assert choose_processes(FOUR, [None], 4 * WORTH_BYTES - 1, None, pilot=True).processes == 1
    assert choose_processes(FOUR, [None], None, 4 * WORTH_RECORDS - 1, pilot=True).processes == 1


def settled(world: World, rows: int, *arguments: str) -> tuple[str | None, int, str]:
    """What was said, and the options as they are then."""
    text = "word " * 50
    world.write_lines({"id": str(number), "text": f"{text}{number}"} for number in range(rows))
    options = options_of(arguments)
    said = settle_workers(options, arguments, world.job(), None)
    direct = options.view_as(DirectOptions)
    return said, direct.direct_num_workers, direct.direct_running_mode


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of four cores."""
    monkeypatch.setattr(parallelism, "this_machine", lambda: FOUR)


@pytest.mark.usefixtures("four")
def test_a_large_input_is_shared(world: World) -> None:
    """And the user is told why, and how to have it otherwise."""
    said, workers, mode = settled(world, 2_000)

    assert (workers, mode) == (4, "multi_processing")
    assert said == (
        "4 worker processes share the input (4 cores, 16.0 GiB of memory free); "
        "`-- --direct_num_workers=1` makes it one"
    )


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(
    ("rows", "arguments"),
    [
        (10, ()),
        (2_000, ("--direct_num_workers=1",)),
        (2_000, ("--direct_num_workers", "1")),
        (2_000, ("--direct_running_mode=in_memory",)),
    ],
)
def test_one_process_stays(world: World, rows: int, arguments: tuple[str, ...]) -> None:
    """For a small input, and where the user says so."""
    assert settled(world, rows, *arguments) == (None, 1, "in_memory")


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize("runner", ["FlinkRunner", "PortableRunner", "DataflowRunner"])
def test_other_runners_have_workers_of_their_own(world: World, runner: str) -> None:
    """Nothing is said and no option set: those of the local runner would go to theirs."""
    assert settled(world, 2_000, f"--runner={runner}", "--parallelism=2") == (None, 1, "in_memory")


def test_slots_that_share_the_driver_are_said(world: World) -> None:
    """They wait for each other; nothing is changed, because the user may only try something out."""
    loopback = ("--runner=FlinkRunner", "--environment_type=LOOPBACK")

    said, workers, mode = settled(world, 10, *loopback, "--parallelism=2")

    assert said is not None
    assert said.startswith("the workers of all 2 slots are in this process (LOOPBACK)")
    assert (workers, mode) == (1, "in_memory")
    assert settled(world, 10, *loopback, "--parallelism=1")[0] is None
