"""All that a calibration has settled for a job, and what may be said about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from router.gate import stated_threshold
from router.names import STUDENT

if TYPE_CHECKING:
    from router.calibration import ModelCalibration
    from router.certification import Certification, CertifyingRows
    from router.gate import GateRule
    from router.student import Student


AgreementParts = Mapping[str, Mapping[str, tuple[int, int]]]
"""By `language`, `domain` and `label`, for each value: kept answers to the certifying records, and how many
of them agree with the oracle."""


def agreement_parts(kept: Iterable[tuple[str, str | None, str | None, bool]]) -> AgreementParts:
    """Count kept answers and those that agree, from each one's language, domain, labels and agreement.

    A domain that was not looked for, or not found, is left out; so are written answers, which are no labels.
    """
    found: dict[str, dict[str, tuple[int, int]]] = {"language": {}, "domain": {}, "label": {}}
    for language, domain, label, agrees in kept:
        for name, value in (("language", language), ("domain", domain), ("label", label)):
            if value is not None:
                count, agreed = found[name].get(value, (0, 0))
                found[name][value] = (count + 1, agreed + agrees)
    return {name: dict(sorted(values.items())) for name, values in found.items() if values}


@dataclass(frozen=True, slots=True, eq=False)
class ModelReport:
    """How a model's calibration came about, for people, and what it is worth on rows it has not seen."""

    chosen: str
    """Why the head or the label scores were taken."""
    trials: Mapping[str, float]
    """Log-loss of what was tried in their place."""
    prompts: tuple[Mapping[str, Any], ...]
    """Prompts that were tried, with their log-loss."""
    held_back: Mapping[str, Any] = field(default_factory=dict)
    """Agreement, calibration error and reliability on the certifying rows."""


@dataclass(frozen=True, slots=True, eq=False)
class StudentReport:
    """How the student of a task came about, or why it was left out, for people."""

    task: str
    chosen: str
    held_back: Mapping[str, Any] = field(default_factory=dict)
    """Agreement, calibration error and reliability on the certifying rows that it answered."""


@dataclass(frozen=True, slots=True, eq=False)
class GateCalibration:
    """The gate of a job, certified on a pilot of that job."""

    models: tuple[ModelCalibration, ...]
    reports: tuple[ModelReport, ...]
    """One for each of the models."""
    rule: GateRule
    certification: Certification
    terms: Mapping[str, Any]
    """target, delta, oracle and per."""
    sizes: Mapping[str, int]
    """Records: of the job, drawn from, as examples, to train, to certify."""
    rows: CertifyingRows
    """What certified it: later inputs are compared with them."""
    note: str = ""
    """Anything that the user should know of."""
    parts: AgreementParts = field(default_factory=dict)
    students: tuple[Student, ...] = ()
    """What answers ahead of the small models; at most one for a task."""
    student_reports: tuple[StudentReport, ...] = ()
    """One for each task for which a student was tried."""

    def stated(self) -> dict[str, Any]:
        """The block `gate` of the summary."""
        whole = self.certification.whole
        shown: dict[str, Any] = {
            "threshold": stated_threshold(self.rule.threshold),
            "certified": self.certification.certified,
            **self.terms,
            "pilot": dict(self.sizes),
        }
        if whole is not None:
            shown |= {key: value for key, value in whole.stated().items() if key not in shown}
        slices = self.certification.slices
        shown["slices"] = {name: slices[name].stated() for name in sorted(slices)}
        shown["models"] = [
            {
                "model": model.model,
                "task": model.task,
                "examples": len(model.prompt.examples or ()),
                "head": None if model.head is None else model.head.inputs,
                "chosen": report.chosen,
                "held_back": dict(report.held_back),
            }
            for model, report in zip(self.models, self.reports, strict=True)
        ]
        taught = {one.task for one in self.students}
        shown["models"] += [
            {
                "model": STUDENT,
                "task": report.task,
                "examples": 0,
                "head": "text",
                "chosen": report.chosen,
                "held_back": dict(report.held_back),
            }
            for report in self.student_reports
            if report.task in taught
        ]
        if self.student_reports:
            shown["student"] = {one.task: one.chosen for one in self.student_reports}
        parts = {
            name: {value: {"kept": kept, "agreed": agreed} for value, (kept, agreed) in values.items()}
            for name, values in self.parts.items()
        }
        return shown | {"parts": parts, "note": self.note}
