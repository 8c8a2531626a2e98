"""The models that `tekizai models` is given: a file, a job file's `source`, or a name of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from router.adapters import AdaptedModel, adapted_models
from router.assets import asset_path
from router.catalogue import load_catalogue
from router.job import Adapter, LlamaCppModel, When
from transforms.adapter_files import known_adapter
from transforms.llama_adapter import ModelFileError
from transforms.model_files import fetch_model
from transforms.quantize_model import describe_model

if TYPE_CHECKING:
    from transforms.quantize_model import ModelFile


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model on this machine."""

    given: str
    source: str
    """What a job file would say."""
    file: ModelFile
    adapter: AdaptedModel | None = None
    """The model with the adapter that was named with it."""

    @property
    def model(self) -> LlamaCppModel:
        """What a job file would make of it."""
        return self.adapter or LlamaCppModel(engine="llama_cpp", source=self.source)

    @property
    def path(self) -> Path:
        """Its file."""
        return Path(self.file.path)

    @property
    def stem(self) -> str:
        """What files made from it are called before the format: the source's own name, without .gguf.

        A name by which the catalogue knows the source stays in it, so that they are asked in the same way.
        """
        scheme, _, rest = self.source.rpartition("://")
        remote = bool(scheme) and scheme not in {"pypi", "file", "local"}
        name = rest.partition("?")[0].rpartition("/")[2] if remote else self.path.name
        name = name.removesuffix(".gguf") or "model"
        catalogue = load_catalogue(asset_path("configs/models.yaml"))
        entry = catalogue.entry(self.source)
        return name if catalogue.entry(name) is entry else f"{entry.match}-{name}"


def find_adapted(given: str) -> FoundModel:
    """The same as `find_model`; `MODEL+ADAPTER` is a model with a LoRA adapter on it, by its path or URL."""
    base, plus, path = given.rpartition("+")
    if not plus or Path(given).expanduser().exists():
        return find_model(given)
    found = find_model(base)
    adapter = Adapter(when=When(characters_above=0), path=path)
    [(_, adapted)] = adapted_models(base, found.model.model_copy(update={"adapters": (adapter,)}))
    try:
        pinned = adapted.pinned(known_adapter(adapted, local=True))
    except ModelFileError as error:
        raise ModelFileError(f"{given}: {str(error).partition(': ')[2]}") from error
    return replace(found, given=given, adapter=pinned)


def find_model(given: str) -> FoundModel:
    """Bring a model to this machine and look at it. Raises `ModelFileError` with what to do."""
    catalogue = load_catalogue(asset_path("configs/models.yaml"))
    source = given
    if "://" not in given and not Path(given).expanduser().exists():
        known = catalogue.source(given)
        if known is None:
            raise ModelFileError(
                f"{given}: no such file, and no model of the catalogue ({', '.join(catalogue.names)}); give "
                "one of these, the path of a .gguf file, or what `source` in a job file may be"
            )
        source = known
    try:
        path = fetch_model("", LlamaCppModel(engine="llama_cpp", source=source))
    except ModelFileError as error:
        raise ModelFileError(str(error).removeprefix("models..source: ")) from error
    return FoundModel(given, source, describe_model(path))
