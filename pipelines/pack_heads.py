"""Heads that packs carry: what was learned of a small model on a pack's task, used where it fits a job."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.calibration_store import load_artefact
from pipelines.prepare import open_models
from router.domain_pack import find_pack
from router.head import looks_at
from transforms.files import read_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.annotate import Plan
    from router.calibration import ChosenPrompt, ModelCalibration


def with_pack_heads(plan: Plan, tell: Callable[[str], None]) -> Plan:
    """The plan with what packs have learned of its small models on their tasks.

    As it is where no task comes from a pack with a head, where the job calibrates or names an artefact, and
    for models and prompts that no head belongs to, which `tell` says.
    """
    if not plan.job.packs or plan.policy is None or plan.job.calibration.artefact is not None:
        return plan
    fitting = [one for task in plan.job.packs for one in _fitting(plan, task, tell)]
    return _with(plan, fitting) if fitting else plan


def _fitting(plan: Plan, task: str, tell: Callable[[str], None]) -> list[ModelCalibration]:
    """What the pack of a task has learned of the job's small models, under the job's names."""
    used = plan.job.packs[task]
    found = find_pack(used.source, read_file)
    if found.head is None or found.pack.head is None:
        return []
    learned, fitting = load_artefact(found.head).models, []
    for name in plan.small_models:
        for one in learned:
            mine = replace(one, model=name, task=task)
            if _fingerprint(plan, name, task, one.prompt) == one.fingerprint:
                fitting.append(mine)
                break
        else:
            tell(
                f"pack {used.pack}: its head is not used for {name}: it belongs to {found.pack.head.model} "
                "asked as the pack asks (another file, task name, instruction, label or example is another "
                "question)"
            )
    return fitting


def _fingerprint(plan: Plan, model: str, task: str, prompt: ChosenPrompt) -> str | None:
    opening = plan.opening.asking({model: {task: prompt}}, features=False, embedding=False)
    return open_models(opening).fingerprints.get(model, {}).get(task)


def _with(plan: Plan, fitting: list[ModelCalibration]) -> Plan:
    prompts: dict[str, dict[str, ChosenPrompt]] = defaultdict(dict)
    for one in fitting:
        prompts[one.model][one.task] = one.prompt
    heads = [one.head.inputs for one in fitting if one.head is not None]
    opening = plan.opening.asking(
        prompts,
        features=any(looks_at(inputs, "features") for inputs in heads),
        embedding=any(looks_at(inputs, "embedding") for inputs in heads),
    )
    models = open_models(opening)
    noted = [{"model": one.model, "task": one.task, "rows": one.rows} for one in fitting]
    manifest = {**plan.ending.manifest, "answers": models.fingerprints, "pack_heads": noted}
    settled = {(one.model, one.task): one for one in fitting}
    pairs = {(name, task.name) for name in plan.small_models for task in plan.job.tasks}
    # Where nothing is left to be estimated, no sample needs to be asked about first.
    whole = pairs <= settled.keys() and plan.job.routing.escalate_to not in plan.local_models
    return replace(
        plan,
        handlers=models.handlers,
        ending=replace(plan.ending, manifest=manifest),
        opening=opening,
        readings=settled if whole else None,
        settled=settled,
    )
