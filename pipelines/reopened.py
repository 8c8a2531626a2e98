"""A plan whose models are asked as a calibration or a pack found out, the judge included."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.open_models import open_models
from router.head import looks_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.annotate import Plan
    from router.calibration import ChosenPrompt, ModelCalibration


def reopened(plan: Plan, models: Sequence[ModelCalibration]) -> Plan:
    """The plan with all that asks models opened anew, and with their fingerprints in the manifest.

    The judge is among that: its second opinions come from the models as they are asked now, and its verdicts
    have their fingerprints.
    """
    heads = [one.head.inputs for one in models if one.head is not None]
    opening = plan.opening.asking(
        chosen_prompts(models),
        features=any(looks_at(inputs, "features") for inputs in heads),
        embedding=any(looks_at(inputs, "embedding") for inputs in heads),
    )
    opened = open_models(opening)
    manifest = {**plan.ending.manifest, "answers": opened.fingerprints}
    return replace(
        plan,
        handlers=opened.handlers,
        judge=opened.judge,
        ending=replace(plan.ending, manifest=manifest),
        opening=opening,
    )


def chosen_prompts(models: Sequence[ModelCalibration]) -> dict[str, dict[str, ChosenPrompt]]:
    """How each model is asked about each task."""
    found: dict[str, dict[str, ChosenPrompt]] = defaultdict(dict)
    for one in models:
        found[one.model][one.task] = one.prompt
    return dict(found)
