"""The spending limit."""

from __future__ import annotations

from decimal import Decimal

from router.job import Task
from router.prices import TokenPrice
from router.spending import Spending, worst_cost

PRICE = TokenPrice(Decimal("0.000001"), Decimal("0.000001"), Decimal("0.000002"), "the test")


def test_a_call_that_could_cross_the_limit_is_not_allowed() -> None:
    """The worst case counts, not what calls turn out to cost; exactly the rest is still allowed."""
    spending = Spending(Decimal("1.00"))

    assert spending.reserve(b"a", Decimal("0.60"))
    assert not spending.reserve(b"a", Decimal("0.41"))
    assert spending.reserve(b"a", Decimal("0.40"))


def test_what_was_reserved_and_not_spent_is_given_back() -> None:
    """After a cheap call there is room for another one."""
    spending = Spending(Decimal("1.00"))
    assert spending.reserve(b"a", Decimal("0.90"))

    spending.settle(b"a", Decimal("0.10"))

    assert spending.reserve(b"a", Decimal("0.90"))
    assert not spending.reserve(b"a", Decimal("0.01"))


def test_without_a_limit_everything_is_allowed() -> None:
    """No budget in the job file means none here."""
    spending = Spending(None)

    assert spending.reserve(b"a", Decimal(10**9))
    spending.settle(b"a", Decimal(1))


def test_the_worst_case_counts_bytes_as_tokens_and_both_questions() -> None:
    """A character of three bytes may be three tokens: 100 of them more cost 300 tokens in each question."""
    task = Task.model_validate(
        {"name": "t", "instruction": "Say which.", "labels": [{"name": "a"}, {"name": "b"}]}
    )

    shorter = worst_cost(task, "", PRICE, 64)
    longer = worst_cost(task, "語" * 100, PRICE, 64)

    assert longer - shorter == Decimal("0.000600")
    assert shorter > 2 * 64 * Decimal("0.000002")


def test_a_call_that_is_under_way_is_held_whatever_is_left() -> None:
    """Its money is spent; what was held before is not held twice, and is released once."""
    spending = Spending(Decimal("1.00"))

    assert spending.hold(b"a", Decimal("0.90"))
    assert spending.hold(b"a", Decimal("0.90"))
    assert not spending.hold(b"b", Decimal("0.20"))
    assert spending.hold(b"b", Decimal("0.20"), sent=True)
    spending.release(b"a", Decimal("0.30"))
    spending.release(b"never held", Decimal("0.10"))

    assert spending.reserve(b"c", Decimal("0.40"))
    assert not spending.reserve(b"c", Decimal("0.01"))
