"""The plan's pilot: records of the very input are answered, so that the plan rests on measured answers.

What is asked here is journaled like everything else, and the run does not ask it again.
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import apache_beam as beam
import fsspec
from apache_beam import pvalue

from pipelines.runner import run_pipeline
from pipelines.students import student_answers
from router.bias import estimate_bias
from router.decide import decide
from router.forecast import Answered, Observed
from router.identity import text_key
from router.records import Answer, Failure, Usage, Work, text_bytes
from transforms.draw_plan import PlanDraw, read_draw, save_draw
from transforms.index_records import IndexRecords

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipelines.pilot_run import PilotRun
    from router.forecast import Path
    from router.verdict import Readings

FIRST, MOST = 300, 1200
"""Records that small models answer: more are asked about until the share of large calls is well known."""
_WELL_KNOWN = 0.04
"""Standard error of that share, as a part of it."""
_PATIENCE = 90.0
"""Seconds after which no more records are asked about."""
LARGE_CALLS = 64
"""Records about which a large model is asked at most."""


@dataclass
class PlanPilot:
    """One pilot on its way."""

    run: PilotRun
    tell: Callable[[str], None]
    answers: dict[tuple[str, bytes], Answer] = field(default_factory=dict)
    """What was said, by model and text key."""
    idle_seconds: float = 0.0
    """What the pipelines took beside the answers."""
    asked_seconds: float = 0.0
    """What all pipelines took in which anything was asked."""
    readings: Readings = field(default_factory=dict)
    """How the small models' scores are read."""

    def _ask(self, asked: dict[str, list[Work]]) -> None:
        """Have answers; those that the journal holds take no time."""
        started, plan = time.monotonic(), self.run.plan
        prompts = {
            name: prompts for name, prompts in plan.opening.prompts.items() if name in plan.small_models
        }
        found = self.run.ask(asked, prompts, learning=plan.opening.features or plan.opening.embedding)
        took = time.monotonic() - started
        new = [answer.usage.seconds for key, answer in found.items() if key not in self.answers]
        self.answers |= found
        if took > _QUICK:
            self.asked_seconds += took
            workers = plan.opening.workers
            self.idle_seconds = max(self.idle_seconds, took - sum(new) / workers)

    def ask_small(self, works: Sequence[Work]) -> None:
        """Have the small models' answers to what is routed to them."""
        plan = self.run.plan
        taken = student_answers(plan.job, plan.students if plan.settled else (), works)
        asked: dict[str, list[Work]] = defaultdict(list)
        for place, work in enumerate(works):
            if work.route.model not in plan.small_models:
                continue
            if place in taken:
                # It stands in the small model's place, so the forecast counts it there.
                key = text_key(work.record.text, work.record.task)
                self.answers[work.route.model, key] = taken[place]
            else:
                asked[work.route.model].append(work)
        self._ask(asked)

    def ask_sample(self, works: Sequence[Work]) -> None:
        """Have the calibration sample's answers, of small models and of a local large one."""
        asked: dict[str, list[Work]] = defaultdict(list)
        for work in works:
            if self.run.plan.is_sampled(work.route.model, work.record.task):
                asked[work.route.model].append(work)
        local = self.run.plan.local_models
        self._ask({name: rows for name, rows in asked.items() if name in local})

    def ask_large(self, works: Sequence[Work], name: str) -> None:
        """Have a large model's answers."""
        self._ask({name: list(works)})

    def answer(self, name: str, work: Work) -> Answer | None:
        """What a model said of a record; None where it was not asked or failed."""
        return self.answers.get((name, text_key(work.record.text, work.record.task)))


_QUICK = 0.5
"""Less than any pipeline takes: then all answers came from the journal."""


def draw_plan(run: PilotRun, size: int, *, gold_only: bool = False) -> PlanDraw:
    """Read the input once: its census, a uniform sample of `size` records, and the calibration sample.

    `gold_only` draws the first from those with a gold label.
    """
    plan, url = run.plan, f"{run.plan.state}/calibration/plan.jsonl"
    sampling = replace(
        plan.sampling, pilot=size, corrections=run.corrections(), gold_only=gold_only, census=True
    )

    def build(pipeline: beam.Pipeline) -> None:
        splits = pipeline | "Splits" >> beam.Create(list(plan.splits)) | beam.Reshuffle()
        index = splits | "Index" >> IndexRecords(plan.reader, sampling, plan.state, infer_types=False)
        start = pipeline | "Start" >> beam.Create([None])
        found = (index.census, index.pilot, index.sample, index.repeats)
        _ = start | "Save" >> beam.Map(save_draw, *map(pvalue.AsList, found), url)

    run_pipeline(build, run.options)
    with fsspec.open(url, "rb") as stream:
        return read_draw(stream)


