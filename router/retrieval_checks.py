"""The rules about retrieved examples and passages in a job file that no field can state alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.job_wording import suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from router.job import ExampleSource, Model, Task

    Place = tuple[str | int, ...]
    Problem = tuple[Place, str, object]


def source_problems(source: ExampleSource, *, multi_label: bool) -> list[Problem]:
    """Refuse what only retrieved examples have where `k` is not given, and draws for multi_label tasks."""
    if source.k is not None:
        return []
    if multi_label:
        says = (
            "takes a list of examples where the task is multi_label, or a source with `k`, the number of "
            "nearest rows to show; give one of them"
        )
        return [(("examples",), says, None)]
    given = {"id": source.id, "for": source.models, "digest": source.digest}
    return [
        (("examples", name), "is about retrieved examples; give `k` too, or leave it out", value)
        for name, value in given.items()
        if value is not None
    ]


def retrieval_problems(tasks: Sequence[Task], models: Mapping[str, Model]) -> list[Problem]:
    """Say which models that are to be shown something are none of the job's."""
    named: list[tuple[Place, str]] = []
    for i, task in enumerate(tasks):
        shown = None if isinstance(task.examples, tuple) else task.examples.models
        named += [(("tasks", i, "examples", "for", j), name) for j, name in enumerate(shown or ())]
        shown = None if task.context is None else task.context.models
        named += [(("tasks", i, "context", "for", j), name) for j, name in enumerate(shown or ())]
    wrong = [(place, name) for place, name in named if name not in models]
    return [(place, f"is not one of the models; {suggestion(name, models)}", name) for place, name in wrong]
