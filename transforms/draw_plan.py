"""What a plan reads of an input before it asks a model: a census and records to ask about, in a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import fsspec

from router.census import Census, census_of, census_value
from router.pilot import Pilot, read_pilot, write_pilot
from router.repeats import Role, unpack_repeats

if TYPE_CHECKING:
    from router.records import Work


@dataclass(frozen=True, slots=True)
class PlanDraw:
    """An input as the plan sees it."""

    census: Census
    pilot: Pilot
    """A uniform sample of the records that models have to answer; copies of a text are not among them."""
    sample: tuple[Work, ...]
    """The calibration sample that a run would ask about."""
    places: tuple[int, ...]
    """Where each of the pilot's records stands in the order of a run's pilot, which has the copies too."""


def save_draw(
    _: object,
    census: Sequence[Census],
    pilots: Sequence[Pilot],
    sample: Sequence[Work],
    repeats: Iterable[bytes],
    url: str,
) -> None:
    """Write what was drawn to a file for `read_draw`."""
    [pilot] = pilots or [Pilot((), 0, 0)]
    [counted] = census or [Census()]
    wanted = {work.record.position for work in pilot.works}
    copies = {
        one.position
        for packed in repeats
        for one in unpack_repeats(packed)
        if one.role is Role.COPY and one.position in wanted
    }
    places = [place for place, work in enumerate(pilot.works) if work.record.position not in copies]
    works = tuple(pilot.works[place] for place in places)
    filesystem, path = fsspec.core.url_to_fs(url)
    filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
    # In the order of a digest, because a runner promises none and the means depend on it.
    ordered = tuple(sorted(sample, key=lambda work: (work.route.model, work.record.position)))
    with filesystem.open(path, "wb") as stream:
        first = {**census_value(counted), "sampled": len(ordered), "places": places}
        stream.write(json.dumps(first).encode() + b"\n")
        stream.writelines(list(write_pilot(Pilot(ordered, len(ordered), len(ordered))))[1:])
        stream.writelines(write_pilot(replace(pilot, works=works)))


def read_draw(lines: Iterable[bytes]) -> PlanDraw:
    """The draw of `save_draw`'s lines. Raises `ValueError` for others."""
    first, *rest = lines
    value = json.loads(first)
    count, places = value.pop("sampled"), tuple(value.pop("places"))
    empty = list(write_pilot(Pilot((), 0, 0)))
    sample = read_pilot([*empty, *rest[:count]]).works
    return PlanDraw(census_of(value), read_pilot(rest[count:]), sample, places)
