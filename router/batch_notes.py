"""What is noted of batches at a provider, so that a killed run finds them again and nobody pays twice.

Each note is a line of JSON about one batch, which is known by a key of our own: `planned` is written before
anything is sent, then the file's and the batch's id at the provider as soon as they are known, and `ended`
when its answers are in the journal. docs/journal.md describes them. No file is opened here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import orjson

from router.records import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

FORMAT = 1
_ENDPOINT_BYTES = 8
_CUSTOM_ID = re.compile(r"[0-9a-f]{16}-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """An answer that could not be used: it was paid, and the question is to be asked once more."""

    usage: Usage
    detail: str
    raw: str | None


@dataclass(frozen=True, slots=True)
class Submission:
    """A batch that was planned, and what is known of it."""

    key: str
    at: float
    """When it was planned, in seconds since the epoch."""
    requests: tuple[str, ...]
    """The custom ids of its lines."""
    file: str | None = None
    """Id of the uploaded file; None where it is not known to have arrived."""
    id: str | None = None
    """Id of the batch; None where it is not known to have been made."""


@dataclass(frozen=True, slots=True)
class Noted:
    """What all notes together say."""

    open: tuple[Submission, ...] = ()
    """Batches whose answers are not in the journal yet, by the time of their plan."""
    firsts: Mapping[str, tuple[str, FirstAnswer]] = field(default_factory=dict)
    """Unusable first answers by custom id, each with the key of its batch; there may be a later answer."""
    refused: tuple[str, ...] = ()
    """Parameters that the model does not take, in the order in which that was learnt."""


def custom_id(fingerprint: str, text_key: bytes) -> str:
    """The name of a question in a batch: what decides its answer, and the text."""
    return f"{fingerprint}-{text_key.hex()}"


def question_of(name: str) -> tuple[str, bytes] | None:
    """Fingerprint and text key of a custom id; None where it is not one of ours."""
    if not _CUSTOM_ID.fullmatch(name):
        return None
    fingerprint, _, key = name.partition("-")
    return fingerprint, bytes.fromhex(key)


def endpoint_print(base_url: str | None, model: str) -> str:
    """16 hex digits for a model at an endpoint, whatever it is asked."""
    data = orjson.dumps([base_url, model])
    return hashlib.blake2b(data, digest_size=_ENDPOINT_BYTES).hexdigest()


def header(model: str) -> bytes:
    """The first line of a file of notes."""
    return _line({"format": FORMAT, "batches_of": model})


def planned(key: str, at: float, requests: Sequence[str]) -> bytes:
    """Note that a batch is about to be submitted."""
    return _line({"batch": key, "planned": at, "requests": list(requests)})


def uploaded(key: str, file: str) -> bytes:
    """Note the id of its file."""
    return _line({"batch": key, "file": file})


def submitted(key: str, batch_id: str) -> bytes:
    """Note the id of the batch."""
    return _line({"batch": key, "id": batch_id})


def ended(
    key: str, status: str, firsts: Mapping[str, FirstAnswer] | None = None, refused: Sequence[str] = ()
) -> bytes:
    """Note that nothing more is to be had of a batch.

    Args:
        key: The batch.
        status: What it ended as, or `never submitted`.
        firsts: What it held of unusable first answers, by custom id.
        refused: Parameters that the model was found not to take.

    """
    body: dict[str, Any] = {"batch": key, "ended": status}
    if firsts:
        body["firsts"] = {name: _write_first(first) for name, first in firsts.items()}
    if refused:
        body["refused"] = list(refused)
    return _line(body)


def settled(key: str, requests: Sequence[str]) -> bytes:
    """Note that unusable first answers of a batch were put on the account, so that they count no more."""
    return _line({"batch": key, "settled": list(requests)})


def read_notes(lines: Iterable[bytes]) -> Noted:
    """What notes say, in whatever order; a torn line says nothing."""
    found = list(_objects(lines))
    ids = {one["batch"]: one["id"] for one in found if "id" in one}
    files = {one["batch"]: one["file"] for one in found if "file" in one}
    over = {one["batch"] for one in found if "ended" in one}
    open_ = [
        Submission(key, one["planned"], tuple(one["requests"]), files.get(key), ids.get(key))
        for one in found
        if "planned" in one and (key := one["batch"]) not in over
    ]
    counted = {(one["batch"], name) for one in found for name in one.get("settled", ())}
    firsts = {
        name: (one["batch"], first)
        for one in found
        for name, data in one.get("firsts", {}).items()
        if (one["batch"], name) not in counted and (first := _read_first(data)) is not None
    }
    refused = dict.fromkeys(name for one in found for name in one.get("refused", ()))
    return Noted(tuple(sorted(open_, key=lambda one: (one.at, one.key))), firsts, tuple(refused))


def _objects(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            data = orjson.loads(line)
        except ValueError:
            continue
        if isinstance(data, dict) and isinstance(data.get("batch"), str):
            yield data


def _line(body: Mapping[str, Any]) -> bytes:
    return orjson.dumps(body) + b"\n"


def _write_first(first: FirstAnswer) -> dict[str, Any]:
    usage = first.usage
    tokens = [usage.input_tokens, usage.cached_tokens, usage.output_tokens]
    return {"tokens": tokens, "usd": f"{usage.usd:f}", "detail": first.detail, "raw": first.raw}


def _read_first(data: Mapping[str, Any]) -> FirstAnswer | None:
    try:
        given, cached, made = (int(count) for count in data["tokens"])
        usage = Usage(given, cached, made, usd=Decimal(data["usd"]))
        return FirstAnswer(usage, str(data["detail"]), data["raw"])
    except (KeyError, TypeError, ValueError, InvalidOperation):
        return None
