"""A proposed routing as YAML: it loads as a job, and its keys stand in the usual order."""

from __future__ import annotations

import json

import yaml

from router.job_loading import parse_job
from router.proposal import SegmentRule, Way
from router.proposal_text import gate_of, routing_of, routing_text, section_text

RULES = (
    SegmentRule(("language", "ja"), "b"),
    SegmentRule(("language", "no"), "b"),
    SegmentRule(("domain", "law"), "big"),
    SegmentRule(("language", "hi"), "b"),
)
GATE = {"target": 0.95}


def test_rules_of_a_kind_for_one_model_are_one_rule() -> None:
    """But not across a rule of another kind, which a record may meet as well. `no` stays a language."""
    way = Way("a", "big", RULES)
    assert routing_text(routing_of(way, GATE)) == (
        "routing:\n"
        "  default: a\n"
        "  escalate_to: big\n"
        "  rules:\n"
        "    - {when: {languages: [ja, 'no']}, use: b}\n"
        "    - {when: {domains: [law]}, use: big}\n"
        "    - {when: {languages: [hi]}, use: b}\n"
        "  gate: {target: 0.95}\n"
    )


def test_segments_of_one_kind_may_change_places() -> None:
    """Japanese and Hindi for `b` are one rule, though English for `c` was found between them."""
    rules = (
        SegmentRule(("language", "ja"), "b"),
        SegmentRule(("language", "en"), "c"),
        SegmentRule(("language", "hi"), "b"),
    )
    assert routing_of(Way("a", "big", rules), GATE)["rules"] == [
        {"when": {"languages": ["ja", "hi"]}, "use": "b"},
        {"when": {"languages": ["en"]}, "use": "c"},
    ]


def test_what_is_usual_is_left_out() -> None:
    """Delta .05 and the oracle llm; what the job's own gate says is kept."""
    assert gate_of(0.95, 0.05, "big", {"per": None}) == {"target": 0.95}
    assert gate_of(0.9, 0.1, "gold", {"per": "language"}) == {
        "target": 0.9,
        "delta": 0.1,
        "oracle": "gold",
        "per": "language",
    }


def test_one_model_for_everything_has_no_gate() -> None:
    """There is nobody to ask. Several models without a large one have a gate, which a run certifies."""
    assert routing_text(routing_of(Way("big", None), GATE)) == "routing:\n  default: big\n"
    assert routing_of(Way("a", None, RULES[:1]), {"target": 0.9, "oracle": "gold"}) == {
        "default": "a",
        "rules": [{"when": {"languages": ["ja"]}, "use": "b"}],
        "gate": {"target": 0.9, "oracle": "gold"},
    }


def test_any_name_of_a_model_loads_as_a_job() -> None:
    """Names that mean something to YAML or to `${NAME}` come out as they are."""
    names = ["yes: no", "${HOME}", "大", "#1"]
    way = Way(names[0], names[1], (SegmentRule(("language", "en"), names[2]),))
    local = {"engine": "llama_cpp", "source": "m.gguf"}
    job = {
        "name": "test",
        "input": {"path": "in.jsonl"},
        "output": {"path": "out"},
        "tasks": [{"name": "t", "instruction": "Which?", "labels": [{"name": "a"}, {"name": "b"}]}],
        "models": dict.fromkeys(names, local),
    }
    text = "\n".join(f"{key}: {json.dumps(value)}" for key, value in job.items())
    loaded = parse_job(f"{text}\n{routing_text(routing_of(way, GATE))}", environ={})
    assert (loaded.routing.default, loaded.routing.escalate_to) == (names[0], names[1])
    assert loaded.routing.rules[0].use == names[2]


def test_what_is_longer_than_a_terminal_is_wide_takes_more_lines() -> None:
    """80 columns at most, where a mapping or a list can be taken apart; what fits stays on its line."""
    digests = ["a" * 64, "b" * 64]
    section = {"pilot": {"compared": 200, "adapters": digests}, "seed": 7, "corrections": "x" * 100}

    text = section_text("calibration", section)

    assert text == (
        "calibration:\n"
        "  pilot:\n"
        "    compared: 200\n"
        "    adapters:\n"
        f"      - {'a' * 64}\n"
        f"      - {'b' * 64}\n"
        "  seed: 7\n"
        f"  corrections: {'x' * 100}\n"
    )
    assert yaml.safe_load(text) == {"calibration": section}
