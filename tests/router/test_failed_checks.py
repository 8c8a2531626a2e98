"""Sums over written answers that fail a check, and what is said of them."""

from __future__ import annotations

from collections import Counter

import pytest

from router.failed_checks import checks_summary, count_checks, failed_checks_line
from router.records import Annotation, Status

CUT = "length: cut off at max_tokens (16)"
LONG = "length: 90 characters, more than 80"
GERMAN = "language: en in the place of de"


def said(checks: tuple[str, ...] | None, status: Status = Status.KEPT) -> Annotation:
    """What stands of a record."""
    return Annotation("t", ("x",), 0.0, (), "small", status, "because", checks=checks)


def summary(*annotations: Annotation, large: str | None = "large") -> dict[str, object]:
    """Their sums."""
    return checks_summary(sum(map(count_checks, annotations), Counter()), large)


def test_labels_count_nothing() -> None:
    """A job without written answers has no such sums."""
    assert not count_checks(said(None))


def test_answers_are_counted_by_check_and_status() -> None:
    """One that fails two checks counts under both, and once among those that fail."""
    found = summary(
        said(()),
        said((CUT, GERMAN)),
        said((CUT,), Status.DUPLICATE),
        said((GERMAN,), Status.LLM_UNUSABLE),
        said((CUT, "schema: not JSON (x)"), Status.LLM_UNUSABLE),
    )

    assert found == {
        "answers": 5,
        "failed": 4,
        "by_check": {"length": 3, "language": 2, "schema": 1},
        "by_status": {"llm_unusable": 2, "duplicate": 1, "kept": 1},
        "note": "raise max_tokens or ask for less; say in the instruction which language to answer in",
    }


def test_nothing_is_to_be_done_where_all_pass() -> None:
    """And nothing is said on the terminal."""
    found = summary(said(()), said(()))

    assert found == {"answers": 2, "failed": 0, "by_check": {}, "by_status": {}}
    assert failed_checks_line(found) is None
    assert failed_checks_line(None) is None


@pytest.mark.parametrize(
    ("checks", "status", "large", "note"),
    [
        ((CUT,), Status.KEPT, "large", "raise max_tokens or ask for less"),
        ((LONG,), Status.ESCALATED, "large", "say in the instruction how long answers may be"),
        (
            (CUT,),
            Status.KEPT,
            None,
            "raise max_tokens or ask for less; name a larger model in routing.escalate_to",
        ),
        (
            (GERMAN,),
            Status.OVER_BUDGET,
            "large",
            "say in the instruction which language to answer in; raise budget.max_usd",
        ),
        (
            (LONG,),
            Status.LLM_UNAVAILABLE,
            "large",
            (
                "say in the instruction how long answers may be; "
                "run the same command again: it asks what is left"
            ),
        ),
        (("schema: 'a' is a required property",), Status.ROUTED, "large", "simplify the schema"),
    ],
)
def test_the_note_says_what_to_do(
    checks: tuple[str, ...], status: Status, large: str | None, note: str
) -> None:
    """By what failed, and by why nobody better was asked."""
    assert summary(said(checks, status), large=large)["note"] == note


def test_the_line_holds_counts_and_remedy() -> None:
    """What is most frequent comes first."""
    found = summary(*[said((CUT,))] * 1200, said((GERMAN,)), said(()), large=None)

    assert failed_checks_line(found) == (
        "Failed checks: 1,201 of 1,202 written answers (1,200 length, 1 language) stand but are not to be "
        "trusted. To do: raise max_tokens or ask for less; say in the instruction which language to answer "
        "in; name a larger model in routing.escalate_to. annotation.checks says why."
    )
