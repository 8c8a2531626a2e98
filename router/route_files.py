"""The router's heads as files: a card that people can read, and the weights as safetensors."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.numpy import load, save

from router.route_head import RouteHead
from router.route_labels import HEADS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

FORMAT = 1
CARD, WEIGHTS = "router.json", "heads.safetensors"
_PARTS = ("dense", "ngrams", "intercept")


@dataclass(frozen=True, slots=True, eq=False)
class RouteHeads:
    """The heads that were trained on one encoder, with what is to be known of each."""

    encoder: str
    """Digest of the encoder whose vectors they look at (`EncoderCard.digest`)."""
    heads: Mapping[str, RouteHead]
    about: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By head: rows, where they came from, accuracy on held-back rows."""


def write_heads(found: RouteHeads) -> dict[str, bytes]:
    """The files of an artefact by name."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    cards: dict[str, Any] = {}
    for name, head in found.heads.items():
        for part in _PARTS:
            arrays[f"{name}.{part}"] = getattr(head, part)
        cards[name] = {
            "labels": list(head.labels),
            "temperature": head.temperature,
            **found.about.get(name, {}),
        }
    card = {"format": FORMAT, "encoder": found.encoder, "heads": cards}
    return {CARD: json.dumps(card, indent=1, ensure_ascii=False).encode() + b"\n", WEIGHTS: save(arrays)}


def read_heads(card: bytes, weights: bytes) -> RouteHeads:
    """What `write_heads` wrote. Raises `ValueError` with what is wrong and what to do."""
    try:
        said = json.loads(card)
        _check_format(said.get("format"))
        arrays = load(weights)
        heads = {name: _head(name, one, arrays) for name, one in said["heads"].items() if name in HEADS}
        about = {
            name: {key: value for key, value in one.items() if key not in {"labels", "temperature"}}
            for name, one in said["heads"].items()
        }
        return RouteHeads(said["encoder"], heads, about)
    except (KeyError, TypeError, AttributeError, ValueError, SafetensorError) as error:
        raise ValueError(
            f"cannot be read ({type(error).__name__}: {error}); train the router anew"
        ) from error


def _check_format(found: object) -> None:
    if found != FORMAT:
        raise ValueError(f"format {found!r}, this version reads {FORMAT}")


def _head(name: str, said: Mapping[str, Any], arrays: Mapping[str, Any]) -> RouteHead:
    return RouteHead(
        labels=tuple(said["labels"]),
        dense=arrays[f"{name}.dense"],
        ngrams=arrays[f"{name}.ngrams"],
        intercept=arrays[f"{name}.intercept"],
        temperature=said["temperature"],
    )
