"""Putting the rows and passages that a job retrieves where its workers find them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec

from router.adapters import section_of
from router.job import ExampleSource, LlamaCppModel, OpenAIModel
from router.names import JUDGE
from router.reference import digest_rows
from router.retrieval import ReferenceSet, Retrieval
from transforms.model_files import cache_folder
from transforms.nearest_rows import VERSION as INDEX_VERSION
from transforms.reference_rows import read_labelled_rows, read_passages, write_rows
from transforms.splits import InputError
from transforms.text_encoder import read_card

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from router.job import ContextSource, Job, Task
    from router.reference import ReferenceRow
    from transforms.route_records import RouterPlace

FOLDER = "references"
"""In Tekizai's cache, and in the state folder where workers are elsewhere."""
_FEW = 8
"""Labels: with three to six, rows of their own spared small models no large calls; with 77 they did."""


@dataclass(frozen=True)
class References:
    """What a job retrieves."""

    by_model: Mapping[str, Mapping[str, Retrieval]] = field(default_factory=dict)
    """What each model is shown with the records of each task."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Of the rows, by what they are."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """How many rows there are, by what they are."""
    copies: Mapping[str, str] = field(default_factory=dict)
    """Files to be copied before workers begin that do not see this machine's: from path to URL."""

    def facts(self, model: str, task: str) -> dict[str, Any] | None:
        """What of it decides a model's answers, for the fingerprint; None where nothing is shown."""
        found = self.by_model.get(model, {}).get(task)
        return None if found is None else found.facts(INDEX_VERSION)

    def copy(self) -> None:
        """Put the rows where workers elsewhere find them. Raises `OSError`."""
        for path, url in self.copies.items():
            filesystem, target = fsspec.core.url_to_fs(url)
            filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
            filesystem.pipe_file(target, Path(path).read_bytes())


def uses_retrieval(job: Job) -> bool:
    """Whether any record of a job can be shown something of its own."""
    return any(True for task in job.tasks for _ in _named_by(task))


def shown_to(job: Job, source: ExampleSource | ContextSource) -> tuple[str, ...]:
    """Names of the job's models that are shown what is found in a source."""
    if source.models is not None:
        used = [(name, section_of(name, job.models[name])) for name in job.used_models]
        return tuple(name for name, section in used if section in source.models)
    return tuple(
        name
        for name in job.used_models
        if isinstance(job.models[name], OpenAIModel) or name == job.routing.escalate_to
    )


def told_of_sources(job: Job, references: References) -> list[str]:
    """A line for each source of a task that shows nothing, less than the job says, or what may not pay."""
    lines = [line for task in job.tasks if (line := _costs_speed_only(job, task)) is not None]
    named = ((task.name, *one) for task in job.tasks for one in _named_by(task))
    for name, key, kind, source in named:
        place, size = f"tasks.{name}.{key}", references.sizes.get(f"{kind} of {name}")
        if not shown_to(job, source):
            if job.routing.judge is None:
                lines.append(
                    f"{place}: shown to no model, for there is neither a hosted one nor routing.escalate_to; "
                    f"name models in `for`, as in for: [{job.routing.default}]"
                )
        elif size is not None and source.k is not None and source.k > size:
            lines.append(
                f"{place}.k: {source.k} is more than there are to show: each record is shown all {size:,} of "
                f"{source.path} that can be, and nothing is searched for; give fewer, or add to the source"
            )
    return lines


def _costs_speed_only(job: Job, task: Task) -> str | None:
    """What is said where small models are shown rows that spared no large calls when it was measured."""
    source = task.examples
    if job.routing.gate.target is None or not isinstance(source, ExampleSource) or not source.k:
        return None
    small = [
        name
        for name in shown_to(job, source)
        if isinstance(job.models[name], LlamaCppModel) and name != job.routing.escalate_to
    ]
    if not small or task.kind != "single_label" or len(task.labels) > _FEW:
        return None
    return (
        f"tasks.{task.name}.examples.k: {', '.join(small)} takes two to ten times as long for rows of each "
        f"record's own. With a target and as few labels as {len(task.labels)} they spared no more large "
        "calls than the same examples for all (leave out k) where that was measured (docs/retrieval.md)"
    )