def read_sample(pilot: PlanPilot, sample: Sequence[Work]) -> Readings:
    """How the small models' scores are read: as the run will, from its calibration sample."""
    if pilot.run.plan.readings is not None:
        pilot.readings = pilot.run.plan.readings
        return pilot.readings
    pilot.ask_sample(sample)
    seen = defaultdict(list)
    for work in sample:
        answer = pilot.answer(work.route.model, work)
        if answer is not None and answer.scores is not None:
            seen[work.route.model, work.record.task].append(answer.scores.probabilities)
    biases = {key: estimate_bias(*key, sorted(rows, key=tuple)) for key, rows in seen.items()}
    pilot.readings = {**biases, **pilot.run.plan.settled}
    return pilot.readings


@dataclass(frozen=True)
class Seen:
    """Which models the pilot's records ask, as the job's rules and its gate have it."""

    works: tuple[Work, ...]
    paths: tuple[Path, ...]
    """One for each record."""

    def to_large(self, small: Sequence[str]) -> dict[str, list[Work]]:
        """The records that models which are not small are asked about, in the pilot's order."""
        found: dict[str, list[Work]] = defaultdict(list)
        for work, path in zip(self.works, self.paths, strict=True):
            for name in path:
                if name not in small:
                    found[name].append(work)
        return found


def look(pilot: PlanPilot, works: Sequence[Work], readings: Readings) -> Seen:
    """Ask the small models, and see what the gate says of their answers."""
    pilot.ask_small(works)
    return Seen(tuple(works), tuple(_path(pilot, work, readings) for work in works))


def _path(pilot: PlanPilot, work: Work, readings: Readings) -> Path:
    plan, name = pilot.run.plan, work.route.model
    if name not in plan.small_models or plan.policy is None:
        return (name,)
    said = pilot.answer(name, work)
    if said is None:
        said = Answer(name, Usage(), failure=Failure.ERROR, detail="no answer in the pilot")
    given = plan.pilot.get(text_key(work.record.text, work.record.task), ())
    # Whether it is judged then is another question.
    policy = replace(plan.policy, judge=None)
    outcome = decide(replace(work, answers=(said,), pilot=given), policy, readings)
    large = plan.job.routing.escalate_to
    if isinstance(outcome, Work):
        return (name, outcome.ask or "")
    asked = large is not None and any(answer.model == large for answer in given)
    return (name, large or "") if asked else (name,)


def grow(pilot: PlanPilot, draw: PlanDraw, readings: Readings, size: int | None) -> Seen:
    """Ask about more records until it is well known how many the large models get, or it takes too long.

    `size` asks about so many at once, and no more.
    """
    works = draw.pilot.works
    count = FIRST if size is None else size
    while True:
        seen = look(pilot, works[:count], readings)
        large = sum(any(name not in pilot.run.plan.small_models for name in path) for path in seen.paths)
        enough = size is not None or count >= min(MOST, len(works), max(FIRST, draw.census.answered // 4))
        if enough or _settled(large, len(seen.works)) or pilot.asked_seconds > _PATIENCE:
            return seen
        count = min(2 * count, MOST)
        pilot.tell(f"pilot: {min(count, len(works)):,} records, to know the share of large calls better")


def _settled(large: int, records: int) -> bool:
    if not large:
        return True
    share = large / records
    return math.sqrt((1.0 - share) / (share * records)) <= _WELL_KNOWN


def observed(pilot: PlanPilot, seen: Seen, small: str) -> Observed:
    """What the pilot showed, as the forecast takes it: what each model's answers took."""
    sizes: dict[str, list[int]] = defaultdict(list)
    took: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    for work, path in zip(seen.works, seen.paths, strict=True):
        for name in path:
            size = text_bytes(work.record)
            sizes[name].append(size)
            answer = pilot.answer(name, work)
            if answer is not None:
                took[name].append((float(answer.usage.usd), answer.usage.seconds, size))
    names = {*took, small}
    return Observed(
        Counter(seen.paths),
        {name: tuple(rows) for name, rows in sizes.items()},
        {name: answered_of(took[name], counted=True) for name in names if took[name]},
    )


def spare_answers(pilot: PlanPilot, sample: Sequence[Work], seen: Seen) -> Answered | None:
    """What a local large model said of the calibration sample and will not be asked for otherwise.

    Of sampled records that the pilot did not look at, its share of large calls is taken off.
    """
    large = pilot.run.plan.job.routing.escalate_to
    paths = {
        text_key(work.record.text, work.record.task): path
        for work, path in zip(seen.works, seen.paths, strict=True)
    }
    share = sum(large in path for path in seen.paths) / max(1, len(seen.paths))
    rows, unseen = [], []
    for work in sample:
        answer = pilot.answer(work.route.model, work)
        if work.route.model != large or answer is None:
            continue
        row = (float(answer.usage.usd), answer.usage.seconds, text_bytes(work.record))
        path = paths.get(text_key(work.record.text, work.record.task))
        if path is None:
            unseen.append(row)
        elif large not in path:
            rows.append(row)
    rows += unseen[: round(len(unseen) * (1.0 - share))]
    return answered_of(rows, counted=True) if rows else None


def answered_of(rows: Sequence[tuple[float, float, int]], *, counted: bool) -> Answered:
    """Answers as the forecast takes them: USD, seconds and bytes of each."""
    usd, seconds, sizes = zip(*rows, strict=True)
    return Answered(usd, seconds, sizes, len(rows) if counted else 0)
