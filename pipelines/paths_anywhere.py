"""What a job names by relative paths, for workers that run in folders of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from router.adapters import AdaptedModel
from router.job import OpenAIModel
from transforms.files import absolute

if TYPE_CHECKING:
    from router.job import LlamaCppModel
    from transforms.route_records import RouterPlace


def model_anywhere(model: LlamaCppModel | OpenAIModel) -> LlamaCppModel | OpenAIModel:
    """The model with the absolute paths of its file and its adapter's, where it has them."""
    if isinstance(model, OpenAIModel):
        return model
    paths: dict[str, object] = {"source": absolute(model.source)}
    if isinstance(model, AdaptedModel):
        paths["adapter"] = model.adapter.model_copy(update={"path": absolute(model.adapter.path)})
    return model.model_copy(update=paths)


def router_anywhere(router: RouterPlace) -> RouterPlace:
    """The router with the absolute paths of its parts, where it has any."""
    return replace(
        router,
        heads=None if router.heads is None else absolute(router.heads),
        encoder=None if router.encoder is None else absolute(router.encoder),
    )
