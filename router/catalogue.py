"""The model catalogue: in which form each local model is best asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from router.number_formats import NumberFormat
from router.prompts import PromptForm

if TYPE_CHECKING:
    import pathlib

    from router.job import LlamaCppModel


class FormEntry(BaseModel):
    """A prompt form; `auto` is chat where the model carries a template, else plain."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: Literal["plain", "chat", "auto"]
    opening: str


class CatalogueEntry(BaseModel):
    """What is known of a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    match: str
    name: str
    source: str | None = None
    """Where it comes from as a package; None where that is not known."""
    licence: str
    languages: str
    without_examples: FormEntry
    with_examples: FormEntry
    pack: Annotated[int, Field(ge=1, le=64)] = 1
    """The most records to evaluate together; 1 where that was found to gain nothing, or was not measured."""
    pack_as: dict[NumberFormat, Annotated[int, Field(ge=1, le=64)]] = {}
    """The same where the job file asks for the model in one of these number formats."""


class Catalogue(BaseModel):
    """The entries, in the order in which they are tried."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    catalogue: tuple[CatalogueEntry, ...]

    def entry(self, source: str) -> CatalogueEntry:
        """The first entry whose `match` is part of the source, ignoring case."""
        return next(entry for entry in self.catalogue if entry.match.lower() in source.lower())

    def source(self, name: str) -> str | None:
        """Where the model of that name (its `match`) comes from; None where no entry says it."""
        wanted = name.lower()
        return next(
            (one.source for one in self.catalogue if one.source and one.match.lower() == wanted), None
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names that `source` knows."""
        return tuple(one.match for one in self.catalogue if one.source)

    @field_validator("catalogue")
    @classmethod
    def _ends_with_the_rest(cls, entries: tuple[CatalogueEntry, ...]) -> tuple[CatalogueEntry, ...]:
        if not entries or entries[-1].match:
            raise ValueError("the last entry must be for every other model (match: '')")
        return entries


def load_catalogue(path: pathlib.Path) -> Catalogue:
    """Read the catalogue. Raises `ValueError` where it is not one."""
    try:
        return Catalogue.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{path}: not a model catalogue: {error}") from error


def records_together(entry: CatalogueEntry, model: LlamaCppModel) -> int:
    """The most records that a model evaluates together: the job file's word first, then the catalogue's."""
    if model.pack == "auto":
        return entry.pack if model.format is None else entry.pack_as.get(model.format, entry.pack)
    return 1 if model.pack == "off" else model.pack


def choose_form(
    entry: CatalogueEntry, model: LlamaCppModel, *, examples: bool, has_template: bool
) -> PromptForm:
    """The form to ask a model in: the job file's words first, then the catalogue's."""
    known = entry.with_examples if examples else entry.without_examples
    form = model.prompt.form or known.form
    if form == "auto":
        form = "chat" if has_template else "plain"
    opening = known.opening if model.prompt.opening is None else model.prompt.opening
    return PromptForm(form, opening)
