"""What the user sees while a job runs and when it is done."""

from __future__ import annotations

import io
import logging
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from pipelines.console import Pauses, ProgressLine, print_summary, progress_text, say
from router.gate import fixed_gate
from router.summary import Tally, summarise
from transforms.progress import ProgressNote

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping


@pytest.mark.parametrize(
    ("counts", "seconds", "text"),
    [
        ({}, 1.0, "reading"),
        ({"read": 1234}, 1.0, "1,234 records read"),
        ({"read": 5, "dead_lettered": 2}, 1.0, "5 records read"),
        (
            {"read": 1234, "to_ask": 1000, "asked": 20},
            1.0,
            "1,234 records read; asking the models about a sample: 20 of 1,000 answers",
        ),
        (
            {"read": 9, "to_ask": 4},
            1.0,
            "9 records read; asking the models about a sample: 0 of 4 answers",
        ),
        (
            {"read": 1000, "annotated": 90, "dead_lettered": 10, "escalated": 45, "nano_usd": 12_345_678},
            50.0,
            "100 of 1,000 records  2.0/s  50% escalated  $0.0123  7:30 left",
        ),
        (
            {"read": 100_000, "annotated": 100, "kept": 100},
            10.0,
            "100 of 100,000 records  10.0/s  0% escalated  $0.0000  2:46:30 left",
        ),
        (
            {"read": 3, "annotated": 3},
            3.0,
            "3 of 3 records  1.0/s  0% escalated  $0.0000  0:00 left",
        ),
        # A bundle that was tried again is counted again.
        (
            {"read": 3, "annotated": 4},
            4.0,
            "4 of 3 records  1.0/s  0% escalated  $0.0000  0:00 left",
        ),
        ({"read": 3, "annotated": 1}, 0.0, "1 of 3 records  0.0/s  0% escalated  $0.0000  0:00 left"),
    ],
)
def test_one_line_tells_how_far_the_job_is(counts: Mapping[str, int], seconds: float, text: str) -> None:
    """Records, rate, escalated share of the annotated, money, time left."""
    assert progress_text(counts, seconds) == text


class _Lines(logging.Handler):
    """Collects log lines, and tells when the first one came."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.came = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.came.set()


@pytest.fixture
def log() -> Any:
    """The log of the console module."""
    handler, logger = _Lines(), logging.getLogger("pipelines.console")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


def test_without_a_terminal_progress_is_logged(tmp_path: pathlib.Path, log: _Lines) -> None:
    """One line each half minute (here each hundredth of a second), none on the console."""
    ProgressNote(str(tmp_path)).add(read=7)
    said = io.StringIO()

    with ProgressLine(str(tmp_path), Console(file=said), Pauses(log=0.01)):
        assert log.came.wait(10)

    assert set(log.lines) == {"7 records read"}
    assert said.getvalue() == ""


def test_a_short_job_logs_no_progress(tmp_path: pathlib.Path, log: _Lines) -> None:
    """It ends at once, and does not wait for the half minute to pass."""
    with ProgressLine(str(tmp_path), Console(file=io.StringIO())):
        pass

    assert log.lines == []


def test_on_a_terminal_progress_is_one_line_that_goes_away(tmp_path: pathlib.Path, log: _Lines) -> None:
    """Nothing is logged."""
    note = ProgressNote(str(tmp_path))
    note.add(read=7)
    shown = _Screen()

    with ProgressLine(str(tmp_path), Console(file=shown, force_terminal=True), Pauses(terminal=0.01)):
        assert shown.came.wait(10)

    assert "7 records read" in shown.getvalue()
    # The last thing written erases the line.
    assert shown.getvalue().rpartition("7 records read")[2].count("\x1b[2K") == 1
    assert log.lines == []


class _Screen(io.StringIO):
    """Tells when the line was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Event()

    def write(self, text: str, /) -> int:
        written = super().write(text)
        if "records read" in text:
            self.came.set()
        return written


def test_an_error_ends_the_line_too(tmp_path: pathlib.Path) -> None:
    """The thread does not outlive the job."""
    threads = threading.active_count()

    with (
        pytest.raises(RuntimeError, match="stop"),
        ProgressLine(str(tmp_path), Console(file=io.StringIO())),
    ):
        raise RuntimeError("stop")

    assert threading.active_count() == threads


def test_say_changes_nothing() -> None:
    """No wrapping at 20 columns, no markup, no colours."""
    said = io.StringIO()
    line = "[red]models[/red]: a, b, 12.5 of /a/path/that/is/longer/than/the/screen"

    say(Console(file=said, width=20, force_terminal=True), line)

    assert said.getvalue() == line + "\n"


def summary(**changes: Any) -> dict[str, Any]:
    """The summary of a job of nothing, with changes to its sections."""
    found = summarise(Tally(), read=0, seconds=2.0, gate=fixed_gate(0.8), large=None)
    return {name: {**value, **changes[name]} if name in changes else value for name, value in found.items()}


def printed(contents: Mapping[str, Any]) -> str:
    """The table as text."""
    said = io.StringIO()
    print_summary(contents, "out/[x]", Console(file=said, width=100))
    return said.getvalue()


