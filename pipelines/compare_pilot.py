"""The part of a run's pilot that a comparison looks at: how much of it, and what is left to certify on.

Models are chosen by their answers to some records, and on those the chosen ones look better than on others.
So a run that takes the proposal over must not certify its gate on them (`calibration.pilot.compared`): they
are the first of its pilot, and train.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from router import pilot_size
from router.proposal import least_records

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipelines.annotate import Plan
    from pipelines.pilot_run import PilotRun
    from router.escalation import Terms
    from router.job import Job
    from router.records import Position, Work
    from transforms.draw_plan import PlanDraw

_ELSEWHERE = ("artefact", "drift")
"""What goes with a calibration that was made for another routing."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that a local model takes for a record, judged by a few."""

    low: float
    usual: float
    high: float

    @classmethod
    def of(cls, took: Sequence[float]) -> Pace:
        """From what some records took: with 8, the median of all is between both ends 93 times in 100."""
        if not took:
            return cls(0.0, 0.0, 0.0)
        ordered = sorted(took)
        # The first record takes the prompt's beginning too, which the others share: it is the slowest.
        at = len(ordered) // 8
        return cls(ordered[at], median(ordered), ordered[-1 - at])


@dataclass(frozen=True, slots=True)
class Room:
    """The records that a run's pilot can take, and the promise that it is to certify on some of them."""

    places: Mapping[Position, int]
    """Where records stand in the pilot's order, from 0 on."""
    records: int
    job: int
    gold: bool
    """Whether a gold column is the oracle, which answers nothing."""
    terms: Terms
    fixed: int | None
    """Records that certify, where the job says how many."""

    @classmethod
    def of(cls, draw: PlanDraw, job: Job, terms: Terms, *, gold: bool) -> Room:
        """That of a drawn pilot."""
        places = {
            work.record.position: place for work, place in zip(draw.pilot.works, draw.places, strict=True)
        }
        pilot = draw.pilot
        return cls(places, pilot.records, pilot.job, gold, terms, job.calibration.pilot.certify)

    def compared(self, works: Sequence[Work]) -> int:
        """How many records of the pilot, from its first one on, have all of these among them."""
        return 1 + max((self.places[work.record.position] for work in works), default=-1)

    def suffices(self, compared: int) -> bool:
        """Whether a run that certifies on none of the first so many can certify anything."""
        job = self.records - compared if self.gold else self.job
        terms = pilot_size.Terms(self.terms.target, self.terms.delta, self.records, job)
        return pilot_size.can_certify(terms, compared, fixed=self.fixed)

    def too_few_left(self, works: Sequence[Work]) -> str | None:
        """Why a run could not certify on what these leave, and what to do; None where it could."""
        compared = self.compared(works)
        if self.suffices(compared):
            return None
        most = next((size for size in range(compared, 0, -1) if self.suffices(size)), 0)
        fits = sum(self.places[work.record.position] < most for work in works)
        if fits >= least_records(self.terms.target, self.terms.delta):
            fix = f"compare {fits:,} at most with --records, or give a larger input"
        else:
            fix = "the input is too small to choose on some and to certify on others: give a larger one"
        return (
            f"a run can draw {self.records:,} records; {compared:,} of them are compared, and the "
            f"{max(0, self.records - compared):,} others are too few to certify {self.terms.target:g} on, so "
            f"it would trust no small model; {fix}"
        )


def uncompared_adapters(plan: Plan) -> dict[str, str]:
    """SHA-256 of the adapters that were not among those compared, by their places: they change the order."""
    known = {one.lower() for one in plan.job.calibration.pilot.adapters}
    return {place: digest for place, digest in plan.adapters.items() if digest.lower() not in known}


def check_order(plan: Plan) -> None:
    """Raise `ValueError` where the first records of the pilot are others than those that were compared."""
    if plan.job.calibration.pilot.compared is not None:
        for place, digest in uncompared_adapters(plan).items():
            raise ValueError(
                f"calibration.pilot: {place} is another adapter ({digest[:12]}…) than those that were "
                "compared. Adapters settle the pilot's order, so `compared` counts other records than those "
                "that have chosen the models. Run `tekizai models compare` again and take its `calibration`. "
                "If no comparison has chosen these models, leave out `compared` and `adapters`"
            )


def with_compared(run: PilotRun, compared: int) -> PilotRun:
    """The same with a job that tells how many records of its pilot have been compared, in all comparisons."""
    job, used = run.plan.job, set(run.plan.adapters.values())
    pilot = job.calibration.pilot
    changes = {
        "compared": max(compared, pilot.compared or 0),
        "adapters": tuple(sorted(used.union(one.lower() for one in pilot.adapters))),
    }
    calibration = job.calibration.model_copy(update={"pilot": pilot.model_copy(update=changes)})
    return replace(run, plan=replace(run.plan, job=job.model_copy(update={"calibration": calibration})))


def calibration_of(job: Job) -> dict[str, Any]:
    """The `calibration` that goes with a proposed routing: what the job file says, and what was compared."""
    said = job.calibration.model_dump(mode="json", exclude_defaults=True)
    return {name: value for name, value in said.items() if name not in _ELSEWHERE}
