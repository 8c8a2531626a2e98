"""A spending limit that holds before a call is made: its worst case is reserved, its cost then kept."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

from router.llm_prompt import answer_schema, messages, output_bound
from router.prices import cost
from router.retrieval import NOTHING_FOUND

if TYPE_CHECKING:
    from decimal import Decimal

    from router.job import Task
    from router.prices import TokenPrice
    from router.retrieval import Found

_FRAME_TOKENS = 512
"""For what a provider adds around the messages, and for the reminder that follows an unusable answer."""

_CALLS_A_RECORD = 2
"""A record whose answer cannot be used is asked about once more."""


class Spending:
    """Money of one worker process that shares no counter with others; safe to share between threads."""

    def __init__(self, limit: Decimal | None) -> None:
        """Allow `limit` dollars, or any amount where it is None."""
        self._left = limit
        self._reserved: dict[bytes, list[Decimal]] = {}
        self._lock = threading.Lock()

    def reserve(self, call: bytes, worst: Decimal) -> bool:
        """Set `worst` dollars aside for a call; False, and nothing set aside, where less is left."""
        with self._lock:
            if self._left is None:
                return True
            if worst > self._left:
                return False
            self._left -= worst
            self._reserved.setdefault(call, []).append(worst)
            return True

    def settle(self, call: bytes, spent: Decimal) -> None:
        """Put what a call has cost in the place of what was reserved for it."""
        with self._lock:
            if self._left is not None:
                self._left += self._reserved[call].pop() - spent

    def hold(self, call: bytes, worst: Decimal, *, sent: bool = False) -> bool:
        """Reserve unless that was done before; `sent`: also where less is left, for the call is under way."""
        with self._lock:
            if self._left is None or self._reserved.get(call):
                return True
            if worst > self._left and not sent:
                return False
            self._left -= worst
            self._reserved[call] = [worst]
            return True

    def release(self, call: bytes, spent: Decimal) -> None:
        """Put what a call has cost in the place of what is reserved for it, if anything is."""
        with self._lock:
            if self._left is not None:
                self._left += sum(self._reserved.pop(call, ())) - spent

    def close(self) -> None:
        """Nothing is open here."""


def worst_cost(
    task: Task, text: str, price: TokenPrice, max_output_tokens: int, found: Found = NOTHING_FOUND
) -> Decimal:
    """The most that asking about a text can cost, with what was found for it, both questions counted.

    No tokenizer makes more tokens than there are bytes, so the bytes of the messages bound the prompt. Calls
    that a provider bills though their transfer broke are not in it: nobody can know them.
    """
    bound = output_bound(task, max_output_tokens)
    sent = len(json.dumps(messages(task, text, found), ensure_ascii=False).encode("utf-8", "replace"))
    tokens = sent + len(json.dumps(answer_schema(task))) + _FRAME_TOKENS + bound
    return cost(price, tokens, 0, bound) * _CALLS_A_RECORD
