"""The budget of a machine: never crossed, whatever process asks, dies or comes back."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from transforms.budget_ledger import BudgetLedger, PaidCall, open_ledger

if TYPE_CHECKING:
    import pathlib

CENT = Decimal("0.01")


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    """A ledger of one dollar."""
    file = str(tmp_path / "state" / "budget.sqlite")
    assert open_ledger(file, Decimal(1), []) == Decimal(1)
    return file


def test_exactly_the_limit_may_be_reserved(path: str) -> None:
    """And not the smallest amount more."""
    ledger = BudgetLedger(path)

    assert ledger.reserve(b"a", Decimal("0.99"))
    assert not ledger.reserve(b"b", Decimal("0.010000000001"))
    assert ledger.reserve(b"b", CENT)
    assert not ledger.reserve(b"c", Decimal("0.000000000001"))
    assert ledger.reserve(b"d", Decimal(0))


def test_what_was_reserved_and_not_spent_is_given_back(path: str) -> None:
    """After a cheap call there is room for another one."""
    ledger = BudgetLedger(path)
    assert ledger.reserve(b"a", Decimal("0.90"))

    ledger.settle(b"a", Decimal("0.10"))

    assert ledger.left() == Decimal("0.90")


def test_a_reservation_is_settled_once(path: str) -> None:
    """A second time would give money back that was spent."""
    ledger = BudgetLedger(path)
    ledger.reserve(b"a", CENT)
    ledger.settle(b"a", CENT)

    with pytest.raises(ValueError, match="nothing is reserved for call 61"):
        ledger.settle(b"a", CENT)


def test_threads_and_connections_share_it(path: str) -> None:
    """Of 200 calls that may cost a cent, a dollar is enough for 100."""
    ledgers = [BudgetLedger(path), BudgetLedger(path)]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda n: ledgers[n % 2].reserve(n.to_bytes(2, "big"), CENT), range(200)))

    assert sum(got) == 100


def test_processes_share_it(path: str) -> None:
    """Four processes that each want fifty cents get a dollar together."""
    script = (
        "import sys, os\n"
        "from decimal import Decimal\n"
        "from transforms.budget_ledger import BudgetLedger\n"
        "ledger = BudgetLedger(sys.argv[1])\n"
        "print(sum(ledger.reserve(os.urandom(8), Decimal('0.01')) for _ in range(50)))\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE) for _ in range(4)
    ]

    assert sum(int(one.communicate()[0]) for one in running) == 100


def test_the_next_run_begins_with_what_is_left(path: str) -> None:
    """Thirty cents are in the journal. Of three calls under way when the process died, one was journaled."""
    ledger = BudgetLedger(path)
    for call in (b"journaled", b"lost", b"failed before"):
        ledger.reserve(call, Decimal("0.20"))
    ledger.close()
    paid = [
        PaidCall(b"journaled", Decimal("0.25"), final=True),
        # An earlier attempt of the same call says nothing about the one that was under way.
        PaidCall(b"failed before", Decimal("0.05"), final=False),
    ]

    assert open_ledger(path, Decimal(1), paid) == Decimal("0.30")
    assert open_ledger(path, Decimal(2), paid) == Decimal("1.30")


def test_what_an_earlier_run_holds_for_a_batch_is_held_on(path: str) -> None:
    """The next run takes its reservation over in place of a second one, and releases it once."""
    assert BudgetLedger(path).hold(b"a", Decimal("0.90"))
    assert open_ledger(path, Decimal(1), []) == Decimal("0.1")
    ledger = BudgetLedger(path)

    assert ledger.hold(b"a", Decimal("0.90"))
    assert not ledger.hold(b"b", Decimal("0.20"))
    assert ledger.hold(b"b", Decimal("0.20"), sent=True)
    assert ledger.left() == Decimal("-0.1")
    ledger.release(b"a", Decimal("0.30"))
    ledger.release(b"never held", Decimal("0.10"))

    assert ledger.left() == Decimal("0.4")
