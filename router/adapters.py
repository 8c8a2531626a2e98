"""A local model with an adapter on it, which answers under a name of its own: `MODEL+ADAPTER`.

To everything that asks, counts, prices or calibrates models it is another model; that it has its weights from
another one is known to those who load it (`transforms.lora_model`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router.job_models import LlamaCppModel, Model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from router.job_adapters import Adapter
    from router.job_base import Name


class AdaptedModel(LlamaCppModel):
    """A model of the job file with one of its adapters; no job file holds it."""

    base: Name
    """The model's name."""
    number: int
    """The adapter's place among those of the model."""
    adapter: Adapter

    @property
    def place(self) -> str:
        """Where the adapter stands in the job file."""
        return f"models.{self.base}.adapters[{self.number}]"

    def pinned(self, sha256: str) -> AdaptedModel:
        """The same with the digest of the very file, which workers then check and journals are named by."""
        return self.model_copy(update={"adapter": self.adapter.model_copy(update={"sha256": sha256})})


class ModelsByName(dict[str, Model]):
    """The models of a job file. `models["NAME+ADAPTER"]` gives the one with its adapter, which is not listed.

    Not listed, because what is listed is what the file says: it is written into manifests and read again.
    """

    def __init__(self, models: Mapping[str, Model]) -> None:
        """Derive the models with adapters."""
        super().__init__(models)
        self._adapted = {name: model for base in models for name, model in adapted_models(base, models[base])}

    def __missing__(self, name: str) -> AdaptedModel:
        """The model with an adapter. Raises `KeyError` for a name that nothing has."""
        return self._adapted[name]


def adapted_models(base: str, model: Model) -> Iterator[tuple[str, AdaptedModel]]:
    """A model of a name with each of its adapters, by the names under which they answer."""
    for number, adapter in enumerate(adapters_of(model)):
        fields: dict[str, Any] = {name: getattr(model, name) for name in type(model).model_fields}
        fields |= {"adapters": (), "base": base, "number": number, "adapter": adapter}
        # What is in it was checked with the job.
        yield adapted_name(base, adapter), AdaptedModel.model_construct(**fields)


def adapters_of(model: Model) -> tuple[Adapter, ...]:
    """The adapters of a model; one behind an endpoint has none."""
    return model.adapters if isinstance(model, LlamaCppModel) else ()


def adapted_name(model: str, adapter: Adapter) -> str:
    """Under which name a model answers with an adapter."""
    return f"{model}+{adapter.title}"


def names_of(name: str, model: Model) -> list[str]:
    """All names under which a model answers: its own first."""
    return [name, *(adapted_name(name, adapter) for adapter in adapters_of(model))]


def section_of(name: str, model: Model) -> str:
    """Under which name a model's settings stand in the job file."""
    return model.base if isinstance(model, AdaptedModel) else name
