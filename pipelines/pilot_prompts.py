"""How small models are asked about the pilot: the prompts that are tried, and where examples come from."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipelines.prompt_search import PromptSearch
from router.assets import asset_path
from router.calibration import ChosenPrompt
from router.catalogue import load_catalogue
from router.job import LlamaCppModel
from router.prompt_search import MOST_LABELS_SCORED, LabelledText, forms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.calibrate import Calibrator
    from pipelines.pilot_run import PilotRun, Prompts
    from router.job import Job, Task
    from router.pilot import Pilot
    from router.records import Work

_EXAMPLES_A_LABEL = 8
_MOST_EXAMPLES = 200
_SHARE_FOR_EXAMPLES = 100


def examples_wanted(job: Job, pilot: Pilot) -> int:
    """How many records to set aside as a source of examples: none where the user gave examples."""
    if job.calibration.search_seconds <= 0.0:
        return 0
    labels = [len(task.labels) for task in job.tasks if task.kind == "single_label" and task.examples == ()]
    wanted = min(sum(_EXAMPLES_A_LABEL * count for count in labels), _MOST_EXAMPLES)
    return min(wanted, max(24, pilot.records // _SHARE_FOR_EXAMPLES)) if labels else 0


def search_prompts(
    calibrator: Calibrator, examples: Sequence[Work], rows: Sequence[Work]
) -> tuple[Prompts, dict[tuple[str, str], tuple[dict[str, Any], ...]]]:
    """The prompt of each small model and task that the rows are routed to, and what was tried."""
    job = calibrator.run.plan.job
    catalogue = load_catalogue(asset_path("configs/models.yaml"))
    prompts: dict[str, dict[str, ChosenPrompt]] = defaultdict(dict)
    tried: dict[tuple[str, str], tuple[dict[str, Any], ...]] = {}
    for (name, task_name), group in small_groups(calibrator, rows).items():
        task, model = calibrator.run.plan.task(task_name), job.models[name]
        prompts[name][task_name] = unchanged_prompt(calibrator.run, name, task)
        if task.kind != "single_label" or job.calibration.search_seconds <= 0.0:
            continue
        known = _known(calibrator, group, task)
        if not known:
            continue
        if not isinstance(model, LlamaCppModel):
            continue
        pool = _pool(calibrator, name, task, examples)
        search = PromptSearch(calibrator.run, name, task, known, pool, seconds=job.calibration.search_seconds)
        best = search.search(list(forms(model, catalogue.entry(model.source))))
        calibrator.tell(
            f"prompt of {name} for {task_name}: {best.candidate.name}, log-loss {best.log_loss:.3f}; "
            f"the best of {len({one.candidate.prompt for one in search.tried})}"
        )
        prompts[name][task_name] = best.candidate.prompt
        tried[name, task_name] = tuple(
            {"prompt": one.candidate.name, "log_loss": one.log_loss, "rows": one.rows} for one in search.tried
        )
        for (one, key), answer in search.spent.items():
            if one != best.candidate.prompt:
                calibrator.charge(key, answer)
    return prompts, tried


def _pool(calibrator: Calibrator, name: str, task: Task, examples: Sequence[Work]) -> Sequence[LabelledText]:
    """What the prompt's examples may be drawn from."""
    opening = calibrator.run.plan.opening
    retrieval = opening.references.by_model.get(name, {}).get(task.name)
    if retrieval is not None and retrieval.examples is not None:
        # Each record has examples of its own: only the form is searched for.
        return ()
    return opening.pools.get(task.name) or [
        LabelledText(work.record.text, task.label_names[label])
        for work, label in _known(calibrator, examples, task)
    ]


def unchanged_prompt(run: PilotRun, name: str, task: Task) -> ChosenPrompt:
    """How the model is asked without a search."""
    many = task.kind == "single_label" and len(task.labels) > MOST_LABELS_SCORED
    given = run.plan.opening.prompts.get(name, {}).get(task.name, ChosenPrompt(None, None))
    return replace(given, label_tree=not many)


def small_groups(calibrator: Calibrator, rows: Sequence[Work]) -> dict[tuple[str, str], list[Work]]:
    """The rows that small models are asked about, by model and task."""
    job = calibrator.run.plan.job
    found: dict[tuple[str, str], list[Work]] = defaultdict(list)
    for work in rows:
        if work.route.model != job.routing.escalate_to:
            found[work.route.model, work.record.task].append(work)
    return found


def _known(calibrator: Calibrator, works: Sequence[Work], task: Task) -> list[tuple[Work, int]]:
    """The records of a single_label task on which the oracle has a word, with its label's index."""
    found = []
    for work in works:
        labels = calibrator.oracle_labels(work) if work.record.task == task.name else None
        if labels is not None and len(labels) == 1:
            [label] = labels
            found.append((work, task.label_names.index(label)))
    return found