def test_answers_that_fail_checks_are_told_in_one_line() -> None:
    """Only where there are any."""
    sums = {
        "answers": 3,
        "failed": 2,
        "by_check": {"length": 2},
        "by_status": {"kept": 2},
        "note": "ask less",
    }

    lines = printed({**summary(), "checks": sums}).splitlines()

    assert lines[-2] == (
        "Failed checks: 2 of 3 written answers (2 length) stand but are not to be trusted. To do: ask less. "
        "annotation.checks says why."
    )
    assert "checks" not in printed({**summary(), "checks": {**sums, "failed": 0}})


def test_the_table_shows_models_costs_and_the_estimate() -> None:
    """Also a model that was asked and never had the last word."""
    text = printed(
        summary(
            records={"read": 1200, "annotated": 1100},
            answered_by={"small": 1100},
            status={"kept": 1000, "llm_unusable": 100},
            dead_letters={"empty_text": 100},
            cost_usd={
                "total": "1.500000",
                "by_model": {"small": "0.500000", "big": "1.000000"},
                "baseline_all_llm": "11.000000",
                "saved_fraction": 0.8636,
            },
        )
    )

    lines = [" ".join(line.strip("│ ").replace("│", " ").split()) for line in text.splitlines()]
    assert "1,100 of 1,200 records annotated" in lines
    for line in (
        "small 1,100 0.500000",
        "big 0 1.000000",
        "all 1,100 1.500000",
        "the large model for every record (estimate) 1,100 11.000000",
        "How: 1,000 kept, 100 llm_unusable.",
        "Dead letters: 100 empty_text.",
        "Saved: 86% of the estimate.",
        "2.0 s, 0.0 records/s. Output: out/[x]",
    ):
        assert line in lines, line


@pytest.mark.parametrize("name", ["[/red]", "b/c [x]", "[bold]b[/bold]", ":smile:"])
def test_a_models_name_is_no_markup(name: str) -> None:
    """It is shown as the job file has it, whatever it looks like."""
    text = printed(summary(answered_by={name: 7}))

    [line] = [line for line in text.splitlines() if " 7 " in line]
    assert line.strip("│ ").startswith(f"{name} ")


LONG = {
    "one word": "m" * 300,
    "words": "a model with a name of many words " * 9,
    "Japanese": "大規模言語モデル" * 20,
    "two": "hf://Qwen/Qwen2.5-1.5B-Instruct-GGUF/qwen2.5-1.5b-instruct-q4_k_m.gguf",
}


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("name", LONG.values(), ids=LONG)
def test_the_table_fits_80_columns(name: str, width: int) -> None:
    """A long name is broken, and all of it is there; figures are never cut."""
    said = io.StringIO()
    usd = "1234567.123456789012"
    contents = summary(
        answered_by={name: 123_456_789},
        cost_usd={"by_model": {name: usd}, "total": usd, "baseline_all_llm": usd, "saved_fraction": 0.0},
    )

    print_summary(contents, "out", Console(file=said, width=width))

    table = [line for line in said.getvalue().splitlines() if line.startswith(("┏", "┃", "┡", "│", "└"))]
    assert {cell_len(line) for line in table} <= set(range(81))
    assert sum("123,456,789" in line for line in table) == 1
    assert sum(usd in line for line in table) == 3
    cells = "".join(line.split("│")[1].strip() for line in table if line.startswith("│"))
    assert name.replace(" ", "") in cells.replace(" ", "")


def test_a_pipe_gets_no_control_codes() -> None:
    """Where stderr is no terminal, plain text is written, whatever the model is called."""
    said = io.StringIO()

    print_summary(summary(answered_by={"\x1b[31mred\x07": 7}), "out", Console(file=said, width=80))

    assert all(one.isprintable() or one == "\n" for one in said.getvalue())
    assert "\N{REPLACEMENT CHARACTER}[31mred" in said.getvalue()


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, too: https://no-color.org. Bold and italic are no colours."""
    monkeypatch.setenv("NO_COLOR", "1")
    said = io.StringIO()

    print_summary(summary(answered_by={"small": 7}), "out", Console(file=said, width=80, force_terminal=True))

    codes = [
        int(code)
        for found in re.findall(r"\x1b\[([\d;]*)m", said.getvalue())
        for code in found.split(";")
        if code
    ]
    assert codes
    assert not [code for code in codes if 30 <= code <= 49 or 90 <= code <= 107]


def test_an_ascii_stream_gets_ascii() -> None:
    """Where the locale has no lines to draw with."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")

    print_summary(summary(answered_by={"small": 7}), "out", Console(file=stream, width=80))

    stream.flush()
    assert b"| small" in raw.getvalue()


def test_without_an_estimate_nothing_is_said_of_savings() -> None:
    """Unknown is not zero."""
    text = printed(summary())

    assert "How: nothing annotated." in text
    assert "Saved" not in text
    assert "estimate" not in text
    assert "Dead letters" not in text


def test_a_loss_is_called_one() -> None:
    """On a small job the calibration may cost more than asking the large model at once would have."""
    text = printed(summary(cost_usd={"baseline_all_llm": "1.000000", "saved_fraction": -0.27}))

    assert "27% more than the estimate" in text
    assert "Saved" not in text