def gather_references(job: Job, state: str, router: RouterPlace, *, local: bool) -> References:
    """Read what the job retrieves from and put it into the cache.

    Args:
        job: The checked job file.
        state: URL of the output's state folder.
        router: Whose encoder is used.
        local: Whether all workers see this machine's cache.

    Raises:
        InputError: A source cannot be read, or holds nothing of use.
        OSError: The cache cannot be written.
    """
    if not uses_retrieval(job) and job.routing.judge is None:
        return References()
    encoder_digest = read_card(router.encoder_folder).digest
    sets: dict[tuple[str, str, str], ReferenceSet] = {}
    digests: dict[str, str] = {}
    sizes: dict[str, int] = {}
    copies: dict[str, str] = {}
    judged = job.routing.judge is not None
    for task in job.tasks:
        for one in _sources(job, task):
            digest = digest_rows(one.rows)
            one.check(digest)
            url = path = _stored(digest, one.rows)
            if not local:
                url = copies[path] = f"{state}/{FOLDER}/{digest}.jsonl"
            name = f"{one.kind} of {task.name}"
            digests[name], sizes[name] = digest, len(one.rows)
            shown = shown_to(job, one.source) if one.source.k else ()
            # A judge searches by itself, whatever models are shown.
            for model in (*shown, *((JUDGE,) if judged else ())):
                own_ids = one.source.id is not None and one.kind == "examples"
                sets[model, task.name, one.kind] = ReferenceSet(url, digest, one.source.k or 0, own_ids)
    by_model: dict[str, dict[str, Retrieval]] = {}
    for model, name, _ in sets:
        found = (sets.get((model, name, "examples")), sets.get((model, name, "passages")))
        by_model.setdefault(model, {})[name] = Retrieval(*found, router.encoder, encoder_digest)
    return References(by_model, digests, sizes, copies)


@dataclass(frozen=True)
class _Source:
    """What one task retrieves from."""

    kind: str
    """`examples` or `passages`."""
    place: str
    """Where the job file names it."""
    source: ExampleSource | ContextSource
    rows: Sequence[ReferenceRow]

    def check(self, digest: str) -> None:
        """Raises `InputError` where the job file says another digest."""
        wanted = self.source.digest
        if wanted not in {None, digest}:
            raise InputError(
                f"{self.place}.digest: {self.source.path} has the digest {digest}, and not {wanted}; "
                "look at what changed, and give the new digest if it is right"
            )


def _sources(job: Job, task: Task) -> Iterator[_Source]:
    for key, kind, source in _named_by(task, judged=job.routing.judge is not None):
        if isinstance(source, ExampleSource):
            rows = read_labelled_rows(job, task, source)
        else:
            rows = read_passages(job, task, source)
        yield _Source(kind, f"tasks.{task.name}.{key}", source, rows)


def _named_by(
    task: Task, *, judged: bool = False
) -> Iterator[tuple[str, str, ExampleSource | ContextSource]]:
    """What a task retrieves from, or its judge may search: the key, what its rows are, and the source."""
    if isinstance(task.examples, ExampleSource) and (task.examples.k or judged):
        yield "examples", "examples", task.examples
    if task.context is not None and (task.context.k or judged):
        yield "context", "passages", task.context


def _stored(digest: str, rows: Sequence[ReferenceRow]) -> str:
    """The path of the rows' file in the cache, which has their digest for a name."""
    path = cache_folder() / FOLDER / f"{digest}.jsonl"
    data = write_rows(rows)
    if path.exists() and path.read_bytes() == data:
        return str(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A half-written file never has its name.
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
        part.write(data)
    Path(part.name).replace(path)
    return str(path)
