"""`tekizai pack list` and `tekizai pack show`: which packs there are, and what one expands to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from router.domain_pack import find_pack, shipped_packs, task_values
from router.names import STUDENT
from transforms.files import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from router.domain_pack import FoundPack
    from router.job import Job

_WIDTH = 110


def told_packs(job: Job, manifest: Mapping[str, Any]) -> Iterator[str]:
    """A line for each task of a job that comes from a pack."""
    tasks = {task.name: task for task in job.tasks}
    for name, used in job.packs.items():
        task = tasks[name]
        counts = f"{len(task.labels)} labels, {len(task.shown)} examples"
        noted = [one["model"] for one in manifest.get("pack_heads", ()) if one["task"] == name]
        heads = ["on the text" if one == STUDENT else f"for {one}" for one in noted]
        with_head = f", with its head {', '.join(heads)}" if heads else ""
        yield f"task {name}: pack {used.pack} ({used.digest}), {counts}{with_head}"


def list_packs() -> list[dict[str, Any]]:
    """The packs that ship with Tekizai, as JSON values."""
    return [_listed(find_pack(name, read_file)) for name in shipped_packs()]


def _listed(found: FoundPack) -> dict[str, Any]:
    pack = found.pack
    return {
        "name": pack.name,
        "summary": pack.summary,
        "languages": list(pack.languages),
        "licence": pack.licence,
        "labels": len(pack.task.labels),
        "head": pack.head is not None,
        "digest": found.digest,
    }


def show_pack(given: str) -> dict[str, Any]:
    """A pack by name or folder, as JSON values: all that its pack.yaml says, its folder and its digest."""
    found = find_pack(given, read_file)
    said = found.pack.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {**said, "folder": found.folder, "digest": found.digest}


def told_pack(given: str) -> Iterator[str]:
    """What people want to know of a pack, ending with the task as a job file could have it."""
    found = find_pack(given, read_file)
    pack = found.pack
    yield f"{pack.name}: {pack.summary}"
    yield f"languages: {', '.join(pack.languages)}; licence: {pack.licence}; digest: {found.digest}"
    yield f"measured: {pack.measured} (README.md in {found.folder})"
    for source in pack.sources:
        yield f"{source.what}: {source.origin}; {source.licence}; checked {source.checked}"
    for model in pack.models:
        yield f"{model.role} model: {model.source or 'a hosted one of your choice'}: {model.why}"
    if pack.head is not None:
        whose = "the text alone" if pack.head.model is None else f"the scores of {pack.head.model}"
        yield f"head on {whose}, trained on {pack.head.trained_on} ({pack.head.licence})"
    yield ""
    yield "It stands for this in a job file:"
    yield ""
    tasks = {"tasks": [task_values(pack)]}
    yield yaml.safe_dump(tasks, allow_unicode=True, sort_keys=False, width=_WIDTH).rstrip()
