"""The journal in files: kept at once, found by any later process, whatever became of the one that wrote."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import errno
import os
import subprocess
import sys
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest

from router.journal import Entry, write_entry
from router.records import Answer, Failure, LabelScores, Usage
from transforms import journal_index
from transforms.budget_ledger import PaidCall
from transforms.journal import Journal, JournalError, JournalOf, JournalPlace, flush_all
from transforms.journal_scan import count_answers, paid_calls

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

PRINT = "00112233aabbccdd"
CENT = Usage(10, 0, 2, 0.5, Decimal("0.01"))
GOOD = Answer("big", CENT, labels=("good",))
FAILED = Answer("big", CENT, failure=Failure.UNAVAILABLE, detail="HTTP 503")


def key(number: int) -> bytes:
    """The key of the text with that number; far apart, as digests are."""
    return (number * 0x9E3779B97F4A7C15 % (1 << 64)).to_bytes(8, "big") + number.to_bytes(8, "big")


def of(url: Any, *, tier: Any = "llm", fingerprint: str = PRINT, **place: Any) -> JournalOf:
    """A model's part of a journal, with one task."""
    return JournalOf(JournalPlace(str(url), **place), tier, "big", {"t": fingerprint})


def labels(journal: Journal, number: int) -> tuple[str, ...] | None:
    """The labels that are found for a text."""
    found = journal.find("t", key(number))
    return None if found is None else found.labels


def journal_file(folder: pathlib.Path) -> pathlib.Path:
    """The only file there."""
    [path] = folder.glob("*.jsonl")
    return path


def test_an_answer_is_found_at_once_and_by_others(tmp_path: pathlib.Path) -> None:
    """By the journal that keeps it and by one opened while that is still open."""
    writer = Journal(of(tmp_path))
    assert labels(writer, 1) is None

    assert writer.keep("t", key(1), GOOD) is GOOD

    assert labels(writer, 1) == labels(Journal(of(tmp_path)), 1) == ("good",)
    assert labels(writer, 2) is None


def test_nothing_is_written_before_there_is_an_answer(tmp_path: pathlib.Path) -> None:
    """A job that fails at its beginning leaves no folder behind."""
    Journal(of(tmp_path / "journal")).close()

    assert list(tmp_path.iterdir()) == []


def soon(journal: Journal, number: int) -> tuple[str, ...] | None:
    """The labels that are found for a text within the time after which a journal looks again."""
    end = time.monotonic() + 5
    while labels(journal, number) is None and time.monotonic() < end:
        time.sleep(0.01)
    return labels(journal, number)


def test_what_another_process_was_told_later_is_found(tmp_path: pathlib.Path) -> None:
    """A worker that goes on must not pay again for what a dead one had been told, at first and later."""
    survivor = Journal(of(tmp_path))
    other = Journal(of(tmp_path))
    other.keep("t", key(1), GOOD)
    assert soon(survivor, 1) == ("good",)

    other.keep("t", key(2), FAILED)
    other.keep("t", key(2), GOOD)
    assert soon(survivor, 2) == ("good",)
    found = survivor.find("t", key(2))
    assert found is not None
    assert found.usage == CENT + CENT


def test_its_own_lines_are_counted_once_however_often_a_journal_looks(tmp_path: pathlib.Path) -> None:
    """What it cost stays what it cost."""
    survivor, other = Journal(of(tmp_path)), Journal(of(tmp_path))
    survivor.keep("t", key(1), GOOD)
    other.keep("t", key(2), GOOD)
    assert soon(survivor, 2) == ("good",)
    other.keep("t", key(3), GOOD)
    assert soon(survivor, 3) == ("good",)

    found = [survivor.find("t", key(number)) for number in (1, 2, 3)]
    assert [None if one is None else one.usage for one in found] == [CENT, CENT, CENT]


