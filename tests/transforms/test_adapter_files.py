"""Bringing adapters to this machine, and refusing those that were made for another model."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from router.adapters import AdaptedModel, ModelsByName
from router.job import LlamaCppModel
from tests.adapters import adapter_file, random_lora
from tests.models import GEMMA, SMOLLM2, model_path
from tests.transforms.gguf_examples import gguf, number_setting, tensor, text_setting
from transforms.adapter_files import (
    BASE_DIGEST,
    check_adapter,
    fetch_adapter,
    known_adapter,
    misfit,
    norms_digest,
)
from transforms.gguf_header import read_header
from transforms.llama_adapter import ModelFileError
from transforms.model_format import in_format
from transforms.write_adapter import LoraPair, as_tensors, reordered, write_adapter

if TYPE_CHECKING:
    import pathlib

SETTINGS = (
    ("general.type", text_setting("adapter")),
    ("adapter.type", text_setting("lora")),
    ("general.architecture", text_setting("llama")),
)
NAMED = ("general.base_model.0.name", text_setting("Small-1B Instruct"))
A, B = tensor("up.weight.lora_a", 0, 4, 2), tensor("up.weight.lora_b", 0, 2, 6)


def adapted(path: object, source: object = f"pypi://{SMOLLM2}", **fields: object) -> AdaptedModel:
    """A model `small` whose only adapter is in a file."""
    one = {"when": {"languages": ["en"]}, "path": str(path), "name": "mine", **fields}
    model = LlamaCppModel.model_validate({"engine": "llama_cpp", "source": str(source), "adapters": [one]})
    found = ModelsByName({"small": model})["small+mine"]
    assert isinstance(found, AdaptedModel)
    return found


def base_file(folder: pathlib.Path, name: str = "Small 1B Instruct GGUF") -> pathlib.Path:
    """A model of one matrix of 4 inputs and 6 outputs."""
    path = folder / "base.gguf"
    settings = [("general.architecture", text_setting("llama")), ("general.name", text_setting(name))]
    path.write_bytes(gguf(settings, [tensor("up.weight", 2, 4, 6), tensor("norm.weight", 0, 4)]) + bytes(64))
    return path


def wrong(
    folder: pathlib.Path,
    *,
    settings: object = SETTINGS,
    tensors: object = (A, B),
    made_for: str | None = None,
) -> str | None:
    """What is wrong with an adapter for that model."""
    path, base = folder / "adapter.gguf", base_file(folder)
    path.write_bytes(gguf(settings, tensors))  # type: ignore[arg-type]
    return misfit(read_header(path), read_header(base), base, made_for)


def test_an_adapter_of_the_right_shape_fits(tmp_path: pathlib.Path) -> None:
    """Named for the same base in another writing, or for none."""
    assert wrong(tmp_path) is None
    assert wrong(tmp_path, settings=(*SETTINGS, NAMED)) is None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (SETTINGS[1:], "it is a whole model, not an adapter; give it as a model of its own, in `source`"),
        ((SETTINGS[0], SETTINGS[2]), "it is an adapter of the kind None; give a LoRA adapter"),
        (
            (*SETTINGS[:2], ("general.architecture", text_setting("gemma3"))),
            "for the architecture 'gemma3', and the model's is 'llama'",
        ),
        (
            (*SETTINGS, ("general.base_model.0.name", text_setting("Other 1B"))),
            (
                "made for 'Other 1B', and the model calls itself 'Small 1B Instruct GGUF'; "
                "give one that was made for this model"
            ),
        ),
        (
            (*SETTINGS, NAMED, (BASE_DIGEST, text_setting("ab" * 32))),
            "it was trained on other weights (Small-1B Instruct)",
        ),
    ],
)
def test_what_an_adapter_says_of_itself_is_compared(
    tmp_path: pathlib.Path, settings: object, says: str
) -> None:
    """Its kind, its architecture, and the base that it names."""
    assert says in (wrong(tmp_path, settings=settings) or "")


def test_who_knows_better_than_a_name_says_so(tmp_path: pathlib.Path) -> None:
    """A digest is not to be talked out of."""
    other = ("general.base_model.0.name", text_setting("Other 1B"))

    assert "write made_for: 'Other 1B' beside its path" in (
        wrong(tmp_path, settings=(*SETTINGS, other)) or ""
    )
    assert wrong(tmp_path, settings=(*SETTINGS, other), made_for="Other 1B") is None
    digest = (BASE_DIGEST, text_setting("ab" * 32))
    assert wrong(tmp_path, settings=(*SETTINGS, other, digest), made_for="Other 1B") is not None


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ((), "it holds no matrices"),
        ((A,), "one half of up.weight is missing"),
        ((A, B, tensor("up.bias", 0, 6)), "it holds up.bias, which is no part of a LoRA adapter"),
        (
            (tensor("down.weight.lora_a", 0, 4, 2), tensor("down.weight.lora_b", 0, 2, 6)),
            "it changes down.weight, which the model does not have",
        ),
        (
            (tensor("up.weight.lora_a", 0, 5, 2), B),
            "up.weight is 4 x 6 in the model, and the adapter's is 5 x 6",
        ),
        ((A, tensor("up.weight.lora_b", 0, 3, 6)), "up.weight is 4 x 6 in the model"),
    ],
)
def test_shapes_are_compared(tmp_path: pathlib.Path, tensors: object, says: str) -> None:
    """Before llama.cpp does, which says it in its own way."""
    assert says in (wrong(tmp_path, tensors=tensors) or "")


def test_the_digest_of_a_base_is_that_of_its_vectors(tmp_path: pathlib.Path) -> None:
    """Their names and numbers, whatever stands before them in the file."""
    path = base_file(tmp_path)
    expected = hashlib.sha256(b"norm.weight\0" + bytes(16)).hexdigest()

    assert norms_digest(path, read_header(path)) == expected


def test_a_base_in_another_number_format_is_the_same_base(tmp_path: pathlib.Path) -> None:
    """An adapter for the file that ships fits what was made of it; one for the other model does not."""
    base = model_path(SMOLLM2)
    small = in_format(base, "q4_0", tmp_path)
    assert small != base

    check_adapter(adapted("a.gguf"), adapter_file(tmp_path, base), small)
    with pytest.raises(ModelFileError) as caught:
        check_adapter(adapted("a.gguf"), adapter_file(tmp_path, model_path(GEMMA), "other"), small)
    says = str(caught.value)
    assert says.startswith("models.small.adapters[0].path: ")
    assert "does not fit models.small" in says
    assert "it is for the architecture 'gemma3', and the model's is 'llama'" in says


def test_an_adapter_is_fetched_as_a_model_is(tmp_path: pathlib.Path) -> None:
    """Its digest is checked; messages say where in the job file it stands."""
    file = adapter_file(tmp_path, model_path(SMOLLM2))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()

    assert fetch_adapter(adapted(file, sha256=digest)) == file
    assert known_adapter(adapted(file), local=True) == digest
    with pytest.raises(ModelFileError, match=r"models\.small\.adapters\[0\]\.sha256: .* its sha256 is "):
        fetch_adapter(adapted(file, sha256="0" * 64))
    with pytest.raises(
        ModelFileError, match=r"models\.small\.adapters\[0\]\.path: .*nowhere.gguf: no such model file"
    ):
        fetch_adapter(adapted(tmp_path / "nowhere.gguf"))


def test_an_adapter_that_only_workers_have_is_named_by_its_digest(tmp_path: pathlib.Path) -> None:
    """As a model is."""
    gone = tmp_path / "nowhere.gguf"

    assert known_adapter(adapted(gone, sha256="AB" * 32), local=False) == "ab" * 32
    with pytest.raises(ModelFileError, match=r"say which it is by its sha256"):
        known_adapter(adapted(gone), local=False)


def test_rows_of_queries_are_put_in_llama_cpp_s_order() -> None:
    """Two heads of four rows: the halves 0, 1 and 2, 3 of each head by turns."""
    rows = np.arange(8, dtype=np.float32)[:, np.newaxis]

    assert reordered(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_layers_get_llama_cpp_s_names(tmp_path: pathlib.Path) -> None:
    """Only queries and keys are reordered, each by its own number of heads, and only for `llama`."""
    path, layer = tmp_path / "base.gguf", "model.layers.7.self_attn.k_proj"
    pair = LoraPair(np.ones((1, 3), np.float32), np.arange(4, dtype=np.float32)[:, np.newaxis])

    def keys(architecture: str) -> list[float]:
        heads = (f"{architecture}.attention.head_count_kv", number_setting(1))
        path.write_bytes(gguf([("general.architecture", text_setting(architecture)), heads]))
        found = as_tensors({layer: pair}, read_header(path))
        assert sorted(found) == ["blk.7.attn_k.weight.lora_a", "blk.7.attn_k.weight.lora_b"]
        return found["blk.7.attn_k.weight.lora_b"][:, 0].tolist()

    assert keys("llama") == [0, 2, 1, 3]
    assert keys("gemma3") == [0, 1, 2, 3]
    with pytest.raises(ModelFileError, match="lm_head: no layer that an adapter can be on"):
        as_tensors({"lm_head": pair}, read_header(path))


def test_an_adapter_names_its_base(tmp_path: pathlib.Path) -> None:
    """By its name, and by the digest that every number format of it has."""
    base = model_path(GEMMA)
    write_adapter(tmp_path / "money.gguf", random_lora(base), base)

    settings = read_header(tmp_path / "money.gguf").settings
    assert settings["general.base_model.0.name"] == "Gemma 3 270m"
    assert settings[BASE_DIGEST] == norms_digest(base, read_header(base))
    assert (settings["general.type"], settings["adapter.type"], settings["adapter.lora.alpha"]) == (
        "adapter",
        "lora",
        4.0,
    )


def test_a_base_of_an_unknown_architecture_is_refused(tmp_path: pathlib.Path) -> None:
    """Its layers' names and order are not known here."""
    base = tmp_path / "base.gguf"
    base.write_bytes(gguf([("general.architecture", text_setting("mamba"))]))

    with pytest.raises(
        ModelFileError, match=r"'mamba', whose adapters cannot be written here .*convert_lora_to_gguf"
    ):
        write_adapter(tmp_path / "a.gguf", random_lora(model_path(SMOLLM2)), base)
