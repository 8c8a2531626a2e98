"""A calibration as files: JSON that people can read, and the heads' weights as safetensors."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from router.answer_confidence import AnswerHead
from router.calibration import ChosenPrompt, ModelCalibration
from router.certification import Certificate, Certification, CertifyingRows
from router.confidence import ConfidenceCurve
from router.gate import NOTHING, GateRule, stated_threshold
from router.gate_calibration import GateCalibration, ModelReport, StudentReport
from router.head import Head
from router.head_training import ScaledScores
from router.job import Example
from router.prompts import PromptForm
from router.student import Student

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1
_STUDENT_ARRAYS = ("dense", "buckets", "ngrams", "intercept")


def write_calibration(found: GateCalibration) -> tuple[dict[str, Any], bytes]:
    """The calibration as JSON values, and its arrays as the contents of a safetensors file."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    models = []
    for number, (model, report) in enumerate(zip(found.models, found.reports, strict=True)):
        if model.head is not None:
            arrays[f"{number}.center"] = model.head.center
            arrays[f"{number}.weights"] = np.ascontiguousarray(model.head.weights)
            arrays[f"{number}.intercept"] = model.head.intercept
        models.append({**_model(model), **asdict(report)})
    for number, student in enumerate(found.students):
        for name in _STUDENT_ARRAYS:
            arrays[f"student.{number}.{name}"] = np.ascontiguousarray(getattr(student, name))
    value = {
        "format": FORMAT,
        "terms": dict(found.terms),
        "sizes": dict(found.sizes),
        "gate": {
            **asdict(found.rule),
            "threshold": stated_threshold(found.rule.threshold),
            "slices": {name: stated_threshold(one) for name, one in found.rule.slices.items()},
            "least_gain": stated_threshold(found.rule.least_gain),
        },
        "certification": {
            "whole": None if found.certification.whole is None else found.certification.whole.stated(),
            "slices": {name: one.stated() for name, one in found.certification.slices.items()},
        },
        "note": found.note,
        "parts": {name: dict(values) for name, values in found.parts.items()},
        "models": models,
        "students": [_student(one) for one in found.students],
        "student_reports": [asdict(one) for one in found.student_reports],
        "certifying": _rows(found.rows),
    }
    return value, save(arrays)


def _model(model: ModelCalibration) -> dict[str, Any]:
    prompt = model.prompt
    return {
        "model": model.model,
        "task": model.task,
        "fingerprint": model.fingerprint,
        "rows": model.rows,
        "prompt": {
            "form": None if prompt.form is None else asdict(prompt.form),
            "examples": None
            if prompt.examples is None
            else [one.model_dump(mode="json") for one in prompt.examples],
            "label_tree": prompt.label_tree,
        },
        "scaled": None if model.scaled is None else asdict(model.scaled),
        "head": None if model.head is None else model.head.inputs,
        "curve": asdict(model.curve),
        **({} if model.answers is None else {"answers": asdict(model.answers)}),
    }


def _student(student: Student) -> dict[str, Any]:
    return {
        "task": student.task,
        "labels": list(student.labels),
        "temperature": student.temperature,
        "curve": asdict(student.curve),
        "cut": student.cut,
        "rows": student.rows,
        "encoder": student.encoder,
        "digest": student.digest,
    }


def _read_student(
    number: int, value: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]
) -> Student:
    dense, buckets, ngrams, intercept = (arrays[f"student.{number}.{name}"] for name in _STUDENT_ARRAYS)
    labels, curve = tuple(value["labels"]), value["curve"]
    shapes = (dense.shape[0], ngrams.shape, intercept.shape)
    if shapes != (len(labels), (len(buckets), len(labels)), (len(labels),)):
        raise ValueError(f"a student of {len(labels)} labels has weights of the shapes {shapes}")
    found = Student(
        value["task"],
        labels,
        dense,
        buckets,
        ngrams,
        intercept,
        value["temperature"],
        ConfidenceCurve(curve["above"], curve["below"], curve["shift"]),
        value["cut"],
        value["rows"],
        value["encoder"],
    )
    if found.digest != value["digest"]:
        raise ValueError(f"the student of task {found.task} is not the one that was certified")
    return found


