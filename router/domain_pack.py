"""Domain packs: a task that somebody has worded, tried and measured, with what its words come from.

A pack is a folder with a `pack.yaml` (docs/packs.md). Those that ship with Tekizai are in `configs/domains/`
and have names; others are named by their folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from router.assets import asset_path
from router.job_base import LanguageCode, Name, NotEmpty, Strict
from router.job_checks import refuse
from router.job_errors import explain
from router.job_models import Prompt
from router.job_tasks import Task
from router.job_wording import shown, suggestion
from router.job_yaml import JobError, read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ReadFile = Callable[[str], bytes]
"""Reads a file by its path or URL; raises `OSError` where it cannot."""

PACK_FILE = "pack.yaml"
HEAD_FILES = ("calibration.json", "calibration.safetensors")
"""What `tekizai calibrate` leaves in OUTPUT/state/calibration, but for the oracle's answers."""

_DOMAINS = "configs/domains"
_DIGEST_BYTES = 8


class PackSource(Strict):
    """Where some of a pack's words or numbers come from."""

    what: Name
    """The part of the pack."""
    origin: Annotated[Name, Field(alias="from")]
    """Who wrote it, or the data it comes from, with an address."""
    licence: Name
    """The licence of that."""
    checked: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    """The day on which origin and licence were looked at, as YYYY-MM-DD."""


class PackModel(Strict):
    """A model that the pack was tried with."""

    role: Literal["small", "large"]
    """`small`: answers first; `large`: takes what the gate sends on."""
    source: Name | None = None
    """A local model, as `source` in a job file; null: a hosted model of your choice."""
    prompt: Prompt = Prompt()
    """The prompt form in which it was tried; what is left out comes from the catalogue."""
    context: Annotated[int, Field(ge=256)] | None = None
    """Tokens that prompt and text may take together, where the model's own number does not do."""
    why: Name
    """Why this model, in a sentence."""


class PackHead(Strict):
    """What was learned of labelled rows: a calibration, as `tekizai calibrate` leaves it."""

    folder: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] = "head"
    """The folder in the pack with calibration.json and calibration.safetensors."""
    model: Name | None = None
    """The model whose scores it reads, as `source` in a job file; null: it reads the text alone."""
    trained_on: Name
    """The rows it was trained on."""
    licence: Name
    """The licence of those rows."""


class Pack(Strict):
    """What is in a `pack.yaml`."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    """The pack's name: lower-case letters, digits and hyphens."""
    summary: Name
    """What it tells of a text, in a sentence."""
    languages: Annotated[tuple[LanguageCode, ...], NotEmpty]
    """Codes of the languages of the texts that it is for."""
    licence: Name
    """The licence of the pack as a whole."""
    sources: Annotated[tuple[PackSource, ...], NotEmpty]
    """Where its words and numbers come from."""
    task: Task
    """What is asked, as in a job file; examples are listed."""
    models: tuple[PackModel, ...] = ()
    """Models that it was tried with."""
    head: PackHead | None = None
    """What was learned of one of them; null: nothing."""
    measured: Name
    """What was measured, in a sentence or two; the figures are in the pack's README.md."""

    @field_validator("task")
    @classmethod
    def _examples_are_listed(cls, task: Task) -> Task:
        if not isinstance(task.examples, tuple):
            says = "name a file, which a pack does not carry; list examples, or name the file in the job"
            refuse([(("examples",), says, None)])
        return task

    @model_validator(mode="after")
    def _head_has_a_model(self) -> Pack:
        known = [one.source for one in self.models if one.source is not None]
        if self.head is not None and self.head.model not in {*known, None}:
            says = "is none of `models`; add it there"
            refuse([(("head", "model"), says, self.head.model)])
        return self


@dataclass(frozen=True, slots=True)
class FoundPack:
    """A pack in its folder."""

    pack: Pack
    folder: str
    """Path or URL of the folder."""
    digest: str
    """16 hexadecimal digits of its pack.yaml and, where there is one, its head."""

    @property
    def head(self) -> str | None:
        """Path or URL of its head's folder."""
        return None if self.pack.head is None else f"{self.folder}/{self.pack.head.folder}"


