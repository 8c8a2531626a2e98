"""A plan with a certified gate: from a calibration to the main pass that keeps its promise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipelines.calibrate import Calibrator
from pipelines.calibration_store import (
    CalibrationError,
    StoredCalibration,
    find_stored,
    load_artefact,
    save_stored,
)
from pipelines.certify import read_works
from pipelines.errors import JobFailedError
from pipelines.pilot_run import PilotRun
from pipelines.reopened import chosen_prompts, reopened
from pipelines.students import check_students, stated_students, student_answers
from router.calibration import NotCalibrated
from router.certification import certify, certify_slices
from router.decide import Policy
from router.drift import SAMPLE, Drift, compare_confidences
from router.gate import NOTHING, GateRule, fixed_gate, stated_threshold
from router.names import STUDENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from apache_beam.options.pipeline_options import PipelineOptions

    from pipelines.annotate import Plan
    from router.calibration import ModelCalibration
    from router.gate_calibration import GateCalibration
    from router.job import Gate
    from router.verdict import Readings


def calibrated_plan(plan: Plan, options: PipelineOptions, tell: Callable[[str], None]) -> Plan:
    """The plan with its gate certified on a pilot, unless a run before this one has done so.

    Raises `JobFailedError` where the pilot cannot be answered.
    """
    url, digest = f"{plan.state}/calibration", str(plan.ending.manifest["job_digest"])
    stored = find_stored(url, digest)
    calibrator = Calibrator(PilotRun(plan, options), tell)
    if stored is not None and not _is_current(stored, calibrator.run):
        tell("gate: certified by another version of Tekizai, so it is certified anew")
        stored = None
    if stored is None:
        calibration = calibrator.calibrate()
        large = plan.job.routing.escalate_to
        oracle = {key: answer for (name, key), answer in calibrator.answers.items() if name == large}
        stored = StoredCalibration(calibration, oracle, calibrator.spare)
        save_stored(stored, url, digest)
    tell(_promise(stored))
    return _with(plan, stored, stored.calibration.stated())


def _is_current(stored: StoredCalibration, run: PilotRun) -> bool:
    """Whether models are asked and read as when it was made: a newer version may do so otherwise."""
    models = stored.calibration.models
    try:
        check_students(stored.calibration.students, run.plan.job)
        check_fingerprints(models, run.fingerprints(chosen_prompts(models)))
    except CalibrationError:
        return False
    return True


def reused_plan(plan: Plan, options: PipelineOptions, tell: Callable[[str], None]) -> Plan:
    """The plan with the calibration that the job names, made on another input or at another time.

    A sample of this input is compared with what it was made on. Raises `CalibrationError` where the
    calibration does not fit the job, `JobFailedError` where the job refuses an input that looks different.
    """
    settings = plan.job.calibration
    found = load_artefact(settings.artefact or "")
    _check_terms(plan, found)
    calibrator = Calibrator(PilotRun(plan, options), tell)
    check_fingerprints(found.models, calibrator.run.fingerprints(chosen_prompts(found.models)))
    check_students(found.students, plan.job)
    works = calibrator.run.draw(SAMPLE, gold_only=False).works
    taken = student_answers(plan.job, found.students, works)
    others = [work for place, work in enumerate(works) if place not in taken]
    calibrator.ask_small(others, chosen_prompts(found.models))
    read = read_works(calibrator, found.models, works, found.students, taken)
    now = [one for one in read.confidence if one >= 0.0]
    before = found.rows.confidence[found.rows.confidence >= 0.0]
    drift, looks = Drift(0.0, 1.0), "has nothing to compare"
    if now and len(before):
        drift = compare_confidences(before, now)
        alike = "different" if drift.drifted else "alike"
        looks = f"looks {alike} (Kolmogorov-Smirnov p = {drift.p_value:.3g})"
    if drift.drifted and settings.drift == "refuse":
        raise JobFailedError(
            f"calibration.artefact: this input {looks}; calibrate again, or set calibration.drift"
        )
    widen = drift.drifted and settings.drift == "widen"
    rule = carried_rule(found, plan.job.routing.gate, widen=widen)
    note = f"carried over from {settings.artefact}, which promises for its own input only; this one {looks}"
    if widen:
        note += ", so half of the disagreements are tolerated"
    tell(f"gate: {note}")
    stated = {**found.stated(), **fixed_gate(plan.job.routing.gate.min_confidence or 0.0)}
    if plan.job.routing.gate.target is not None:
        gate = plan.job.routing.gate
        stated |= {**found.terms, "target": gate.target, "delta": gate.delta}
        stated["threshold"] = stated_threshold(rule.threshold)
    stated |= {"certified": False, "note": note}
    return _with(plan, StoredCalibration(replace(found, rule=rule), {}, {}), stated)


def carried_rule(found: GateCalibration, gate: Gate, *, widen: bool) -> GateRule:
    """The gate for another input: certified anew from the rows, as of an input of unknown size.

    `widen` tolerates half the disagreements. A job with `min_confidence` keeps that.
    """
    if gate.min_confidence is not None:
        return GateRule(gate.min_confidence)
    target, delta = gate.target or 0.0, gate.delta or 0.0
    if widen:
        target = 1.0 - (1.0 - target) / 2.0
    if gate.per is not None:
        slices = max(1, len(found.certification.slices))
        certs = certify_slices(found.rows, slices, target=target, delta=delta, escalates=True)
        return GateRule(NOTHING, gate.per, {name: one.threshold for name, one in certs.items()})
    whole = certify(found.rows, target=target, delta=delta, population=None, escalates=True)
    return GateRule(whole.threshold)


def _check_terms(plan: Plan, found: GateCalibration) -> None:
    gate = plan.job.routing.gate
    if gate.target is None:
        return
    if found.students and gate.student != "auto":
        raise CalibrationError(
            "calibration.artefact: it was certified with a student, which answers ahead of the small models; "
            "set routing.gate.student to auto, or calibrate again"
        )
    for name, value in (("oracle", gate.oracle), ("per", gate.per)):
        if found.terms.get(name) != value:
            raise CalibrationError(
                f"calibration.artefact: it was made with routing.gate.{name}: {found.terms.get(name)}, and "
                f"the job says {value}; correct one, or calibrate again"
            )


def _promise(stored: StoredCalibration) -> str:
    found, terms = stored.calibration, stored.calibration.terms
    slices, whole = found.certification.slices, found.certification.whole
    what = "certified" if found.certification.certified else "not certified"
    said = f"gate: {what} for {100 * terms['target']:g} % agreement with {terms['oracle']}; "
    if slices:
        trusted = sum(one.kept > 0 for one in slices.values())
        said += f"small models are trusted in {trusted} of {len(slices)} slices"
    else:
        kept = 0.0 if whole is None or not whole.rows else whole.kept / whole.rows
        said += f"small models keep about {kept:.0%} of the records"
    return f"{said}. {found.note}" if found.note else said


def _with(plan: Plan, stored: StoredCalibration, stated: Mapping[str, Any]) -> Plan:
    found = stored.calibration
    asking = reopened(plan, found.models)
    manifest = {**asking.ending.manifest}
    check_fingerprints(found.models, manifest["answers"])
    # A threshold that the job fixes was not chosen for both together.
    students = found.students if plan.job.routing.gate.student == "auto" else ()
    if students:
        manifest["student"] = stated_students(students)
    return replace(
        asking,
        ending=replace(asking.ending, gate=stated, manifest=manifest),
        policy=Policy.of(plan.job, found.rule),
        readings={
            **readings_of(plan, found.models),
            **{(STUDENT, one.task): one.reading for one in students},
        },
        pilot=stored.pilot,
        students=students,
    )


def readings_of(plan: Plan, models: tuple[ModelCalibration, ...]) -> Readings:
    """How each small model's scores on each task are read; what nothing was learned of is not trusted."""
    known = {(one.model, one.task): one for one in models}
    pairs = [(name, task.name) for name in plan.small_models for task in plan.job.tasks]
    return {pair: known.get(pair, NotCalibrated(*pair)) for pair in pairs}


def check_fingerprints(models: tuple[ModelCalibration, ...], now: Mapping[str, Mapping[str, str]]) -> None:
    """Raise `CalibrationError` unless models, prompts and labels are those that were calibrated."""
    for one in models:
        if now.get(one.model, {}).get(one.task) != one.fingerprint:
            raise CalibrationError(
                f"calibration: it was made for another model file, prompt, instruction or labels of "
                f"{one.model} for task {one.task}, or by another version of Tekizai; calibrate again"
            )
