"""What a journal holds as a whole: how many answers to which question, and what was paid for."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import fsspec

from router.journal import call_name, is_settled, is_whole, read_entry
from transforms.budget_ledger import PaidCall

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fsspec import AbstractFileSystem

    from router.records import Answer

_ANSWERS = "[ls]lm"
"""The tiers of models: what the router found is no answer."""


def paid_calls(url: str) -> Iterator[PaidCall]:
    """Every call to a hosted model in the journal at `url`, those that no longer count included."""
    filesystem, folder = fsspec.core.url_to_fs(url)
    for path, fingerprint in _files(filesystem, folder, "llm"):
        for line in _lines(filesystem, path):
            entry = read_entry(line, "")
            if entry is not None:
                call = call_name(fingerprint, entry.text_key)
                yield PaidCall(call, entry.answer.usage.usd, entry.final)


def answers_of(url: str, fingerprint: str, model: str) -> dict[bytes, Answer]:
    """What a model said to one question, by text key; failed attempts and torn lines are left out."""
    filesystem, folder = fsspec.core.url_to_fs(url)
    found: dict[bytes, Answer] = {}
    for path, of in _files(filesystem, folder, _ANSWERS):
        if of != fingerprint:
            continue
        for line in _lines(filesystem, path):
            entry = read_entry(line, model)
            if entry is not None and entry.final:
                found[entry.text_key] = entry.answer
    return found


def count_answers(url: str) -> Mapping[str, int]:
    """Final answers in the journal at `url` by fingerprint."""
    filesystem, folder = fsspec.core.url_to_fs(url)
    counts: Counter[str] = Counter()
    for path, fingerprint in _files(filesystem, folder, _ANSWERS):
        counts[fingerprint] += sum(is_whole(line) and is_settled(line) for line in _lines(filesystem, path))
    return counts


def _files(filesystem: AbstractFileSystem, folder: str, tier: str) -> Iterator[tuple[str, str]]:
    filesystem.invalidate_cache()
    for path in sorted(filesystem.glob(f"{folder}/{tier}-*.jsonl")):
        parts = path.rpartition("/")[2].split("-")
        # Something else that somebody put there is no journal of ours.
        with contextlib.suppress(ValueError, IndexError):
            bytes.fromhex(parts[1])
            yield path, parts[1]


def _lines(filesystem: AbstractFileSystem, path: str) -> Iterator[bytes]:
    with filesystem.open(path, "rb") as stream:
        yield from stream
