"""Asking by batches: rounds, kills in the middle of a collection, budgets without a ledger, and patience."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from router.records import Failure
from tests.fake_batch_server import FakeBatchServer, Line, Refusal
from tests.transforms.batch_examples import PRICE, Clock, batches, half, session, work
from transforms.batch_books import Books
from transforms.batch_journal import BatchJournal, open_batches
from transforms.budget_ledger import BudgetLedger, open_ledger
from transforms.journal import Journal, JournalPlace
from transforms.journal_scan import paid_calls
from transforms.llm_access import LlmStop
from transforms.llm_handler import BudgetShare

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator, Sequence

    from router.records import Answer, Work
    from transforms.batch_books import LlmBatches


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def server() -> Iterator[FakeBatchServer]:
    """A server in good order."""
    with FakeBatchServer() as running:
        yield running


def ask(asked: LlmBatches, works: Sequence[Work], clock: Clock | None = None) -> list[Answer]:
    """What a session says of works."""
    with contextlib.closing(session(asked, clock)) as one:
        return [done.answers[-1] for done in one.answer(works)]


def total(answers: Sequence[Answer]) -> Decimal:
    """What answers cost together."""
    return sum((answer.usage.usd for answer in answers), Decimal(0))


def test_works_come_back_in_the_order_of_the_records(tmp_path: pathlib.Path, server: FakeBatchServer) -> None:
    """Whatever order a runner gathers them in, the file is the same, and each has one answer more."""
    with contextlib.closing(session(batches(tmp_path, server))) as one:
        done = one.answer([work(2), work(0), work(1)])

    [batch] = server.batches
    texts = [line["body"]["messages"][-1]["content"] for line in server.requests_in(batch)]
    assert texts == ["text 0", "text 1", "text 2"]
    assert [(one.record.id, one.ask, len(one.answers)) for one in done] == [
        ("r0", None, 1),
        ("r1", None, 1),
        ("r2", None, 1),
    ]
    assert one.counts == {
        "llm_batches": 1,
        "llm_requests": 3,
        "llm_retries": 0,
        "llm_unusable": 0,
        "llm_cost_micro_usd": 3 * 157,
    }


def test_a_request_is_what_openai_documents(tmp_path: pathlib.Path, server: FakeBatchServer) -> None:
    """The line's fields; a custom id of our own making below 64 characters; our key on file and batch."""
    ask(batches(tmp_path, server), [work(0)])

    [batch] = server.batches.values()
    [line] = server.requests_in(batch.id)
    assert list(line) == ["custom_id", "method", "url", "body"]
    assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
    assert len(line["custom_id"]) == 49
    assert line["body"]["model"] == "m"
    assert line["body"]["max_tokens"] == 64
    assert batch.metadata is not None
    assert server.files[batch.input_file][0] == f"tekizai-{batch.metadata['tekizai']}.jsonl"


