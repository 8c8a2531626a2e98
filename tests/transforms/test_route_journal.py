"""The journal of routes in files: a text is read by the router once, whoever reads it and whatever broke."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from router.findings import Findings, Wanted
from router.identity import text_key
from router.records import Position, Record
from router.route_journal import write_route
from tests.transforms.local_pipeline import job_on
from transforms import route_index
from transforms.journal import JournalError, JournalPlace, flush_all
from transforms.journal_scan import count_answers
from transforms.read_records import Reader, ReadSplit
from transforms.route_index import RouteIndex
from transforms.route_journal import RouteJournal, RoutesOf
from transforms.route_records import RouterPlace, find_kept, with_findings

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Sequence

PRINT = "00112233aabbccdd"
LAW = Findings("en", domain="law", complexity=0.25)
FOOD = Findings("de", "advice", domain="food")
LANGUAGE = Wanted(task=False, domain=False, complexity=False)


def key(number: int) -> bytes:
    """The key of the text with that number; far apart, as digests are."""
    return (number * 0x9E3779B97F4A7C15 % (1 << 64)).to_bytes(8, "big") + number.to_bytes(8, "big")


def opened(url: Any, fingerprint: str = PRINT, **place: Any) -> RouteJournal:
    """A journal of a process."""
    return RouteJournal(JournalPlace(str(url), **place), fingerprint)


def record(number: int) -> Record:
    """A record with a text of its own."""
    return Record(Position(0, number), f"r{number}", f"This is the text with number {number}", "t", None, b"")


class CountingRouter:
    """Stands in for `LoadedRouter`."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def find(self, records: Sequence[Record], wanted: Wanted) -> list[Findings]:
        """A domain that says which text it is of."""
        assert wanted == LANGUAGE
        self.read += [one.id for one in records]
        return [Findings("en", domain=one.id, domain_probability=0.5) for one in records]


def test_findings_are_found_at_once_and_by_others(tmp_path: pathlib.Path) -> None:
    """By the journal that keeps them and by one opened while that is still open."""
    writer = opened(tmp_path)
    assert writer.find([key(1)]) == [None]

    writer.keep([key(1), key(2)], [LAW, FOOD])

    assert writer.find([key(2), key(3), key(1)]) == [FOOD, None, LAW]
    assert opened(tmp_path).find([key(2), key(3), key(1)]) == [FOOD, None, LAW]


def test_nothing_is_written_before_something_is_found(tmp_path: pathlib.Path) -> None:
    """A job that fails at its beginning leaves no folder behind."""
    opened(tmp_path / "journal").close()

    assert list(tmp_path.iterdir()) == []


def test_another_router_finds_anew(tmp_path: pathlib.Path) -> None:
    """Findings count under their own fingerprint only."""
    opened(tmp_path).keep([key(1)], [LAW])

    assert opened(tmp_path, "ffffffffffffffff").find([key(1)]) == [None]


def test_writers_have_files_of_their_own(tmp_path: pathlib.Path) -> None:
    """Two processes, or one that goes on after another died, never write to the same file."""
    first, second = opened(tmp_path), opened(tmp_path)
    first.keep([key(1)], [LAW])
    second.keep([key(1), key(2)], [LAW, FOOD])

    assert len(list(tmp_path.glob(f"route-{PRINT}-*.jsonl"))) == 2
    assert opened(tmp_path).find([key(1), key(2)]) == [LAW, FOOD]


