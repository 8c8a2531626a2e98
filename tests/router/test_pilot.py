"""The pilot: an order that says nothing of the records, and a file that gives back what was drawn."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from router.certification import CertifyingRows, certify
from router.guarantee import Population, binomial_at_most
from router.identity import text_key
from router.pilot import KEY_BYTES, Pilot, pilot_key, pilot_salt, read_pilot, write_pilot
from router.records import Position, Record, Route, Work


def record(name: str, *, file: int = 0, offset: int = 0, text: str = "fine") -> Record:
    """A record with this id."""
    return Record(Position(file, offset), name, text, "mood", None, b"")


def test_a_record_keeps_its_place_wherever_it_stands() -> None:
    """An id of the input's own decides alone: neither position nor text."""
    key = pilot_key(record("a"), own_id=True)

    assert len(key) == KEY_BYTES == 16
    assert pilot_key(record("a", file=3, offset=70, text="other"), own_id=True) == key
    assert pilot_key(record("b"), own_id=True) != key


def test_copies_under_ids_of_the_content_have_places_of_their_own() -> None:
    """Else all copies of a text would be drawn together, or as one."""
    keys = {pilot_key(record("a", file=f, offset=o), own_id=False) for f in (0, 1) for o in (0, 7, 70)}

    assert len(keys) == 6
    assert pilot_key(record("a"), own_id=False) != pilot_key(record("a"), own_id=True)


def test_places_differ_from_other_digests() -> None:
    """The journal's keys of the same content are in another order."""
    assert pilot_key(record("fine"), own_id=True) != text_key("fine", "mood")


def test_an_id_may_hold_half_a_character() -> None:
    """JSON allows lone surrogates, and they tell ids apart."""
    keys = {pilot_key(record(name), own_id=True) for name in ("\ud800", "\ud801", "?")}

    assert len(keys) == 3


def test_every_beginning_of_the_order_is_spread_over_a_sorted_input() -> None:
    """Of the first 500 of 2,000 records some 125 are of each quarter (a deviation of 8)."""
    ordered = sorted(range(2000), key=lambda number: pilot_key(record(f"r{number:06}"), own_id=True))

    quarters = Counter(number // 500 for number in ordered[:500])
    assert all(quarters[quarter] == pytest.approx(125, abs=33) for quarter in range(4))


def test_without_adapters_the_order_is_what_it_always_was() -> None:
    """A plain digest of the id: a job that ran before draws the same records again."""
    plain = "f6941e9bcc1b233d6bf27030d671d796"

    assert pilot_salt([]) == b""
    assert pilot_key(record("a"), own_id=True, salt=b"").hex() == plain
    assert pilot_key(record("a"), own_id=True).hex() == plain


def test_each_set_of_adapters_has_an_order_of_its_own() -> None:
    """Whatever their order in the job, and however their digests are written."""
    one, other = "ab" * 32, "cd" * 32
    names = [f"r{number}" for number in range(50)]
    salts = [pilot_salt(found) for found in ([], [one], [other], [one, other])]
    orders = {
        tuple(sorted(names, key=lambda name: pilot_key(record(name), own_id=True, salt=salt)))
        for salt in salts
    }

    assert len(orders) == 4
    assert pilot_salt([other, one.upper(), one]) == salts[3]


RECORDS, LEARNED, CERTIFYING, JOBS = 4000, 1000, 400, 100
TARGET, DELTA = 0.95, 0.05


def broken(salt: bytes, sure: np.ndarray, agrees: np.ndarray) -> bool:
    """Whether the promise is made on the first records of an order, and the whole input breaks it."""
    at = in_order(salt)[:CERTIFYING]
    rows, all_of_it = CertifyingRows(sure[at], agrees[at]), Population(RECORDS, RECORDS)
    found = certify(rows, target=TARGET, delta=DELTA, population=all_of_it, escalates=True)
    wrong = int((~agrees[sure >= found.threshold]).sum())
    return found.certified and wrong > round((1.0 - TARGET) * RECORDS)


def in_order(salt: bytes) -> list[int]:
    """The numbers of the records in a pilot's order."""
    keys = [pilot_key(record(str(number)), own_id=True, salt=salt) for number in range(RECORDS)]
    return sorted(range(RECORDS), key=keys.__getitem__)


def test_the_promise_holds_for_an_adapter_that_learned_the_earlier_pilot() -> None:
    """It agrees in .99 of the 1,000 records that it learned and in .85 of the others, with a target of .95.

    On the order that it learned from the promise is made and broken. On its own order it is broken as seldom
    as was promised: in 5 % of all draws, which is more than 11 of 100 less often than once in 200 times.
    """
    rng = np.random.default_rng(5)
    learned = np.zeros(RECORDS, dtype=bool)
    learned[in_order(b"")[:LEARNED]] = True
    sure, agrees = rng.random(RECORDS), rng.random(RECORDS) < np.where(learned, 0.99, 0.85)

    most = next(count for count in range(JOBS) if binomial_at_most(count, JOBS, DELTA) >= 1 - 1 / 200)
    assert most == 11
    assert broken(b"", sure, agrees)
    assert sum(broken(pilot_salt([f"{job:064x}"]), sure, agrees) for job in range(JOBS)) <= most


def work(name: str, text: str, gold: str | None, route: Route) -> Work:
    """A drawn record."""
    return Work(Record(Position(2, 40), name, text, "mood", gold, b""), route)


PLAIN = work("a", "one\ntwo \ud83d \U0001f600", None, Route("en", "mood", "small", None))
FULL = work("\ud800", 'say "no"', "bad", Route("ja", "mood", "other", 3, "shop", 0.25))


@pytest.mark.parametrize(
    "pilot",
    [
        Pilot((PLAIN, FULL), 7, 9, Counter(en=5, ja=4)),
        Pilot((FULL,), 1, 9, corrected=(PLAIN, PLAIN)),
        Pilot((), 0, 0),
    ],
)
def test_a_pilot_comes_back_as_it_was(pilot: Pilot) -> None:
    """Lone surrogates, routes, gold labels and what people corrected included."""
    found = read_pilot(write_pilot(pilot))

    assert (found.records, found.job, found.slices) == (pilot.records, pilot.job, pilot.slices)
    assert [(one.record, one.route) for one in found.works] == [(o.record, o.route) for o in pilot.works]
    assert [(one.record, one.route) for one in found.corrected] == [
        (o.record, o.route) for o in pilot.corrected
    ]


def test_every_record_is_a_line() -> None:
    """Line ends within texts are escaped."""
    lines = list(write_pilot(Pilot((PLAIN, FULL), 7, 9)))

    assert len(lines) == 3
    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") and line.isascii() for line in lines)


WHOLE = list(write_pilot(Pilot((PLAIN,), 1, 1)))


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"{}\n"],
        [b"[]\n"],
        [b'{"records": 1'],
        [WHOLE[0], WHOLE[1][:-10]],
        [WHOLE[0], b"{}\n"],
        [WHOLE[0], b"[]\n"],
        [WHOLE[1]],
    ],
)
def test_other_lines_are_refused(lines: list[bytes]) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError):  # noqa: PT011 - JSON and this module refuse in their own words
        read_pilot(lines)
