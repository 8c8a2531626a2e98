"""Asking models about the pilot's records before the main pass; the journal keeps what they say."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import fsspec

from router.pilot import Pilot, write_pilot
from router.records import Work
from transforms.ask_in_batches import Asked, asking
from transforms.journal import flush_all
from transforms.progress import CountProgress


class AskModels(beam.PTransform[Any, Any]):
    """Ask each model about the works that are its own: the journal gets the answers.

    What went wrong comes out, one failure of each model as the pair of its name and the reason.
    """

    def __init__(
        self, handlers: Mapping[str, Asked], asked: Mapping[str, Sequence[Work]], state: str
    ) -> None:
        """`asked` holds the works that each model is asked about; `state` is where progress is noted."""
        super().__init__()
        self._handlers = handlers
        self._asked = asked
        self._state = state

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[tuple[str, str]]:
        """Wire one short chain for each model."""
        failures = tuple(
            pipeline
            | f"Pilot of {name}" >> beam.Create([dataclasses.replace(work, ask=name) for work in works])
            | f"Spread for {name}" >> beam.Reshuffle()
            | f"Ask {name}" >> asking(self._handlers[name])
            | f"Count {name}" >> beam.ParDo(CountProgress(self._state, "asked"))
            | f"Failures of {name}" >> beam.ParDo(FailuresOf())  # type: ignore[no-untyped-call]  # DoFn's own
            for name, works in self._asked.items()
        )
        one = failures | beam.Flatten() | beam.combiners.Sample.FixedSizePerKey(1)
        reasons: beam.PCollection[tuple[str, str]] = one | "Reasons" >> beam.MapTuple(
            lambda name, details: (name, details[0])
        )
        return reasons


class FailuresOf(beam.DoFn):
    """Model and reason of the answers that are none; what was answered is in the journal afterwards."""

    def process(self, work: Work) -> Iterator[tuple[str, str]]:
        """Pass on what failed."""
        for answer in work.answers:
            if answer.failure is not None:
                yield answer.model, answer.detail

    def finish_bundle(self) -> None:
        """Write what the journal holds back on object stores: the driver reads it next."""
        flush_all()


def save_failures(_: object, failures: Iterable[tuple[str, str]], url: str) -> None:
    """Write the reasons to a file."""
    with fsspec.open(url, "wb") as stream:
        stream.write(json.dumps(dict(failures), ensure_ascii=False).encode())


def save_pilot(_: object, pilots: Iterable[Pilot], url: str) -> None:
    """Write the one pilot that was drawn to a file; an empty one where the input has no records."""
    [pilot] = list(pilots) or [Pilot((), 0, 0)]
    filesystem, path = fsspec.core.url_to_fs(url)
    filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
    with filesystem.open(path, "wb") as stream:
        stream.writelines(write_pilot(pilot))
