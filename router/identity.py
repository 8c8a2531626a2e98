"""Names for records and texts: digests that are the same on every machine and in every run."""

from __future__ import annotations

import functools
import hashlib

_DIGEST_BYTES = 16
# Different purposes never share a digest, even where their parts are equal.
_CONTENT = b"tekizai.content"
_TEXT = b"tekizai.text"
_ID = b"tekizai.id"


def content_id(text: str, task: str) -> str:
    """The id of a record whose input has no id column: 32 hex digits of its text and task.

    Records with the same text and task therefore have the same id.
    """
    return _digest(_CONTENT, text, task).hex()


# A record's stages each want it, one after the other.
@functools.lru_cache(maxsize=256)
def text_key(text: str, task: str) -> bytes:
    """16 bytes, equal exactly for records that one answer serves: the same text under the same task."""
    return _digest(_TEXT, text, task)


def id_key(id: str) -> bytes:  # noqa: A002 - the fixed name of the interface
    """16 bytes that stand for an id, so that millions of them can be compared without being held."""
    return _digest(_ID, id)


def _digest(purpose: bytes, *parts: str) -> bytes:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES, person=purpose)
    for part in parts:
        # A lone surrogate, which Python strings may hold and UTF-8 may not, is still a text of its own.
        data = part.encode("utf-8", "surrogatepass")
        # The length keeps ("ab", "c") and ("a", "bc") apart.
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()
