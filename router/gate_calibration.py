"""All that a calibration has settled for a job, and what may be said about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from router.gate import stated_threshold

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.calibration import ModelCalibration
    from router.certification import Certification, CertifyingRows
    from router.gate import GateRule


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
        return shown | {"note": self.note}