def _rows(rows: CertifyingRows) -> dict[str, Any]:
    large = rows.large_agrees
    return {
        "confidence": rows.confidence.tolist(),
        "agrees": rows.agrees.tolist(),
        "large_agrees": None if large is None else large.tolist(),
        "slices": list(rows.slices),
    }


def _read_rows(value: Mapping[str, Any]) -> CertifyingRows:
    large = value["large_agrees"]
    return CertifyingRows(
        np.array(value["confidence"], np.float64),
        np.array(value["agrees"], bool),
        None if large is None else np.array(large, bool),
        tuple(value["slices"]),
    )


def _threshold(number: float | None) -> float:
    return NOTHING if number is None else number


def read_calibration(value: Mapping[str, Any], arrays: bytes) -> GateCalibration:
    """The calibration of what `write_calibration` gave. Raises `ValueError` for anything else."""
    if value.get("format") != FORMAT:
        raise ValueError(f"a calibration of format {value.get('format')!r}; this version reads {FORMAT}")
    try:
        loaded = load(arrays)
        models = tuple(_read_model(number, one, loaded) for number, one in enumerate(value["models"]))
        reports = tuple(
            ModelReport(one["chosen"], one["trials"], tuple(one["prompts"]), one["held_back"])
            for one in value["models"]
        )
        gate, shown = value["gate"], value["certification"]
        slices = {name: _threshold(one) for name, one in gate["slices"].items()}
        rule = GateRule(
            _threshold(gate["threshold"]), gate["per"], slices, 0.0, _threshold(gate["least_gain"])
        )
        certification = Certification(
            None if shown["whole"] is None else _certificate(shown["whole"]),
            {name: _certificate(one) for name, one in shown["slices"].items()},
        )
        rows = _read_rows(value["certifying"])
        parts = {
            name: {key: (int(kept), int(agreed)) for key, (kept, agreed) in values.items()}
            for name, values in value["parts"].items()
        }
        terms, sizes, note = value["terms"], value["sizes"], value["note"]
        students = tuple(
            _read_student(number, one, loaded) for number, one in enumerate(value.get("students", ()))
        )
        taught = tuple(
            StudentReport(one["task"], one["chosen"], one["held_back"])
            for one in value.get("student_reports", ())
        )
        return GateCalibration(
            models, reports, rule, certification, terms, sizes, rows, note, parts, students, taught
        )
    except (KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ValueError(f"not a calibration: {type(error).__name__} {error}") from error


def _certificate(value: Mapping[str, Any]) -> Certificate:
    return Certificate(**{**value, "threshold": _threshold(value["threshold"])})


def _read_model(
    number: int, value: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]
) -> ModelCalibration:
    shown = value["prompt"]
    prompt = ChosenPrompt(
        None if shown["form"] is None else PromptForm(**shown["form"]),
        None if shown["examples"] is None else tuple(Example(**one) for one in shown["examples"]),
        shown["label_tree"],
    )
    head = None
    if value["head"] is not None:
        parts = (arrays[f"{number}.{name}"] for name in ("center", "weights", "intercept"))
        head = Head(value["head"], *parts)
    scaled, curve = value["scaled"], value["curve"]
    return ModelCalibration(
        value["model"],
        value["task"],
        value["fingerprint"],
        prompt,
        None if scaled is None else ScaledScores(tuple(scaled["mean"]), scaled["temperature"]),
        head,
        ConfidenceCurve(curve["above"], curve["below"], curve["shift"]),
        value["rows"],
        _answer_head(value.get("answers")),
    )


def _answer_head(value: Mapping[str, Any] | None) -> AnswerHead | None:
    if value is None:
        return None
    center, scale, weights = (tuple(map(float, value[name])) for name in ("center", "scale", "weights"))
    return AnswerHead(center, scale, weights, float(value["intercept"]))
