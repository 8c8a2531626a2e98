"""A job's spending limit, kept by all worker processes of this machine in one small SQLite file.

The most a call can cost is reserved before it is sent, so that the calls in flight cannot cross the limit
together. SQLite's transactions hold whatever process dies. A call that was under way when its process died
may have been billed, and nobody will ever know: its reservation stays spent.
"""

from __future__ import annotations

import contextlib
import pathlib
import sqlite3
import threading
import weakref
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from router.records import MONEY_QUANTUM

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_WAIT_SECONDS = 60.0
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS money (one INTEGER PRIMARY KEY CHECK (one = 0), most INTEGER, used INTEGER)",
    "CREATE TABLE IF NOT EXISTS reserved (call BLOB, amount INTEGER)",
    # A batch reserves for tens of thousands of calls at once.
    "CREATE INDEX IF NOT EXISTS reserved_call ON reserved (call)",
)


@dataclass(frozen=True, slots=True)
class PaidCall:
    """A call that the journal knows: its name, what it cost, and whether it settled its question."""

    call: bytes
    usd: Decimal
    final: bool


class LedgerError(RuntimeError):
    """The ledger cannot be kept, so nothing more may be spent; the message says what to do."""


class BudgetLedger:
    """What may still be spent; safe to share between threads, and files between processes."""

    def __init__(self, path: str) -> None:
        """Open the ledger that `open_ledger` has set up."""
        self._path = path
        self._lock = threading.Lock()
        with _told(path):
            self._database = sqlite3.connect(
                path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._closing = weakref.finalize(self, self._database.close)
            # A power cut may lose the last writes, a killed process none.
            self._database.execute("PRAGMA synchronous=OFF")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The database, to be changed by nobody else meanwhile. Raises `LedgerError`."""
        with self._lock, _told(self._path), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            yield self._database

    def reserve(self, call: bytes, worst: Decimal) -> bool:
        """Set `worst` dollars aside for a call; False, and nothing set aside, where less is left."""
        with self.transaction() as database:
            return _reserve(database, call, _quanta(worst))

    def hold(self, call: bytes, worst: Decimal, *, sent: bool = False) -> bool:
        """Reserve unless that was done before, in an earlier run too.

        `sent`: also where less is left, for the call is under way.
        """
        with self.transaction() as database:
            if _reserved(database, call):
                return True
            return _reserve(database, call, _quanta(worst), anyway=sent)

    def release(self, call: bytes, spent: Decimal) -> None:
        """Put what a call has cost in the place of what is reserved for it, if anything is."""
        with self.transaction() as database:
            amount = _reserved(database, call)
            database.execute("DELETE FROM reserved WHERE call = ?", (call,))
            database.execute("UPDATE money SET used = used - ? + ?", (amount, _quanta(spent)))

    def settle(self, call: bytes, spent: Decimal) -> None:
        """Put what a call has cost in the place of what was reserved for it."""
        with self.transaction() as database:
            query = "SELECT rowid, amount FROM reserved WHERE call = ? LIMIT 1"
            found = database.execute(query, (call,)).fetchone()
            if found is None:
                raise ValueError(f"nothing is reserved for call {call.hex()}: settle each reservation once")
            row, amount = found
            database.execute("DELETE FROM reserved WHERE rowid = ?", (row,))
            database.execute("UPDATE money SET used = used - ? + ?", (amount, _quanta(spent)))

    def left(self) -> Decimal:
        """Dollars that are neither spent nor reserved."""
        with self.transaction() as database:
            most, used = database.execute("SELECT most, used FROM money").fetchone()
        return Decimal(most - used) * MONEY_QUANTUM

    def close(self) -> None:
        """Close the file; closing twice is harmless, and a ledger that is collected is closed too."""
        self._closing()


def _reserve(database: sqlite3.Connection, call: bytes, amount: int, *, anyway: bool = False) -> bool:
    most, used = database.execute("SELECT most, used FROM money").fetchone()
    if used + amount > most and not anyway:
        return False
    database.execute("UPDATE money SET used = used + ?", (amount,))
    database.execute("INSERT INTO reserved VALUES (?, ?)", (call, amount))
    return True


def _reserved(database: sqlite3.Connection, call: bytes) -> int:
    """What is set aside for a call, in all."""
    query = "SELECT coalesce(sum(amount), 0) FROM reserved WHERE call = ?"
    return int(database.execute(query, (call,)).fetchone()[0])


def open_ledger(path: str, limit: Decimal, paid: Iterable[PaidCall]) -> Decimal:
    """Set up a job's ledger before its workers start; returns what is left.

    Args:
        path: of the file; what an earlier run left in it is taken over.
        limit: dollars that the job may spend in all its runs.
        paid: what the journal knows of earlier runs' calls. Reservations of calls that it does not know stay
            spent.
    """
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    ledger = BudgetLedger(path)
    with ledger.transaction() as database:
        for statement in _SCHEMA:
            database.execute(statement)
        unknown = {call for (call,) in database.execute("SELECT call FROM reserved")}
        spent = Decimal(0)
        for one in paid:
            spent += one.usd
            # After a final answer nothing more was asked, so the reservation was that answer's.
            if one.final and one.call in unknown:
                database.execute("DELETE FROM reserved WHERE call = ?", (one.call,))
        (lost,) = database.execute("SELECT coalesce(sum(amount), 0) FROM reserved").fetchone()
        row = (_quanta(limit), _quanta(spent) + lost)
        database.execute("INSERT OR REPLACE INTO money VALUES (0, ?, ?)", row)
    left = ledger.left()
    ledger.close()
    return left


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise LedgerError(
            f"the budget's ledger {path} cannot be written ({error}): the job stops, because what is not "
            "counted must not be spent. Mend that (space, permissions) and run the same command: it continues"
        ) from error


def _quanta(usd: Decimal) -> int:
    """Dollars as a whole number of the smallest amount that is kept."""
    return int((usd / MONEY_QUANTUM).to_integral_value())