@pytest.mark.parametrize("after", [0, 1, 4])
def test_killed_while_results_are_taken_in(
    tmp_path: pathlib.Path, server: FakeBatchServer, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Answers that were journaled by then are not counted twice, the others are read again."""
    works = [work(number) for number in range(6)]
    keep, kept = Journal.keep, list[bytes]()

    def dying(self: Journal, task: str, key: bytes, answer: Answer, **more: Any) -> Answer:
        if len(kept) == after:
            raise Killed
        kept.append(key)
        return keep(self, task, key, answer, **more)

    monkeypatch.setattr(Journal, "keep", dying)
    with pytest.raises(Killed):
        ask(batches(tmp_path, server), works)
    monkeypatch.setattr(Journal, "keep", keep)
    answers = ask(batches(tmp_path, server), works)

    assert (len(server.batches), len(server.lines)) == (1, 6)
    assert total(answers) == half(server)
    assert open_batches(str(tmp_path / "state" / "journal")) == ()


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(8))
def test_killed_at_any_note(
    tmp_path: pathlib.Path,
    server: FakeBatchServer,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    written: bool,
) -> None:
    """Two rounds have eight notes: whichever the process dies at, no line is paid twice, no money is lost."""
    server.behave = lambda request, asked: (
        Line(answer="Hm.") if asked == 0 and request["messages"][-1]["content"] == "text 1" else Line()
    )
    works = [work(n) for n in range(3)]
    ledger = str(tmp_path / "budget.sqlite")
    share = BudgetShare(Decimal("0.006"), ledger)
    open_ledger(ledger, share.limit, [])
    write, count = BatchJournal.write, list[bytes]()

    def dying(self: BatchJournal, note: bytes) -> None:
        count.append(note)
        if len(count) != number + 1:
            return write(self, note)
        if written:
            write(self, note)
        raise Killed

    monkeypatch.setattr(BatchJournal, "write", dying)
    with pytest.raises(Killed):
        ask(batches(tmp_path, server, share), works)
    monkeypatch.setattr(BatchJournal, "write", write)
    journal = str(tmp_path / "state" / "journal")
    open_ledger(ledger, share.limit, paid_calls(journal))
    answers = ask(batches(tmp_path, server, share), works)

    assert [answer.labels for answer in answers] == [("positive",)] * 3
    assert (len(server.batches), len(server.lines)) == (2, 4)
    assert total(answers) == half(server)
    assert open_batches(journal) == ()
    assert BudgetLedger(ledger).left() == share.limit - half(server)


def test_killed_between_the_two_questions(
    tmp_path: pathlib.Path, server: FakeBatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the unusable first answers cost is not forgotten, and the reminder is sent by the next run."""
    server.behave = lambda _request, asked: Line(answer="Hm.") if asked == 0 else Line()
    hold, commit = server.hold, Books.commit

    def dying(self: Books) -> None:
        commit(self)
        hold.clear()

    monkeypatch.setattr(Books, "commit", dying)
    clock = Clock()
    sleep, naps = clock.sleep, list[float]()

    def dying_asleep(seconds: float) -> None:
        naps.append(seconds)
        if not hold.is_set() and len(naps) > 6:
            raise Killed
        sleep(seconds)

    monkeypatch.setattr(clock, "sleep", dying_asleep)
    with pytest.raises(Killed):
        ask(batches(tmp_path, server), [work(0), work(1)], clock)
    monkeypatch.setattr(Books, "commit", commit)
    hold.set()
    answers = ask(batches(tmp_path, server), [work(0), work(1)])

    assert len(server.batches) == 2
    assert [answer.labels for answer in answers] == [("positive",)] * 2
    assert all("the first answer could not be used" in answer.detail for answer in answers)
    assert (len(server.lines), total(answers)) == (4, half(server))


def test_a_first_answer_that_gets_no_second_stays_on_the_account(
    tmp_path: pathlib.Path, server: FakeBatchServer
) -> None:
    """The run ends without an answer, its cost is told; the next run counts it once, with the answer."""
    server.behave = lambda _request, asked: Line(answer="Hm.") if asked == 0 else Line(status=500)
    [first] = ask(batches(tmp_path, server, max_retries=0), [work(0)])
    paid_before = half(server)
    server.behave = lambda _request, _asked: Line()
    [second] = ask(batches(tmp_path, server), [work(0)])

    assert (first.failure, first.raw, first.usage.usd) == (Failure.UNAVAILABLE, "Hm.", paid_before)
    assert second.labels == ("positive",)
    assert second.usage.usd == half(server)


def test_answers_that_no_record_asks_for_any_more_are_kept(
    tmp_path: pathlib.Path, server: FakeBatchServer
) -> None:
    """The input shrank while the batch was under way: what was paid is in the journal for when it grows."""
    clock = Clock()
    clock.sleep = _killing()  # type: ignore[method-assign]  # the process dies when it would wait
    with pytest.raises(Killed):
        ask(batches(tmp_path, server), [work(0), work(1)], clock)
    ask(batches(tmp_path, server), [work(1)])
    answers = ask(batches(tmp_path, server), [work(0), work(1)])

    assert (len(server.batches), len(server.lines)) == (1, 2)
    assert total(answers) == half(server)


def test_a_batch_that_nobody_needs_now_is_not_waited_for(
    tmp_path: pathlib.Path, server: FakeBatchServer
) -> None:
    """Other records are asked about meanwhile; once it has ended, its answers are taken in on the way."""
    server.hold.clear()
    clock = Clock()
    clock.sleep = _killing()  # type: ignore[method-assign]  # the process dies when it would wait
    with pytest.raises(Killed):
        ask(batches(tmp_path, server), [work(0)], clock)
    journal = str(tmp_path / "state" / "journal")
    [first] = server.batches.values()

    first.status = "in_progress"
    server.after = lambda method, path: (
        server.hold.set() if (method, path) == ("POST", "/v1/batches") else None
    )
    ask(batches(tmp_path, server), [work(1)])
    assert [one.id for one in open_batches(journal)] == [first.id]

    for _ in range(4):
        server._advance(first)
    ask(batches(tmp_path, server), [work(1)])
    assert open_batches(journal) == ()
    [answer] = ask(batches(tmp_path, server), [work(0)])
    assert (answer.labels, len(server.batches), len(server.lines)) == (("positive",), 2, 2)


def test_notes_on_an_object_store(tmp_path: pathlib.Path, server: FakeBatchServer) -> None:
    """Nothing can be appended there, so each note is an object; a killed run finds its batch all the same."""
    asked = batches(tmp_path, server)
    place = JournalPlace(f"memory://{tmp_path.name}/state/journal", flush_records=1000)
    asked = replace(asked, journal=replace(asked.journal, place=place))
    clock = Clock()
    clock.sleep = _killing()  # type: ignore[method-assign]  # the process dies when it would wait
    works = [work(number) for number in range(3)]
    with pytest.raises(Killed):
        ask(asked, works, clock)
    answers = ask(asked, works)
    again = ask(asked, works)

    assert (len(server.batches), len(server.lines)) == (1, 3)
    assert total(answers) == total(again) == half(server)
    assert open_batches(place.url) == ()


def _killing() -> Any:
    def sleep(_: float) -> None:
        raise Killed

    return sleep


def test_a_share_of_the_budget_holds_without_a_ledger(
    tmp_path: pathlib.Path, server: FakeBatchServer
) -> None:
    """On other runners a worker process has its own part; what does not fit is not submitted."""
    share = BudgetShare(Decimal("0.002"))
    answers = ask(batches(tmp_path, server, share), [work(number) for number in range(9)])

    asked = [answer for answer in answers if answer.failure is None]
    assert 0 < len(asked) == len(server.lines) < 9
    assert [answer.failure for answer in answers[len(asked) :]] == [Failure.OVER_BUDGET] * (9 - len(asked))
    assert total(answers) == half(server) <= share.limit


def test_an_endpoint_that_fails_for_a_while_is_waited_for(
    tmp_path: pathlib.Path, server: FakeBatchServer
) -> None:
    """Neither a busy upload, nor a failed creation, nor a failed look makes a second batch."""
    failures = {"/v1/files": 2, "/v1/batches": 1}

    def busy(method: str, path: str) -> None:
        name = path if method == "POST" else "look"
        if failures.setdefault(name, 3) > 0:
            failures[name] -= 1
            raise Refusal(503, "busy")

    server.before = busy
    answers = ask(batches(tmp_path, server), [work(0)])

    assert (len(server.batches), answers[0].labels) == (1, ("positive",))


def test_an_endpoint_that_is_away_leaves_the_records_for_later(
    tmp_path: pathlib.Path, server: FakeBatchServer
) -> None:
    """Nothing was submitted; with when_dead: stop the job stops instead."""
    server.before = lambda _method, _path: (_ for _ in ()).throw(Refusal(503, "down"))
    [answer] = ask(batches(tmp_path, server, max_retries=1), [work(0)])

    assert answer.failure is Failure.UNAVAILABLE
    assert "down" in answer.detail
    with pytest.raises(LlmStop, match="The job stops, as when_dead says"):
        ask(batches(tmp_path, server, max_retries=1, when_dead="stop"), [work(0)])

    server.before = lambda _method, _path: None
    assert ask(batches(tmp_path, server), [work(0)])[0].labels == ("positive",)
    assert (len(server.batches), len(server.lines)) == (1, 1)


def test_looks_are_further_and_further_apart(tmp_path: pathlib.Path, server: FakeBatchServer) -> None:
    """From `poll_seconds` to five minutes, until the window is over and the batch is cancelled."""
    server.hold.clear()
    clock = Clock()
    answers = ask(batches(tmp_path, server, batch={"max_wait_hours": 2}), [work(0), work(1)], clock)

    assert clock.slept[:3] == [15.0, 22.5, 33.75]
    assert max(clock.slept) == 300.0
    assert 2 * 3600 < sum(clock.slept) < 2 * 3600 + 700
    assert ("POST", f"/v1/batches/{next(iter(server.batches))}/cancel") in server.requests
    assert [answer.failure for answer in answers] == [None, Failure.UNAVAILABLE]


def test_a_batch_that_the_endpoint_does_not_know_stops_the_job(
    tmp_path: pathlib.Path, server: FakeBatchServer
) -> None:
    """Another account's key is in use: asking again would pay again, so a person decides."""
    clock = Clock()
    clock.sleep = _killing()  # type: ignore[method-assign]  # the process dies when it would wait
    with pytest.raises(Killed):
        ask(batches(tmp_path, server), [work(0)], clock)
    server.batches.clear()

    with pytest.raises(LlmStop, match=r"does not know it .* Use the key of the account that submitted it"):
        ask(batches(tmp_path, server), [work(0)])


def test_results_that_are_gone_are_asked_again(tmp_path: pathlib.Path, server: FakeBatchServer) -> None:
    """The provider removed the output file: the records are submitted once more."""

    def remove(method: str, path: str) -> None:
        if method == "GET" and path.endswith("/content") and len(server.batches) == 1:
            server.files.pop(path.split("/")[-2], None)

    server.before = remove
    [answer] = ask(batches(tmp_path, server), [work(0)])

    assert (len(server.batches), answer.labels) == (2, ("positive",))


def test_lines_that_are_no_results_are_passed_over(tmp_path: pathlib.Path, server: FakeBatchServer) -> None:
    """Torn, foreign and repeated lines change nothing."""
    results = server._results

    def odd(batch: Any, kind: str, lines: list[dict[str, Any]]) -> str | None:
        name = results(batch, kind, lines)
        if name is not None:
            title, purpose, content = server.files[name]
            foreign = b'{"custom_id": "someone else", "response": null, "error": {"message": "x"}}\n'
            server.files[name] = (title, purpose, b'{"custom\n[]\n' + foreign + content + content)
        return name

    server._results = odd  # type: ignore[method-assign]
    answers = ask(batches(tmp_path, server), [work(0), work(1)])

    assert len(server.batches) == 1
    assert total(answers) == half(server)


def test_a_line_without_usage_is_estimated(tmp_path: pathlib.Path, server: FakeBatchServer) -> None:
    """As for single calls: a quarter of the characters, and the record says so."""
    server.behave = lambda _request, _asked: Line(usage=False)
    [answer] = ask(batches(tmp_path, server), [work(0)])

    assert answer.usage.usd > 0
    assert "tokens are estimated" in answer.detail


def test_a_model_that_the_endpoint_does_not_have_stops_the_job(
    tmp_path: pathlib.Path, server: FakeBatchServer
) -> None:
    """A line's 404 is the job's mistake and not the record's; other lines' answers are kept first."""
    server.behave = lambda request, _asked: (
        Line(status=404, message="no such model") if "1" in request["messages"][-1]["content"] else Line()
    )
    with pytest.raises(LlmStop, match="no such model"):
        ask(batches(tmp_path, server), [work(0), work(1)])
    server.behave = lambda _request, _asked: Line()
    answers = ask(batches(tmp_path, server), [work(0), work(1)])

    assert (len(server.batches), len(server.lines)) == (2, 2)
    assert total(answers) == half(server)


def test_a_model_that_is_not_asked_in_batches_is_refused(
    tmp_path: pathlib.Path, server: FakeBatchServer
) -> None:
    """A programming error is one when it is made."""
    with pytest.raises(ValueError, match="model 'big' is not asked in batches"):
        session(batches(tmp_path, server, price=PRICE, batch=False))
