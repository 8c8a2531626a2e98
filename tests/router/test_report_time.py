"""Cost and speed over the run, as the report shows them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from router.records import Usage
from router.report import render_report
from router.report_time import over_time
from router.timeline import timeline_of, timeline_summary
from tests.router.test_report import HOSTILE, SUMMARY, Page, changed

START = 1_795_000_000.0


def call(model: str, at: float, usd: str) -> tuple[str, Usage]:
    """A call that was answered so many seconds after the start."""
    return model, Usage(10, 0, 1, 0.5, Decimal(usd), START + at)


def summary(*calls: tuple[str, Usage]) -> dict[str, object]:
    """A summary of a job with these calls."""
    return changed(over_time=timeline_summary(timeline_of(calls)))


def test_money_grows_and_pauses_are_left_out() -> None:
    """Stretches 0, 2 and 403 of a quarter second: one empty stretch stays, a hundred seconds become one."""
    found = over_time(
        summary(call("small", 0.0, "0.01"), call("big", 0.5, "0.10"), call("small", 100.75, "0.02"))
    )

    assert found is not None
    assert found["pauses"] == 1
    assert found["head"] == ["seconds", "small: answers", "small: USD", "big: answers", "big: USD"]
    # Laid out: 0, empty, 2, empty, 403: five quarters.
    assert found["rows"] == [
        ["0.2", "1", "0.010000", "0", "0.000000"],
        ["0.5", "1", "0.010000", "0", "0.000000"],
        ["0.8", "1", "0.010000", "1", "0.100000"],
        ["1.0", "1", "0.010000", "1", "0.100000"],
        ["1.2", "2", "0.030000", "1", "0.100000"],
    ]
    assert "small, 1.25 seconds: 0.03" in found["spent"]
    # One answer in a quarter second is four a second.
    assert "big, 0.625 seconds: 4" in found["speed"]


def test_a_long_run_is_told_in_minutes() -> None:
    """From three minutes on; its 390 seconds are shown in stretches of 8."""
    short = over_time(summary(call("small", 0.0, "0.01"), call("small", 1.0, "0.01")))
    long = over_time(summary(*(call("small", 10.0 * number, "0.01") for number in range(40))))

    assert short is not None
    assert long is not None
    assert (short["head"][0], long["head"][0]) == ("seconds", "minutes")
    assert (long["rows"][-1], long["pauses"]) == (["6.5", "40", "0.400000"], 0)


def test_many_models_share_a_line() -> None:
    """The three with the most answers have their own."""
    calls = [call(f"m{number}", 0.0, "0.01") for number in range(5)] + [call("m4", 0.0, "0.01")]

    found = over_time(summary(*calls))

    assert found is not None
    assert found["head"][1::2] == ["m4: answers", "m0: answers", "m1: answers", "other models: answers"]
    assert found["rows"][-1][1:] == ["2", "0.020000", "1", "0.010000", "1", "0.010000", "2", "0.020000"]


def test_the_page_shows_the_run() -> None:
    """Two charts, the moment at which it began, and what is not in them."""
    found = summary(call("small", 0.0, "0.01"), ("small", Usage(10, 0, 1, 0.5, Decimal("0.5"))))

    text = Page(render_report(found, [])).text

    assert "What each model's answers had cost by then." in text
    assert "How many answers each model gave a second." in text
    assert "The run began with the first answer, 2026-11-18 11:06 UTC." in text
    assert "Not shown: 1 answers of an earlier version" in text


def test_without_times_nothing_is_shown() -> None:
    """An output of an earlier version."""
    assert over_time(SUMMARY) is None
    assert "The run began" not in render_report(SUMMARY, [])


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_only_a_name(name: str) -> None:
    """In the charts as everywhere: the page has no element and no attribute more than with a plain one."""
    plain, hostile = (render_report(summary(call(one, 0.0, "0.01")), []) for one in ("small", name))

    assert [tag for tag, _ in Page(hostile).tags] == [tag for tag, _ in Page(plain).tags]
