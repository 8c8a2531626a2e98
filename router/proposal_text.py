"""A proposed routing as the YAML of a job file, in the order in which its keys are written elsewhere."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from router.proposal import SegmentRule, Way

_KEYS = {"language": "languages", "domain": "domains", "task": "tasks"}
_USUAL_DELTA = 0.05
_COLUMNS = 80


def routing_of(way: Way, gate: Mapping[str, Any]) -> dict[str, Any]:
    """The `routing` of a job: segments that go to the same model share a rule.

    One model for everything needs no gate. Several without a large one have theirs, to be certified.
    """
    found: dict[str, Any] = {"default": way.default}
    if way.large is None and not way.rules:
        return found
    if way.large is not None:
        found["escalate_to"] = way.large
    rules = [{"when": {_KEYS[kind]: names}, "use": model} for kind, names, model in _joined(way.rules)]
    if rules:
        found["rules"] = rules
    return found | {"gate": dict(gate)}


def gate_of(target: float, delta: float, oracle: str, kept: Mapping[str, Any]) -> dict[str, Any]:
    """The gate, without what is usual; `kept` is what the job's own gate says beside."""
    found: dict[str, Any] = {"target": target}
    if delta != _USUAL_DELTA:
        found["delta"] = delta
    if oracle == "gold":
        found["oracle"] = "gold"
    return found | {name: value for name, value in kept.items() if value is not None}


def routing_text(routing: Mapping[str, Any]) -> str:
    """The section as YAML to paste into a job file."""
    return section_text("routing", routing)


def section_text(name: str, section: Mapping[str, Any]) -> str:
    """A section of a job file as YAML: a line for each key and rule, more where one would be too long."""
    lines = [f"{name}:"]
    for key, value in section.items():
        if key == "rules":
            lines += ["  rules:", *(f"    - {_flow(rule)}" for rule in value)]
        else:
            lines += _entry("  ", key, value)
    return "\n".join(lines) + "\n"


def _entry(indent: str, key: str, value: object) -> list[str]:
    line = f"{indent}{key}: {_flow(value)}"
    if len(line) <= _COLUMNS:
        return [line]
    if isinstance(value, dict):
        inner = [line for name, part in value.items() for line in _entry(f"{indent}  ", name, part)]
        return [f"{indent}{key}:", *inner]
    if isinstance(value, list):
        return [f"{indent}{key}:", *(f"{indent}  - {_flow(one)}" for one in value)]
    return [line]


def _joined(rules: Iterable[SegmentRule]) -> list[tuple[str, list[str], str]]:
    """Rules of the same kind and model as one, where no rule of another kind stands between them.

    Segments of one kind have no record in common, so their order does not matter.
    """
    found: list[tuple[str, list[str], str]] = []
    for rule in rules:
        kind, name = rule.segment
        for earlier, names, model in reversed(found):
            if earlier != kind:
                found.append((kind, [name], rule.model))
                break
            if model == rule.model:
                names.append(name)
                break
        else:
            found.append((kind, [name], rule.model))
    return found


def _flow(value: object) -> str:
    """A value on one line. A dollar sign before a brace is doubled, or it would be filled in."""
    text = yaml.safe_dump(
        [value], default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf
    )
    return text.strip()[1:-1].replace("${", "$${")
