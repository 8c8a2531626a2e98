"""The pilot: a uniform sample of a job's records that the oracle answers before the main pass.

Records are taken in the order of a digest of their ids, so every beginning of the order is a uniform sample,
whatever the input is sorted by, and the same in every run of a job with the same adapters ("bottom-k sketch",
Cohen and Kaplan, PODC 2007).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from router.records import Position, Record, Route, Work

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PURPOSE, _SALT = b"tekizai.pilot", b"tekizai.salt"
KEY_BYTES = 16


def pilot_salt(adapters: Iterable[str]) -> bytes:
    """What gives the pilot of a job with adapters an order of its own: 16 bytes; none without adapters.

    `adapters` are the SHA-256 of their files, in any order and case. An adapter may have been trained on an
    earlier pilot of the same input. In another order, which is settled by what came of the training, the
    records that certify are a uniform draw again, with no more of what it was trained on than the input has.
    """
    found = sorted({one.lower() for one in adapters})
    if not found:
        return b""
    return hashlib.blake2b(
        "\n".join(found).encode(), digest_size=hashlib.blake2b.SALT_SIZE, person=_SALT
    ).digest()


def pilot_key(record: Record, *, own_id: bool, salt: bytes = b"") -> bytes:
    """A record's place in the pilot's order: 16 bytes.

    `own_id` says whether the id is the input's own. Ids made from the content are equal for equal texts,
    which would then be drawn together: those records' places in the input are told apart too. `salt` is
    that of `pilot_salt`.
    """
    digest = hashlib.blake2b(digest_size=KEY_BYTES, person=_PURPOSE, salt=salt)
    digest.update(record.id.encode("utf-8", "surrogatepass"))
    if not own_id:
        digest.update(f"\0{record.position.file}\0{record.position.offset}".encode())
    return digest.digest()


@dataclass(frozen=True, slots=True)
class Pilot:
    """Drawn records, each with its route, in the pilot's order, and what they were drawn from."""

    works: tuple[Work, ...]
    records: int
    """Records that could have been drawn."""
    job: int
    """Records that will be annotated; more than `records` where only those with a gold label were drawn."""
    slices: Counter[str] = field(default_factory=Counter)
    """How many records of each slice there are, where the promise is asked per slice."""
    corrected: tuple[Work, ...] = ()
    """Records that people have corrected and that have no gold label otherwise. They were chosen because they
    are hard, so they may train, but not certify."""


def write_pilot(pilot: Pilot) -> Iterator[bytes]:
    """The pilot as JSON lines: what it was drawn from, then a line a record."""
    head = {"records": pilot.records, "job": pilot.job, "slices": dict(pilot.slices)}
    yield _line({**head, "corrected": len(pilot.corrected)})
    for work in (*pilot.corrected, *pilot.works):
        record, route = work.record, work.route
        line = {
            "id": record.id,
            "text": record.text,
            "task": record.task,
            "gold": record.gold,
            "file": record.position.file,
            "offset": record.position.offset,
            "language": route.language,
            "model": route.model,
            "rule": route.rule,
            "domain": route.domain,
            "complexity": route.complexity,
        }
        yield _line(line)


def _line(value: dict[str, Any]) -> bytes:
    # Escaped, because a text may hold lone surrogates, which UTF-8 cannot.
    return json.dumps(value, ensure_ascii=True).encode() + b"\n"


def read_pilot(lines: Iterable[bytes]) -> Pilot:
    """The pilot of `write_pilot`'s lines. Raises `ValueError` for others."""
    first, *rows = [json.loads(line) for line in lines]
    try:
        works, corrected = tuple(_work(row) for row in rows), first["corrected"]
        slices = Counter(first["slices"])
        return Pilot(works[corrected:], first["records"], first["job"], slices, works[:corrected])
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a pilot: {type(error).__name__} {error}") from error


def _work(row: dict[str, Any]) -> Work:
    position = Position(row["file"], row["offset"])
    record = Record(position, row["id"], row["text"], row["task"], row["gold"], b"")
    route = Route(row["language"], row["task"], row["model"], row["rule"], row["domain"], row["complexity"])
    return Work(record, route)