def shipped_packs() -> dict[str, Path]:
    """The packs that ship with Tekizai: their folders by name, in alphabetical order."""
    folders = sorted(asset_path(_DOMAINS).iterdir())
    return {path.name: path for path in folders if (path / PACK_FILE).is_file()}


def pack_folder(given: str) -> str:
    """The folder of a pack, given by name, or by the path or URL of a folder or of its pack.yaml.

    Raises `JobError` for a name that no shipped pack has.
    """
    if "/" in given or given in {".", ".."}:
        return given.removesuffix(f"/{PACK_FILE}").rstrip("/") or "/"
    known = shipped_packs()
    if given not in known:
        line = f"pack {shown(given) or '(not shown)'} does not ship with Tekizai; {suggestion(given, known)}"
        raise JobError([f"{line} (a folder of your own: write ./FOLDER)"])
    return str(known[given])


def find_pack(given: str, read: ReadFile) -> FoundPack:
    """Read a pack that is named as in `pack_folder`. Raises `JobError` with what is wrong, and where."""
    folder = pack_folder(given)
    path = f"{folder}/{PACK_FILE}"
    text = _read(path, read, f"give a folder with a {PACK_FILE}")
    pack = parse_pack(text, name=path)
    digest = hashlib.blake2b(text, digest_size=_DIGEST_BYTES, person=b"tekizai.pack")
    found = FoundPack(pack, folder, "")
    for name in HEAD_FILES if found.head is not None else ():
        digest.update(_read(f"{found.head}/{name}", read, f"`head` in {PACK_FILE} promises it"))
    return FoundPack(pack, folder, digest.hexdigest())


def _read(path: str, read: ReadFile, fix: str) -> bytes:
    try:
        return read(path)
    except FileNotFoundError:
        raise JobError([f"{path}: no such file; {fix}"]) from None
    except OSError as error:
        raise JobError(
            [f"{path}: cannot be read ({error.strerror or error}); check its permissions"]
        ) from None


def parse_pack(text: bytes, *, name: str) -> Pack:
    """The pack in the bytes of a pack.yaml, which `name` stands for in messages.

    Raises `JobError` with a line for everything that is wrong.
    """
    try:
        data = read_yaml(text.decode("utf-8-sig"), name)
    except UnicodeDecodeError as error:
        raise JobError([f"{name}: not UTF-8 (at byte {error.start}); save it as UTF-8"]) from None
    except RecursionError:
        raise JobError([f"{name}: nested too deeply, or an alias inside its own anchor"]) from None
    if not isinstance(data, dict):
        raise JobError([f"{name}: not a pack; give keys with values, such as name, summary and task"])
    try:
        return Pack.model_validate(data)
    except ValidationError as error:
        problems = explain(error.errors(include_url=False), Pack.model_json_schema(), {})
        raise JobError(problem.line(name) for problem in problems) from None


def task_values(pack: Pack) -> dict[str, Any]:
    """The pack's task as values of a job file: what has its default is left out."""
    values: dict[str, Any] = pack.task.model_dump(mode="json", exclude_defaults=True)
    return values


def overridden(values: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A pack's task with what a job file says beside `pack`; and names of labels that the pack lacks.

    `labels` may be a list of the pack's own labels' names: then the others go, and so do their examples.
    """
    merged, chosen = {**values, **given}, given.get("labels")
    if not isinstance(chosen, list) or not all(isinstance(one, str) for one in chosen):
        return merged, []
    known = {label["name"]: label for label in values.get("labels", ())}
    merged["labels"] = [known.get(name, {"name": name}) for name in chosen]
    if "examples" not in given:
        merged["examples"] = [one for one in values.get("examples", ()) if _within(one["label"], chosen)]
    return merged, [name for name in chosen if name not in known]


def _within(label: str | list[str], chosen: list[str]) -> bool:
    return label in chosen if isinstance(label, str) else set(label) <= set(chosen)