def test_a_line_that_is_being_written_is_found_when_it_is_whole(tmp_path: pathlib.Path) -> None:
    """Not half of it, and not twice."""
    survivor = Journal(of(tmp_path))
    line = write_entry(Entry(key(1), GOOD))
    with (tmp_path / f"llm-{PRINT}-other.jsonl").open("wb", buffering=0) as stream:
        stream.write(line[:-9])
        time.sleep(0.2)
        assert labels(survivor, 1) is None
        stream.write(line[-9:])
        assert soon(survivor, 1) == ("good",)
    found = survivor.find("t", key(1))
    assert found is not None
    assert found.usage == CENT


def test_other_questions_have_other_answers(tmp_path: pathlib.Path) -> None:
    """A changed prompt or label list makes another fingerprint."""
    Journal(of(tmp_path)).keep("t", key(1), GOOD)

    assert labels(Journal(of(tmp_path, fingerprint="ffffffffffffffff")), 1) is None
    assert labels(Journal(of(tmp_path, tier="slm")), 1) is None


def test_an_answer_outlives_a_killed_process(tmp_path: pathlib.Path) -> None:
    """Kill -9 right after `keep` returned: nothing was flushed, closed or finalised."""
    script = (
        "import os, signal, sys\n"
        "from tests.transforms.test_journal import GOOD, key, of\n"
        "from transforms.journal import Journal\n"
        "journal = Journal(of(sys.argv[1]))\n"
        "for number in range(100): journal.keep('t', key(number), GOOD)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)

    assert done.returncode == -9
    after = Journal(of(tmp_path))
    assert all(labels(after, number) == ("good",) for number in range(100))


def test_a_torn_end_costs_that_line_only(tmp_path: pathlib.Path) -> None:
    """A later process writes a file of its own, so nothing is glued to the torn line."""
    writer = Journal(of(tmp_path))
    for number in range(3):
        writer.keep("t", key(number), GOOD)
    writer.close()
    path = journal_file(tmp_path)
    path.write_bytes(path.read_bytes()[:-7])

    after = Journal(of(tmp_path))
    assert [labels(after, number) for number in range(3)] == [("good",), ("good",), None]
    after.keep("t", key(2), GOOD)
    assert labels(Journal(of(tmp_path)), 2) == ("good",)


@pytest.mark.parametrize("damage", [b"\x00" * 40 + b"\n", b"\xff\xfe nonsense\n", b"{}\n", b"\n"])
def test_damage_in_the_middle_costs_its_own_lines(tmp_path: pathlib.Path, damage: bytes) -> None:
    """Whatever a bad disk or a careless hand put there."""
    writer = Journal(of(tmp_path))
    for number in range(3):
        writer.keep("t", key(number), GOOD)
    writer.close()
    lines = journal_file(tmp_path).read_bytes().splitlines(keepends=True)
    lines[2] = damage
    journal_file(tmp_path).write_bytes(b"".join(lines))

    after = Journal(of(tmp_path))
    assert [labels(after, number) for number in range(3)] == [("good",), None, ("good",)]


def test_keys_that_begin_alike_are_told_apart(tmp_path: pathlib.Path) -> None:
    """The index holds half of each key; the line has it whole."""
    writer = Journal(of(tmp_path))
    first, second = bytes(15) + b"\x01", bytes(15) + b"\x02"
    writer.keep("t", first, GOOD)
    writer.keep("t", second, dataclasses.replace(GOOD, labels=("bad",)))

    for journal in (writer, Journal(of(tmp_path))):
        found = [journal.find("t", one) for one in (first, second, bytes(16))]
        assert [None if one is None else one.labels for one in found] == [("good",), ("bad",), None]


def test_what_failed_attempts_cost_stays_with_the_record(tmp_path: pathlib.Path) -> None:
    """Two attempts in vain and an answer cost three cents, told by whoever answers and by all later ones."""
    assert Journal(of(tmp_path)).keep("t", key(1), FAILED).usage.usd == Decimal("0.01")
    again = Journal(of(tmp_path))
    assert again.find("t", key(1)) is None
    assert again.keep("t", key(1), FAILED).usage.usd == Decimal("0.02")

    assert again.keep("t", key(1), GOOD).usage.usd == Decimal("0.03")

    for journal in (again, Journal(of(tmp_path))):
        found = journal.find("t", key(1))
        assert found is not None
        assert (found.labels, found.usage) == (("good",), CENT + CENT + CENT)


def test_an_attempt_that_cost_nothing_is_not_written(tmp_path: pathlib.Path) -> None:
    """A dead endpoint must not fill the disk."""
    free = Answer("big", Usage(), failure=Failure.UNAVAILABLE)

    assert Journal(of(tmp_path)).keep("t", key(1), free) is free
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_was_given_twice_is_paid_twice(tmp_path: pathlib.Path) -> None:
    """Two processes were asked the same, because a runner repeated a bundle: the sum must be the bill."""
    first, second = Journal(of(tmp_path)), Journal(of(tmp_path))
    first.keep("t", key(1), GOOD)
    second.keep("t", key(1), GOOD)

    found = Journal(of(tmp_path)).find("t", key(1))
    assert found is not None
    assert found.usage.usd == Decimal("0.02")


def test_many_threads_may_write(tmp_path: pathlib.Path) -> None:
    """Lines do not mix."""
    journal = Journal(of(tmp_path))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: journal.keep("t", key(number), GOOD), range(500)))

    after = Journal(of(tmp_path))
    assert all(labels(after, number) == ("good",) for number in range(500))


