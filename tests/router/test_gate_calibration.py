"""What the summary says of a certified gate."""

from __future__ import annotations

import dataclasses
import json

from router.certification import Certificate, Certification
from router.gate import NOTHING, GateRule
from router.gate_calibration import agreement_parts
from tests.router.calibration_examples import gate_calibration, in_slices


def test_the_block_of_a_whole_job() -> None:
    """Threshold, terms, what the pilot was, what it showed, and how each model is read."""
    stated = gate_calibration().stated()

    models = stated.pop("models")
    assert stated == {
        "threshold": 0.75,
        "certified": True,
        "target": 0.95,
        "delta": 0.05,
        "oracle": "llm",
        "per": None,
        "pilot": {"job": 5000, "records": 5000, "examples": 24, "train": 100, "certify": 100},
        "rows": 100,
        "tolerated": 1,
        "kept": 60,
        "disagreed": 1,
        "slices": {},
        "parts": {"language": {"en": {"kept": 40, "agreed": 39}}},
        "note": "so it is",
    }
    assert [(one["model"], one["task"], one["examples"], one["head"]) for one in models] == [
        ("small", "mood", 0, None),
        ("small", "topics", 0, None),
        ("other", "mood", 2, "scores"),
    ]
    assert models[1]["held_back"] == {"rows": 7, "agreement": 6 / 7}
    assert models[2]["chosen"] == "the head"


def test_the_block_of_slices() -> None:
    """Each has its certificate, in alphabetical order; one without a promise takes it from the whole."""
    stated = in_slices().stated()

    assert (stated["threshold"], stated["certified"], stated["per"]) == (None, False, "language")
    assert list(stated["slices"]) == ["en", "ja"]
    assert stated["slices"]["en"] == {
        "threshold": 0.6,
        "certified": True,
        "rows": 90,
        "tolerated": 1,
        "kept": 50,
        "disagreed": 0,
    }
    assert stated["slices"]["ja"]["threshold"] is None
    assert "rows" not in stated


def test_a_gate_that_trusts_nothing() -> None:
    """Everything is escalated, which keeps the promise; infinity is no JSON value."""
    found = gate_calibration(
        rule=GateRule(NOTHING), certification=Certification(Certificate(NOTHING, True, 100, 1, 0, 0))
    ).stated()

    assert (found["threshold"], found["certified"], found["kept"]) == (None, True, 0)


def test_a_changed_threshold_is_what_is_told() -> None:
    """The rule is what the main pass obeys, whatever the certificate says."""
    found = gate_calibration(rule=dataclasses.replace(gate_calibration().rule, threshold=0.9)).stated()

    assert found["threshold"] == 0.9


def test_the_block_is_json() -> None:
    """With nothing that only Python writes."""
    for one in (gate_calibration(), in_slices()):
        assert json.loads(json.dumps(one.stated(), allow_nan=False)) == one.stated()


def test_kept_answers_are_counted_in_each_language_domain_and_label() -> None:
    """Three answers, one of which disagrees; a domain that was not found is left out."""
    parts = agreement_parts(
        [("en", "law", "good", True), ("en", None, "bad", False), ("ja", None, "good", True)]
    )

    assert parts == {
        "language": {"en": (2, 1), "ja": (1, 1)},
        "domain": {"law": (1, 1)},
        "label": {"bad": (1, 0), "good": (2, 2)},
    }
    assert agreement_parts([]) == {}
    stated = gate_calibration(parts=parts).stated()
    assert stated["parts"]["language"] == {"en": {"kept": 2, "agreed": 1}, "ja": {"kept": 1, "agreed": 1}}