def test_a_torn_line_costs_its_own_text_only(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As a kill in the middle of a write leaves it, and as a damaged disk does."""
    opened(tmp_path).keep([key(1), key(2), key(3)], [LAW, FOOD, LAW])
    [path] = tmp_path.glob("*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1] + b"\0" * 9 + lines[2] + lines[3][:-7])

    assert opened(tmp_path).find([key(1), key(2), key(3)]) == [LAW, None, None]
    assert "2 damaged line(s)" in caplog.text


def test_findings_are_no_answers(tmp_path: pathlib.Path) -> None:
    """They are counted nowhere as what a model said."""
    opened(tmp_path).keep([key(1)], [LAW])

    assert count_answers(str(tmp_path)) == {}


def test_where_nothing_can_be_appended_to_findings_are_held_until_the_end() -> None:
    """On object stores: each file is written whole, and what is held is found all the same."""
    url = "memory://routes-held"
    journal = opened(url)
    journal.keep([key(1)], [LAW])
    filesystem = fsspec.filesystem("memory")
    assert journal.find([key(1)]) == [LAW]
    assert filesystem.glob("/routes-held/*.jsonl") == []

    flush_all()
    assert opened(url).find([key(1)]) == [LAW]

    journal.keep([key(2)], [FOOD])
    del journal
    gc.collect()
    assert opened(url).find([key(1), key(2)]) == [LAW, FOOD]


def test_a_worker_that_is_done_holds_nothing_back(tmp_path: pathlib.Path) -> None:
    """Whoever reads the output next finds all of it, and the process may end at once."""
    url = "memory://routes-done"
    job = job_on(tmp_path / "in.jsonl")
    reader = Reader(job, None, routes=RoutesOf(JournalPlace(url), PRINT))
    reading = ReadSplit(reader)
    reading.setup()
    journal = reader.open_routes()
    assert journal is not None
    journal.keep([key(1)], [LAW])

    reading.teardown()

    assert opened(url).find([key(1)]) == [LAW]


def test_what_cannot_be_written_at_the_very_end_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found again; an answer would be reported as lost."""
    journal = opened("memory://routes-lost")
    journal.keep([key(1)], [LAW])

    def refuse(*_: Any) -> None:
        raise OSError("the bucket is gone")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "pipe_file", refuse)
    with pytest.raises(JournalError, match="the bucket is gone"):
        journal.flush()
    journal.close()


def test_where_enough_is_held_it_is_written() -> None:
    """After so many batches of records."""
    url = "memory://routes-enough"
    journal = opened(url, flush_records=2)
    journal.keep([key(1)], [LAW])
    journal.keep([key(2)], [FOOD])

    assert opened(url).find([key(1), key(2)]) == [LAW, FOOD]


def test_an_index_tells_keys_apart_that_begin_alike() -> None:
    """Half a key finds the place, the other half decides."""
    alike = [bytes(8) + number.to_bytes(8, "big") for number in range(3)]
    index = RouteIndex([(alike[0], LAW), (alike[2], FOOD)])

    assert index.find(alike) == [LAW, None, FOOD]


def test_an_index_that_grows_keeps_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever came before it was last put in order, and whatever after."""
    monkeypatch.setattr(route_index, "_MERGE_AT", 3)
    index = RouteIndex([(key(0), FOOD)])
    for number in range(1, 8):
        index.add(key(number), LAW)

    assert index.find([key(number) for number in range(9)]) == [FOOD, *[LAW] * 7, None]
    assert len(index) == 8


def test_an_index_of_nothing_finds_nothing() -> None:
    """As at the beginning of a first run."""
    assert RouteIndex().find([key(1)]) == [None]
    assert RouteIndex().find([]) == []


def test_only_what_is_not_known_is_read(tmp_path: pathlib.Path) -> None:
    """And each record gets its own findings."""
    router, records = CountingRouter(), [record(number) for number in range(4)]
    find_kept([records[1], records[3]], router, LANGUAGE, opened(tmp_path))  # type: ignore[arg-type]

    found = find_kept(records, router, LANGUAGE, opened(tmp_path))  # type: ignore[arg-type]

    assert [one.domain for one in found] == ["r0", "r1", "r2", "r3"]
    assert router.read == ["r1", "r3", "r0", "r2"]


def test_what_a_journal_holds_is_believed(tmp_path: pathlib.Path) -> None:
    """The real router is not asked: this text would be English."""
    place, one = JournalPlace(str(tmp_path)), record(1)
    line = write_route(text_key(one.text, one.task), Findings("ja", domain="food"))
    (tmp_path / f"route-{PRINT}-{'0' * 32}.jsonl").write_bytes(line)

    [(_, found)] = with_findings(iter([one]), RouterPlace(), LANGUAGE, RoutesOf(place, PRINT).open())

    assert found == Findings("ja", domain="food")