def test_new_answers_are_merged_into_the_index(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are many of them."""
    monkeypatch.setattr(journal_index, "_MERGE_AT", 10)
    Journal(of(tmp_path)).keep("t", key(1000), GOOD)
    journal = Journal(of(tmp_path))

    for number in range(35):
        journal.keep("t", key(number), GOOD)

    assert all(labels(journal, number) == ("good",) for number in (*range(35), 1000))
    assert labels(journal, 35) is None


def test_features_are_kept_only_where_they_are_needed(tmp_path: pathlib.Path) -> None:
    """They are nine tenths of a line; an answer without them is asked again where a head needs them."""
    scores = LabelScores(np.array([0.2, 0.8]), np.ones(1024, np.float32))
    answer = Answer("big", Usage(), scores=scores)
    Journal(of(tmp_path, tier="slm")).keep("t", key(1), answer)
    needy = Journal(of(tmp_path, tier="slm", features=True))

    assert needy.find("t", key(1)) is None
    needy.keep("t", key(1), answer)
    for journal in (needy, Journal(of(tmp_path, tier="slm", features=True))):
        found = journal.find("t", key(1))
        assert found is not None
        assert found.scores is not None
        assert found.scores.features is not None
    assert Journal(of(tmp_path, tier="slm", features=True, embedding=True)).find("t", key(1)) is None


@pytest.mark.parametrize("first", ["features", "embedding"])
def test_of_several_answers_the_one_that_lacks_nothing_counts(tmp_path: pathlib.Path, first: str) -> None:
    """Whichever was given first; and both are paid."""
    parts = {"features": np.ones(4, np.float32), "embedding": np.ones(3, np.float32)}
    second = "embedding" if first == "features" else "features"
    for part in (first, second):
        scores = LabelScores(np.array([0.2, 0.8]), **{part: parts[part]})  # type: ignore[arg-type]
        journal = Journal(of(tmp_path, tier="slm", **{part: True}))
        kept = journal.keep("t", key(1), Answer("big", Usage(seconds=1.0), scores=scores))
        journal.close()

    assert kept.usage.seconds == 2.0
    for part in (first, second):
        found = Journal(of(tmp_path, tier="slm", **{part: True})).find("t", key(1))
        assert found is not None
        assert found.scores is not None
        assert getattr(found.scores, part) is not None
        assert found.usage.seconds == 2.0


def test_a_full_disk_ends_the_job_and_does_not_glue_lines(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what to do; the same journal takes nothing more, a new one goes on."""
    journal = Journal(of(tmp_path))
    journal.keep("t", key(1), GOOD)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("transforms.journal_files.os.fsync", full)
        with pytest.raises(
            JournalError, match=r"cannot be written \(No space left on device\).*it continues"
        ):
            journal.keep("t", key(2), GOOD)
    # A second thread may be the one whose error ends the job: it names the cause too.
    with pytest.raises(JournalError, match=r"cannot be written \(No space left on device\)"):
        journal.keep("t", key(3), GOOD)

    after = Journal(of(tmp_path))
    after.keep("t", key(3), GOOD)
    assert (labels(after, 1), labels(after, 3)) == (("good",), ("good",))


@pytest.fixture
def store() -> Iterator[str]:
    """A place that cannot append."""
    yield "memory://journals/out/state/journal"
    fsspec.filesystem("memory").rm("/journals", recursive=True)


def objects() -> list[str]:
    """What is in the store."""
    filesystem = fsspec.filesystem("memory")
    return sorted(filesystem.find("/journals")) if filesystem.exists("/journals") else []


def test_a_store_gets_small_objects_by_count(store: str) -> None:
    """After three answers one object; what is held back is found all the same."""
    fsspec.filesystem("memory").pipe_file("/journals/there", b"")
    journal = Journal(of(store, flush_records=3, flush_seconds=60))
    for number in range(4):
        journal.keep("t", key(number), GOOD)

    assert len(objects()) == 2
    assert [labels(journal, number) for number in range(5)] == [("good",)] * 4 + [None]
    assert labels(Journal(of(store)), 3) is None

    journal.flush()

    assert len(objects()) == 3
    assert [labels(Journal(of(store)), number) for number in range(4)] == [("good",)] * 4


def test_a_store_gets_what_is_held_back_in_time(store: str) -> None:
    """Although no further answer comes."""
    journal = Journal(of(store, flush_seconds=0.05))
    journal.keep("t", key(1), GOOD)

    end = time.monotonic() + 5
    while not objects() and time.monotonic() < end:
        time.sleep(0.02)

    assert labels(Journal(of(store)), 1) == ("good",)
    journal.close()


def test_a_process_that_ends_writes_what_it_holds_back(store: str) -> None:
    """By closing, or because it is told to end at once."""
    first, second = Journal(of(store, flush_seconds=60)), Journal(of(store, flush_seconds=60))
    first.keep("t", key(1), GOOD)
    second.keep("t", key(2), GOOD)

    first.close()
    flush_all()

    after = Journal(of(store))
    assert (labels(after, 1), labels(after, 2)) == (("good",), ("good",))


def test_the_scan_knows_every_paid_call(tmp_path: pathlib.Path) -> None:
    """Also those whose question has changed since; local answers are not paid."""
    Journal(of(tmp_path)).keep("t", key(1), GOOD)
    Journal(of(tmp_path)).keep("t", key(2), FAILED)
    Journal(of(tmp_path, fingerprint="00")).keep("t", key(1), GOOD)
    Journal(of(tmp_path, tier="slm")).keep("t", key(1), GOOD)
    (tmp_path / "llm-notes.jsonl").write_bytes(write_entry(Entry(key(5), GOOD)))

    assert set(paid_calls(str(tmp_path))) == {
        PaidCall(bytes.fromhex(PRINT) + key(1), Decimal("0.01"), final=True),
        PaidCall(bytes.fromhex(PRINT) + key(2), Decimal("0.01"), final=False),
        PaidCall(b"\x00" + key(1), Decimal("0.01"), final=True),
    }
    assert count_answers(str(tmp_path)) == {PRINT: 2, "00": 1}
