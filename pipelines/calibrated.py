"""A plan with a certified gate: from a calibration to the main pass that keeps its promise."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.calibrate import Calibrator
from pipelines.calibration_store import CalibrationError, StoredCalibration, find_stored, save_stored
from pipelines.pilot_run import PilotRun
from pipelines.prepare import open_models
from router.decide import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from apache_beam.options.pipeline_options import PipelineOptions

    from pipelines.annotate import Plan
    from router.calibration import ChosenPrompt, ModelCalibration


def calibrated_plan(plan: Plan, options: PipelineOptions, tell: Callable[[str], None]) -> Plan:
    """The plan with its gate certified on a pilot, unless a run before this one has done so.

    Raises `JobFailedError` where the pilot cannot be answered.
    """
    url, digest = f"{plan.state}/calibration", str(plan.ending.manifest["job_digest"])
    stored = find_stored(url, digest)
    if stored is None:
        calibrator = Calibrator(PilotRun(plan, options), tell)
        calibration = calibrator.calibrate()
        large = plan.job.routing.escalate_to
        oracle = {key: answer for (name, key), answer in calibrator.answers.items() if name == large}
        stored = StoredCalibration(calibration, oracle, calibrator.spare)
        save_stored(stored, url, digest)
    tell(_promise(stored))
    return _with(plan, stored)


def _promise(stored: StoredCalibration) -> str:
    found, terms = stored.calibration, stored.calibration.terms
    if found.note:
        return f"gate: {found.note}"
    slices = found.certification.slices
    if slices:
        trusted = sum(one.kept > 0 for one in slices.values())
        return f"gate: certified for {trusted} of {len(slices)} slices; all others are escalated"
    whole = found.certification.whole
    kept = 0.0 if whole is None or not whole.rows else whole.kept / whole.rows
    what = "certified" if found.certification.certified else "not certified"
    return (
        f"gate: {what} for {terms['target']:.0%} agreement with {terms['oracle']}; small models keep about "
        f"{kept:.0%} of the records"
    )


def _with(plan: Plan, stored: StoredCalibration) -> Plan:
    found = stored.calibration
    prompts = chosen_prompts(found.models)
    features = any(one.head is not None and one.head.inputs == "features" for one in found.models)
    opening = replace(plan.opening, prompts=prompts, features=features)
    models = open_models(opening)
    check_fingerprints(found.models, models.fingerprints)
    manifest = {**plan.ending.manifest, "answers": models.fingerprints}
    return replace(
        plan,
        handlers=models.handlers,
        ending=replace(plan.ending, gate=found.stated(), manifest=manifest),
        policy=Policy.of(plan.job, found.rule),
        opening=opening,
        calibration=found.models,
        pilot=stored.pilot,
    )


def chosen_prompts(models: tuple[ModelCalibration, ...]) -> dict[str, dict[str, ChosenPrompt]]:
    """How each model is asked about each task."""
    found: dict[str, dict[str, ChosenPrompt]] = defaultdict(dict)
    for one in models:
        found[one.model][one.task] = one.prompt
    return dict(found)


def check_fingerprints(models: tuple[ModelCalibration, ...], now: Mapping[str, Mapping[str, str]]) -> None:
    """Raise `CalibrationError` unless models, prompts and labels are those that were calibrated."""
    for one in models:
        if now.get(one.model, {}).get(one.task) != one.fingerprint:
            raise CalibrationError(
                f"calibration: it was made for another model file, prompt, instruction or labels of "
                f"{one.model} for task {one.task}; calibrate again"
            )
