"""Totals over records, and the contents of summary.json."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from router.gate import fixed_gate
from router.records import Annotated, Annotation, DeadLetter, Position, Reason, Route, Status, Usage
from router.summary import (
    Tally,
    estimate_baseline,
    gate_summary,
    summarise,
    tally_annotated,
    tally_dead,
    write_money,
)
from tests.router.work_examples import record

KEPT = Usage(10, 6, 0, 0.5, Decimal("0.001"))
ASKED = Usage(100, 40, 5, 1.5, Decimal("0.02"))


def row(model: str, status: Status, *, calibration: str = "0", **calls: Usage) -> Annotated:
    """An annotated record with its account."""
    said = Annotation("mood", ("good",), 0.9, (("good", 0.9),), model, status, "because")
    total = sum(calls.values(), Usage())
    return Annotated(record(), said, Route("en", "mood", "small", None), total, calls, Decimal(calibration))


ROWS = [
    row("small", Status.KEPT, small=KEPT),
    row("small", Status.KEPT, calibration="0.02", small=KEPT, big=ASKED),
    row("big", Status.ESCALATED, small=KEPT, big=ASKED),
    row("small", Status.DUPLICATE),
]


def letter(reason: Reason) -> DeadLetter:
    """A dead letter."""
    return DeadLetter(Position(0, 0), None, reason, "because", "read", None)


def test_annotated_records_are_added_up() -> None:
    """Four records, three calls of the small model and two of the large one."""
    found = tally_annotated(ROWS)

    assert (found.annotated, found.dead_lettered) == (4, 0)
    assert found.usage == Usage(230, 98, 10, 4.5, Decimal("0.043"))
    assert found.calibration_usd == Decimal("0.02")
    assert found.answered_by == {"small": 3, "big": 1}
    assert found.status == {"kept": 2, "escalated": 1, "duplicate": 1}
    assert found.calls == {"small": 3, "big": 2}
    assert {name: used.usd for name, used in found.usage_by_model.items()} == {
        "small": Decimal("0.003"),
        "big": Decimal("0.04"),
    }


def test_failed_checks_are_added_up_over_parts() -> None:
    """Only jobs with written answers have the key."""
    one = replace(ROWS[0], annotation=replace(ROWS[0].annotation, checks=("length: the answer is empty",)))
    two = replace(ROWS[2], annotation=replace(ROWS[2].annotation, checks=()))
    gate = fixed_gate(0.8)

    found = summarise(
        tally_annotated([one]) + tally_annotated([two, *ROWS]), read=6, seconds=1.0, gate=gate, large="big"
    )

    assert found["checks"]["answers"] == 2
    assert found["checks"]["by_check"] == {"length": 1}
    assert "checks" not in summarise(tally_annotated(ROWS), read=4, seconds=1.0, gate=gate, large="big")


def test_dead_letters_are_counted_by_reason() -> None:
    """Each has exactly one."""
    found = tally_dead([letter(Reason.EMPTY_TEXT), letter(Reason.EMPTY_TEXT), letter(Reason.INVALID_JSON)])

    assert found == Tally(dead_lettered=3, reasons=Counter(empty_text=2, invalid_json=1))


def test_what_dead_letters_cost_counts() -> None:
    """A call that came to nothing is on the account like every other."""
    letters = [letter(Reason.EMPTY_TEXT), replace(letter(Reason.LLM_UNUSABLE), calls={"big": ASKED})]

    found = tally_dead(letters)

    assert (found.usage, found.lost_usd, found.calls) == (ASKED, Decimal("0.02"), {"big": 1})
    assert found.usage_by_model == {"big": ASKED}


@pytest.mark.parametrize("cut", range(5))
def test_tallies_add_up_wherever_the_records_were_written(cut: int) -> None:
    """The sum over two files is that over all records."""
    assert tally_annotated(ROWS[:cut]) + tally_annotated(ROWS[cut:]) == tally_annotated(ROWS)


def test_many_tiny_costs_add_up_exactly() -> None:
    """A million times the smallest amount is a millionth of a dollar, not nearly that."""
    least = Usage(usd=Decimal("0.000000000001"))
    tiny = Tally(usage=least, usage_by_model={"m": least})
    total = Tally()
    for _ in range(1000):
        total += tiny

    assert total.usage.usd == Decimal("0.000000001")
    assert total.usage_by_model == {"m": Usage(usd=Decimal("0.000000001"))}


def test_the_baseline_is_the_mean_cost_of_a_record_times_all() -> None:
    """Two records cost .04 at the large model, so four would have cost .08."""
    found = estimate_baseline(tally_annotated(ROWS), "big")

    assert (found.usd, found.basis) == (Decimal("0.08"), "mean of 2 records that big was asked about")


def test_calls_that_reached_nobody_tell_no_price() -> None:
    """One answer in two tries: the price is that of the answer. None in two: it is not known, and not 0."""
    away = row("small", Status.LLM_UNAVAILABLE, small=KEPT, big=Usage())
    some, none = tally_annotated([away, ROWS[2]]), tally_annotated([away, away])

    found, unknown = estimate_baseline(some, "big"), estimate_baseline(none, "big")

    assert (found.usd, found.basis) == (Decimal("0.04"), "mean of 1 records that big was asked about")
    assert (some.calls["big"], some.served["big"]) == (2, 1)
    assert (unknown.usd, unknown.basis) == (
        None,
        "big could not be reached, so its cost per record is not known",
    )
    assert (tally_annotated([ROWS[1]]) + some).served["big"] == 2


@pytest.mark.parametrize(
    ("large", "basis"),
    [
        (None, "no large model is named (routing.escalate_to)"),
        ("other", "other was not asked, so its cost per record is not known"),
    ],
)
def test_without_calls_the_baseline_is_unknown(large: str | None, basis: str) -> None:
    """Unknown is not zero."""
    found = estimate_baseline(tally_annotated(ROWS), large)

    assert (found.usd, found.basis) == (None, basis)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0.000000"),
        ("0E-12", "0.000000"),
        ("5", "5.000000"),
        ("1E+3", "1000.000000"),
        ("0.1", "0.100000"),
        ("0.000000000001", "0.000000000001"),
        ("12.3400000000", "12.340000"),
        ("123456789012.123456789012", "123456789012.123456789012"),
        ("-0.5", "-0.500000"),
    ],
)
def test_money_is_plain_decimal_text(value: str, text: str) -> None:
    """At least six places, never an exponent, and nothing is cut off."""
    assert write_money(Decimal(value)) == text


def test_the_summary_of_a_job() -> None:
    """Every key that readers may rely on."""
    tally = tally_annotated(ROWS) + tally_dead([letter(Reason.EMPTY_TEXT)])

    assert summarise(tally, read=5, seconds=8.0, gate=fixed_gate(0.8), large="big") == {
        "records": {"read": 5, "annotated": 4, "dead_lettered": 1, "duplicates": 1},
        "answered_by": {"big": 1, "small": 3},
        "status": {
            "kept": 2,
            "escalated": 1,
            "routed": 0,
            "duplicate": 1,
            "over_budget": 0,
            "llm_unavailable": 0,
            "llm_unusable": 0,
        },
        "dead_letters": {"empty_text": 1},
        "cost_usd": {
            "total": "0.043000",
            "by_model": {"big": "0.040000", "small": "0.003000"},
            "calibration": "0.020000",
            "dead_letters": "0.000000",
            "baseline_all_llm": "0.080000",
            "baseline_basis": "mean of 2 records that big was asked about",
            "saved_fraction": pytest.approx(0.4625),
        },
        "tokens": {"input": 230, "cached": 98, "output": 10},
        "by_model": {
            "big": {
                "asked": 2,
                "input_tokens": 200,
                "cached_tokens": 80,
                "output_tokens": 10,
                "seconds": 3.0,
                "usd": "0.040000",
            },
            "small": {
                "asked": 3,
                "input_tokens": 30,
                "cached_tokens": 18,
                "output_tokens": 0,
                "seconds": 1.5,
                "usd": "0.003000",
            },
        },
        "gate": {"threshold": 0.8, "certified": False, "target": None, "delta": None},
        "seconds": 8.0,
        "records_per_second": 0.5,
    }


def test_the_summary_of_nothing() -> None:
    """An empty input divides by nothing."""
    found = summarise(Tally(), read=0, seconds=0.0, gate=fixed_gate(0.5), large="big")

    assert found["records"] == {"read": 0, "annotated": 0, "dead_lettered": 0, "duplicates": 0}
    assert (found["cost_usd"]["total"], found["cost_usd"]["baseline_all_llm"]) == ("0.000000", None)
    assert found["cost_usd"]["saved_fraction"] is None
    assert found["records_per_second"] == 0.0


PROMISE: dict[str, Any] = {"threshold": 0.7, "certified": True, "target": 0.95, "delta": 0.05, "note": "fine"}


def test_a_promise_is_kept_where_all_that_was_asked_was_answered() -> None:
    """Kept, escalated and routed records, copies, and rows that were refused on reading."""
    tally = tally_annotated([*ROWS, row("big", Status.ROUTED)]) + tally_dead([letter(Reason.EMPTY_TEXT)])

    assert gate_summary(PROMISE, tally) == PROMISE


@pytest.mark.parametrize("status", [Status.OVER_BUDGET, Status.LLM_UNAVAILABLE, Status.LLM_UNUSABLE])
def test_a_doubted_record_without_the_oracles_answer_breaks_the_promise(status: Status) -> None:
    """The certificate counted on it; the note says how many there are."""
    found = gate_summary(PROMISE, tally_annotated([*ROWS, row("small", status), row("small", status)]))

    assert found == {
        **PROMISE,
        "certified": False,
        "note": "fine; 2 records that the gate did not trust have no answer from the oracle",
    }


@pytest.mark.parametrize(
    "reason", [Reason.MODEL_ERROR, Reason.LLM_UNUSABLE, Reason.LLM_UNAVAILABLE, Reason.OVER_BUDGET]
)
def test_a_record_given_up_breaks_the_promise_too(reason: Reason) -> None:
    """It was to be annotated, and nobody has done so."""
    found = gate_summary(PROMISE, tally_annotated(ROWS) + tally_dead([letter(reason)]))

    assert (found["certified"], found["note"][:15]) == (False, "fine; 1 records")


def test_a_gate_that_promises_nothing_breaks_nothing() -> None:
    """What it says stays."""
    tally = tally_annotated([row("small", Status.OVER_BUDGET)])

    assert gate_summary(fixed_gate(0.8), tally) == fixed_gate(0.8)
    assert PROMISE["certified"] is True


CHECKED = row("big", Status.ESCALATED, small=KEPT, big=ASKED)
AUDITED = [replace(CHECKED, audit=agreed) for agreed in (True, False)]


def test_audits_are_counted() -> None:
    """Three were checked and two agreed; rows without an audit do not count."""
    found = tally_annotated([*ROWS, *AUDITED, AUDITED[0]])

    assert (found.audited, found.agreed) == (3, 2)
    assert tally_annotated(ROWS).audited == 0


@pytest.mark.parametrize("cut", range(7))
def test_audits_add_up_wherever_the_records_were_written(cut: int) -> None:
    """Like all else."""
    rows = [*ROWS, *AUDITED]

    assert tally_annotated(rows[:cut]) + tally_annotated(rows[cut:]) == tally_annotated(rows)


def test_the_summary_tells_what_the_audits_showed() -> None:
    """One of two agreed: from 1.3 % (1 - .975 ** .5) to 98.7 %, because two are few."""
    terms: dict[str, Any] = {"read": 6, "seconds": 1.0, "gate": PROMISE, "large": "big"}
    found = summarise(tally_annotated([*ROWS, *AUDITED]), **terms)

    low = 1.0 - 0.975**0.5
    assert found["audit"] == {
        "records": 2,
        "agreed": 1,
        "rate": 0.5,
        "low": pytest.approx(low),
        "high": pytest.approx(1.0 - low),
    }
    assert found["gate"] == PROMISE
    assert "audit" not in summarise(tally_annotated(ROWS), **terms)
