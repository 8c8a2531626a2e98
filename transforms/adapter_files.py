"""From a job's adapters to GGUF files on this machine that fit the models they are for."""

from __future__ import annotations

import hashlib
import pathlib
import re
from typing import TYPE_CHECKING

from transforms.gguf_header import read_header
from transforms.llama_adapter import ModelFileError
from transforms.model_files import fetch_file, fetch_model, file_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from router.adapters import AdaptedModel
    from transforms.gguf_header import GgufHeader, TensorHeader

BASE_DIGEST = "tekizai.base_norms_sha256"
"""The setting of an adapter's file that says which weights it was trained on: `norms_digest` of its base."""
_BASE_NAME = re.compile(r"general\.base_model\.\d+\.(name|repo_url)")
_HALVES = (".lora_a", ".lora_b")
_EMBEDDINGS = "token_embd.weight"
_NUMBER_BYTES = 4


def fetch_adapter(model: AdaptedModel) -> pathlib.Path:
    """Path of a model's adapter, brought to this machine where needed; its digest is checked.

    Raises `ModelFileError`, one line that says which adapter, what is wrong and what to do.
    """
    return fetch_file(model.place, "path", model.adapter.path, model.adapter.sha256)


def known_adapter(model: AdaptedModel, *, local: bool) -> str:
    """SHA-256 of a model's adapter that fits it; of one that only workers elsewhere have, what the job says.

    Raises `ModelFileError` where it is another model's, and where there is no file and nothing says it.
    """
    path = pathlib.Path(model.adapter.path)
    if local or "://" in model.adapter.path or path.expanduser().exists():
        found = fetch_adapter(model)
        source = pathlib.Path(model.source)
        if local or "://" in model.source or source.expanduser().exists():
            check_adapter(model, found, fetch_model(model.base, model))
        return file_digest(found)
    if model.adapter.sha256 is None:
        raise ModelFileError(
            f"{model.place}.path: {path}: no such file on this machine; if the workers have it, say which it "
            "is by its sha256"
        )
    return model.adapter.sha256.lower()


def check_adapter(model: AdaptedModel, path: pathlib.Path, base: pathlib.Path) -> None:
    """Raise `ModelFileError` unless the adapter in a file is one for the base in another."""
    wrong = misfit(read_header(path), read_header(base), base, model.adapter.made_for)
    if wrong is not None:
        raise ModelFileError(f"{model.place}.path: {path} does not fit models.{model.base} ({base}): {wrong}")


def misfit(
    adapter: GgufHeader, base: GgufHeader, base_file: pathlib.Path, made_for: str | None = None
) -> str | None:
    """Why an adapter cannot be used on a base, and what to do; None where it can."""
    kind = adapter.text("general.type") or "model"
    if kind != "adapter":
        return f"it is a whole {kind}, not an adapter; give it as a model of its own, in `source`"
    method = adapter.text("adapter.type")
    if method != "lora":
        return f"it is an adapter of the kind {method!r}; give a LoRA adapter"
    mine, its = adapter.text("general.architecture"), base.text("general.architecture")
    if mine != its:
        return f"it is for the architecture {mine!r}, and the model's is {its!r}; {_FIX}"
    return _wrong_shape(adapter, base) or _wrong_base(adapter, base, base_file, made_for)


_FIX = "give one that was made for this model, or give it to the model it was made for"


def _wrong_shape(adapter: GgufHeader, base: GgufHeader) -> str | None:
    pairs = {name.removesuffix(half) for name in adapter.tensors for half in _HALVES if name.endswith(half)}
    odd = next((name for name in adapter.tensors if not name.endswith(_HALVES)), None)
    if odd is not None or not pairs:
        return f"it holds {odd or 'no matrices'}, which is no part of a LoRA adapter; convert it again"
    for name in sorted(pairs):
        a, b = (adapter.tensors.get(f"{name}{half}") for half in _HALVES)
        if a is None or b is None:
            return f"one half of {name} is missing; convert it again"
        weights = base.tensors.get(name)
        if weights is None:
            return f"it changes {name}, which the model does not have; {_FIX}"
        if not _fits(name, weights, a, b):
            shape = " x ".join(map(str, weights.shape))
            changed = f"{a.shape[0]} x {b.shape[-1]}"
            return f"{name} is {shape} in the model, and the adapter's is {changed}; {_FIX}"
    return None


def _fits(name: str, weights: TensorHeader, a: TensorHeader, b: TensorHeader) -> bool:
    if name == _EMBEDDINGS:
        # A table is looked up, not multiplied: llama.cpp has its halves the other way round.
        return weights.shape == (b.shape[-1], a.shape[-1])
    return weights.shape == (a.shape[0], b.shape[-1]) and a.shape[-1] == b.shape[0]


def _wrong_base(
    adapter: GgufHeader, base: GgufHeader, base_file: pathlib.Path, made_for: str | None
) -> str | None:
    digest = adapter.text(BASE_DIGEST)
    named = {value for key, value in adapter.settings.items() if _BASE_NAME.fullmatch(key)}
    made = sorted(str(name) for name in named)
    if digest is not None:
        if digest == norms_digest(base_file, base):
            return None
        return f"it was trained on other weights ({', '.join(made) or digest[:16]}); {_FIX}"
    known = {_plain(name) for name in _names(base)}
    if not made or not known or known & {_plain(name) for name in made} or made_for in made:
        return None
    title = base.text("general.name") or base.text("general.basename")
    return (
        f"it says that it was made for {made[0]!r}, and the model calls itself {title!r}; {_FIX}. If both "
        f"are the same, write made_for: {made[0]!r} beside its path"
    )


def _names(base: GgufHeader) -> Iterator[str]:
    """What a model's file calls the model."""
    for key in ("general.name", "general.repo_url", "general.source.repo_url"):
        if name := base.text(key):
            yield name
    parts = [base.text(f"general.{part}") for part in ("basename", "size_label", "finetune", "version")]
    if parts[0]:
        yield " ".join(part for part in parts if part)


def _plain(name: str) -> str:
    """A model's name without what differs between writings of it."""
    return re.sub(r"[^a-z0-9]", "", name.lower().rpartition("huggingface.co/")[2]).removesuffix("gguf")


def norms_digest(path: pathlib.Path, header: GgufHeader) -> str:
    """A digest that a model has in every number format: of its vectors, which no format rounds.

    They are the scales and biases between the matrices; two trainings have the same only where neither
    changed them.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for name in sorted(header.tensors):
            one = header.tensors[name]
            if len(one.shape) == 1 and one.kind == "f32":
                stream.seek(one.begin)
                digest.update(name.encode() + b"\0" + stream.read(one.shape[0] * _NUMBER_BYTES))
    return digest.hexdigest()
