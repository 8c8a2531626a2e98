"""Asking models about the pilot's records before the main pass; the journal keeps what they say."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import fsspec
from apache_beam.ml.inference.base import RunInference

from router.pilot import Pilot, write_pilot
from router.records import Work

if TYPE_CHECKING:
    from apache_beam.ml.inference.base import ModelHandler


class AskModels(beam.PTransform[Any, Any]):
    """Ask each model about the works that are its own; nothing comes out, the journal has the answers."""

    def __init__(
        self, handlers: Mapping[str, ModelHandler[Work, Work, Any]], asked: Mapping[str, Sequence[Work]]
    ) -> None:
        """`asked` holds, for each model, the works that it is asked about."""
        super().__init__()
        self._handlers = handlers
        self._asked = asked

    def expand(self, pipeline: beam.Pipeline) -> Any:  # noqa: ANN401 - one output for each model
        """Wire one short chain for each model."""
        return [
            pipeline
            | f"Pilot of {name}" >> beam.Create([dataclasses.replace(work, ask=name) for work in works])
            | f"Spread for {name}" >> beam.Reshuffle()
            | f"Ask {name}" >> RunInference(self._handlers[name])
            for name, works in self._asked.items()
        ]


def save_pilot(_: object, pilots: Iterable[Pilot], url: str) -> None:
    """Write the one pilot that was drawn to a file; an empty one where the input has no records."""
    [pilot] = list(pilots) or [Pilot((), 0, 0)]
    filesystem, path = fsspec.core.url_to_fs(url)
    filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
    with filesystem.open(path, "wb") as stream:
        stream.writelines(write_pilot(pilot))
