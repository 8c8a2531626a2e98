"""Heads that packs carry: what was learned of labelled rows on a pack's task, used where it fits a job.

A head on the text alone (a student, `router.student`) answers in the small model's place, for any model. A
head on a model's scores belongs to that model's file, asked as the pack asks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipelines.calibration_store import CalibrationError, load_artefact
from pipelines.open_models import open_models
from pipelines.reopened import reopened
from pipelines.students import check_students
from router.domain_pack import find_pack
from router.names import STUDENT
from transforms.files import read_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.annotate import Plan
    from router.calibration import ChosenPrompt, ModelCalibration
    from router.job import Task
    from router.student import Student
    from router.verdict import Readings

_OTHERS = "labels or instruction are others than the pack's, or the sentence encoder is"


@dataclass(frozen=True, slots=True, eq=False)
class _Fitting:
    """What packs have learned that fits a job, under the job's names."""

    models: tuple[ModelCalibration, ...] = ()
    students: tuple[Student, ...] = ()

    def __add__(self, other: _Fitting) -> _Fitting:
        return _Fitting((*self.models, *other.models), (*self.students, *other.students))


def with_pack_heads(plan: Plan, tell: Callable[[str], None]) -> Plan:
    """The plan with what packs have learned of their tasks.

    As it is where no task comes from a pack with a head, where the job calibrates or names an artefact, and
    where no head fits, which `tell` says.
    """
    if not plan.job.packs or plan.policy is None or plan.job.calibration.artefact is not None:
        return plan
    fitting = _Fitting()
    for task in plan.job.packs:
        fitting += _fitting(plan, task, tell)
    return _with(plan, fitting) if fitting.models or fitting.students else plan


def _fitting(plan: Plan, task: str, tell: Callable[[str], None]) -> _Fitting:
    used = plan.job.packs[task]
    found = find_pack(used.source, read_file)
    if found.head is None:
        return _Fitting()
    learned, own = load_artefact(found.head), found.pack.task.name
    models = [
        mine
        for name in plan.small_models
        for one in learned.models
        if one.task == own and (mine := _model_fitting(plan, task, name, one)) is not None
    ]
    students = [one for one in learned.students if one.task == own]
    students, why = _students_fitting(plan, task, students, found.pack.task)
    if why:
        tell(f"pack {used.pack}: its head on the text is not used: {why}")
    known = {one.model for one in models}
    if learned.models and not students:
        for name in (name for name in plan.small_models if name not in known):
            tell(
                f"pack {used.pack}: its head is not used for {name}: it belongs to another model file, or to "
                "another task name, instruction, label or example"
            )
    # Where nothing is known of the small model, the head on the text answers all.
    ready = tuple(one if models else replace(one, cut=0.0) for one in students)
    return _Fitting(tuple(models), ready)


def _model_fitting(plan: Plan, task: str, name: str, one: ModelCalibration) -> ModelCalibration | None:
    fits = _fingerprint(plan, name, task, one.prompt) == one.fingerprint
    return replace(one, model=name, task=task) if fits else None


def _fingerprint(plan: Plan, model: str, task: str, prompt: ChosenPrompt) -> str | None:
    opening = plan.opening.asking({model: {task: prompt}}, features=False, embedding=False)
    return open_models(opening).fingerprints.get(model, {}).get(task)


def _students_fitting(plan: Plan, task: str, known: list[Student], pack: Task) -> tuple[list[Student], str]:
    """The pack's heads on the text, and why they are left out where they are."""
    job = plan.job
    if not known or job.routing.gate.student == "off":
        return [], ""
    if not plan.small_models:
        return [], "the job has no small model, in whose place it answers; name one as routing.default"
    if STUDENT in job.models:
        return [], f"a model is named {STUDENT}, as its answers are; rename the model"
    asked = plan.task(task)
    if set(asked.label_names) != set(pack.label_names) or asked.instruction != pack.instruction:
        return [], _OTHERS
    mine = [replace(one, task=task) for one in known]
    try:
        check_students(mine, job)
    except CalibrationError:
        return [], _OTHERS
    return mine, ""


def _with(plan: Plan, fitting: _Fitting) -> Plan:
    asking = reopened(plan, fitting.models)
    settled: Readings = {
        **{(one.model, one.task): one for one in fitting.models},
        **{(STUDENT, one.task): one.reading for one in fitting.students},
    }
    manifest = {**asking.ending.manifest, "pack_heads": _noted(fitting)}
    ready = replace(
        asking,
        ending=replace(asking.ending, manifest=manifest),
        students=fitting.students,
        settled=settled,
    )
    pairs = [(name, task.name) for name in plan.small_models for task in plan.job.tasks]
    # Where nothing is left to be estimated, no sample needs to be asked about first.
    whole = plan.job.routing.escalate_to not in plan.local_models
    whole = whole and not any(ready.is_sampled(*pair) for pair in pairs)
    return replace(ready, readings=settled) if whole else ready


def _noted(fitting: _Fitting) -> list[dict[str, Any]]:
    """For the manifest: whose answers are read by what packs have learned."""
    models = [{"model": one.model, "task": one.task, "rows": one.rows} for one in fitting.models]
    return models + [
        {"model": STUDENT, "task": one.task, "rows": one.rows, "digest": one.digest}
        for one in fitting.students
    ]
