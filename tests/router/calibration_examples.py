"""Calibrations for tests of how they are read, written and shown."""

from __future__ import annotations

from typing import Any

import numpy as np

from router.calibration import ChosenPrompt, ModelCalibration
from router.certification import Certificate, Certification, CertifyingRows
from router.confidence import ConfidenceCurve
from router.gate import NOTHING, GateRule
from router.gate_calibration import GateCalibration, ModelReport
from router.head import Head
from router.head_training import ScaledScores
from router.job import Example
from router.prompts import PromptForm
from router.student import Student

EXAMPLES = (Example(text='say "no"\n\u0000', label="bad"), Example(text="\u826f\u3044", label=("a", "b")))


def model(**changes: Any) -> ModelCalibration:
    """A model read by its label scores, asked as the job file says."""
    known: dict[str, Any] = {
        "model": "small",
        "task": "mood",
        "fingerprint": "f00d",
        "prompt": ChosenPrompt(None, None),
        "scaled": ScaledScores((0.8, 0.2), 1.0),
        "head": None,
        "curve": ConfidenceCurve(),
        "rows": 120,
    }
    return ModelCalibration(**known | changes)


def head() -> Head:
    """A head of two labels and two inputs, and a third label that was never seen."""
    weights = np.array([[0.1, -1 / 3], [2e-300, 7.0], [0.0, 0.0]])
    return Head("scores", np.array([0.25, -1e17]), weights, np.array([0.5, 1 / 7, -np.inf]))


def student(**changes: Any) -> Student:
    """A student of two labels with three n-grams."""
    known: dict[str, Any] = {
        "task": "mood",
        "labels": ("bad", "good"),
        "dense": np.array([[0.5, -1 / 3], [2e-30, 7.0]], np.float32),
        "buckets": np.array([3, 17, 65_535], np.int32),
        "ngrams": np.array([[1.0, -1.0], [0.25, 0.0], [0.0, 1 / 3]], np.float16),
        "intercept": np.array([0.1, -0.1], np.float32),
        "temperature": 0.7,
        "curve": ConfidenceCurve(1.5, 0.5, 1 / 7),
        "cut": 0.93,
        "rows": 120,
        "encoder": "e5",
    }
    return Student(**known | changes)


def gate_calibration(**changes: Any) -> GateCalibration:
    """A calibration of three models with all that can be in one."""
    chosen = ChosenPrompt(PromptForm("plain", "{Task}:"), EXAMPLES, label_tree=False)
    known: dict[str, Any] = {
        "models": (
            model(),
            model(task="topics", scaled=None, curve=ConfidenceCurve(0.3, 1 / 3, -2.0)),
            model(model="other", prompt=chosen, head=head()),
        ),
        "reports": (
            ModelReport("label scores", {}, ()),
            ModelReport("multi_label: the scores as they are", {}, (), {"rows": 7, "agreement": 6 / 7}),
            ModelReport("the head", {"C=1": 0.5}, ({"prompt": "4 examples", "log_loss": 1 / 3, "rows": 64},)),
        ),
        "rule": GateRule(0.75, least_gain=1e-5),
        "certification": Certification(Certificate(0.75, True, 100, 1, 60, 1)),
        "terms": {"target": 0.95, "delta": 0.05, "oracle": "llm", "per": None},
        "sizes": {"job": 5000, "records": 5000, "examples": 24, "train": 100, "certify": 100},
        "rows": CertifyingRows(np.array([-1.0, 0.1, 1 / 3]), np.array([False, True, True])),
        "note": "so it is",
        "parts": {"language": {"en": (40, 39)}},
    }
    return GateCalibration(**known | changes)


def in_slices() -> GateCalibration:
    """One whose promise is asked for in each language, beside a large model that errs."""
    sound, none = Certificate(0.6, True, 90, 1, 50, 0), Certificate(NOTHING, False, 9, None, 0, 0)
    return gate_calibration(
        rule=GateRule(NOTHING, "language", {"en": 0.6, "ja": NOTHING}, least_gain=NOTHING),
        certification=Certification(None, {"ja": none, "en": sound}),
        terms={"target": 0.95, "delta": 0.05, "oracle": "gold", "per": "language"},
        rows=CertifyingRows(
            np.array([0.2, 0.3]), np.array([True, False]), np.array([False, True]), ("en", "ja")
        ),
        note="",
    )
