"""What the router found in texts as lines of the journal, and what decides it apart from the text.

docs/journal.md describes the files for readers outside this project. No file is opened here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from router.findings import Findings
from router.journal import FORMAT, facts_digest, is_whole

if TYPE_CHECKING:
    from router.findings import Wanted

FINDING = 1
"""Raised whenever finding anything changes so much that earlier findings no longer count."""


@dataclass(frozen=True, slots=True)
class RouterFacts:
    """What decides findings apart from the text and this project's own code (`FINDING`)."""

    languages: str
    """Version of the package whose model tells languages."""
    encoder: str
    """Digest of the sentence encoder."""
    heads: str
    """Digest of the heads."""
    domains: tuple[tuple[str, str | None], ...] = ()
    """A user's own, with their descriptions."""


def route_fingerprint(facts: RouterFacts, wanted: Wanted) -> str:
    """16 hex digits: findings under one are those that would be found again."""
    needs_encoder = wanted.task or wanted.domain or wanted.complexity
    return facts_digest(
        {
            "finding": FINDING,
            "languages": facts.languages,
            "encoder": facts.encoder if needs_encoder else "",
            "heads": facts.heads if needs_encoder else "",
            "domains": facts.domains if wanted.domain else (),
            "wanted": [wanted.task, wanted.domain, wanted.complexity],
        }
    )


def route_header(fingerprint: str) -> bytes:
    """The first line of a file."""
    return orjson.dumps({"format": FORMAT, "fingerprint": fingerprint, "router": True}) + b"\n"


def as_kept(found: Findings) -> Findings:
    """What a line holds of findings: all that a route is made from, without the probabilities."""
    return replace(found, task_probability=None, domain_probability=None)


def write_route(text_key: bytes, found: Findings) -> bytes:
    """The findings in a text as a line, its end included; what was not found is left out."""
    body: dict[str, Any] = {"key": text_key.hex(), "language": found.language}
    others = {"task": found.task, "domain": found.domain, "complexity": found.complexity}
    body |= {name: value for name, value in others.items() if value is not None}
    return orjson.dumps(body) + b"\n"


def read_route(line: bytes) -> tuple[bytes, Findings] | None:
    """The text's key (16 bytes) and what was found in it; None where the line is damaged."""
    if not is_whole(line):
        return None
    try:
        data = orjson.loads(line)
        key, language = bytes.fromhex(data["key"]), data["language"]
        task, domain, complexity = data.get("task"), data.get("domain"), data.get("complexity")
    except (ValueError, KeyError, TypeError):
        return None
    names = all(isinstance(name, str) for name in (language, task or "", domain or ""))
    if len(key) != _KEY_BYTES or not names or not isinstance(complexity, (float, int, type(None))):
        return None
    return key, Findings(language, task, domain=domain, complexity=complexity)


_KEY_BYTES = 16
