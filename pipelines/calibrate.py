"""Calibrating a job: a pilot is answered by small models and oracle, and settles prompt, head and gate.

The pilot's order is that of hashed ids. Its first records give examples for prompts, the next ones train, and
the rest certifies; every decision but the last is made without looking at the certifying rows.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pipelines.certify import certify_rows, count_slices
from pipelines.compare_pilot import check_order
from pipelines.errors import JobFailedError
from pipelines.fit_models import Fitted, fit_models
from pipelines.pilot_prompts import examples_wanted, search_prompts
from pipelines.students import student_answers, teach
from router.gate_calibration import GateCalibration
from router.identity import text_key
from router.job import LlamaCppModel
from router.oracle import gold_labels, oracle_labels
from router.pilot_size import SizePlan, Terms, plan_size, with_half, worth_growing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from pipelines.pilot_run import PilotRun, Prompts
    from router.generated import Generated
    from router.pilot import Pilot
    from router.records import Answer, LabelScores, Work

_MOST = 16_000
"""Records that are drawn at most; how many of them are asked about is settled step by step."""
_FIRST_SHARE, _FIRST_LEAST, _FIRST_MOST = 40, 100, 800
"""Training begins with a fortieth of the records, within these bounds."""
_FIRST_PER_LABEL = 6
"""But with so many for each label at least: with fewer no head is worth anything, and more look hopeless."""


@dataclass(frozen=True, eq=False)
class FirstLook:
    """What the first records of the pilot gave, before it is settled how many it takes."""

    pilot: Pilot
    terms: Terms
    used: int
    """Records that gave examples for prompts."""
    trained: int
    """Records, after those, that were learned from."""
    prompts: Prompts
    tried: Mapping[tuple[str, str], Any]
    """Prompts that were tried, by model and task."""
    fitted: Fitted
    plan: SizePlan
    before: SizePlan
    """The plan as it would be with half of what was learned from."""

    @property
    def rest(self) -> tuple[Work, ...]:
        """The pilot's records after the examples."""
        return self.pilot.works[self.used :]


@dataclass
class Calibrator:
    """One calibration on its way."""

    run: PilotRun
    tell: Callable[[str], None]
    answers: dict[tuple[str, bytes], Answer] = field(default_factory=dict)
    """What was asked so far, by model and text key."""
    spare: dict[bytes, list[Answer]] = field(default_factory=lambda: defaultdict(list))
    """What counts on the account only, by text key."""

    def calibrate(self) -> GateCalibration:
        """Do it all. Raises `JobFailedError` where the oracle does not answer the pilot."""
        first = self.first_look()
        pilot, terms, used, trained = first.pilot, first.terms, first.used, first.trained
        rest, fitted, plan, before = first.rest, first.fitted, first.plan, first.before
        while self._grows(plan, before, used, trained, terms, len(rest)):
            trained = 2 * trained
            self.tell(f"pilot: {used + trained:,} records, because fewer calls are expected in the end")
            self.ask_oracle(rest[:trained])
            fitted, plan, before = self._fit(pilot, rest[:trained], first.prompts, terms, used)
        works = rest[trained : trained + plan.certify]
        return self._certify(pilot, fitted, works, first.tried, (used, trained))

    def first_look(self) -> FirstLook:
        """Learn from the first records of the pilot.

        Raises `JobFailedError` as `calibrate` does, and `ValueError` where it is not known which records have
        chosen the models.
        """
        check_order(self.run.plan)
        job = self.run.plan.job
        pilot = self.run.draw(_MOST, gold_only=job.routing.gate.oracle == "gold")
        terms = Terms(job.routing.gate.target or 0.0, job.routing.gate.delta or 0.0, pilot.records, pilot.job)
        used = min(examples_wanted(job, pilot), len(pilot.works) // 4)
        examples, rest = pilot.works[:used], pilot.works[used:]
        trained = self.first_size(len(rest), pilot.records, used)
        self.tell(f"pilot: {used + trained:,} of {pilot.records:,} records to learn from")
        self.ask_oracle([*examples, *rest[:trained]])
        prompts, tried = search_prompts(self, examples, rest[:trained])
        fitted, plan, before = self._fit(pilot, rest[:trained], prompts, terms, used)
        return FirstLook(pilot, terms, used, trained, prompts, tried, fitted, plan, before)

    def _fit(
        self, pilot: Pilot, works: Sequence[Work], prompts: Prompts, terms: Terms, used: int
    ) -> tuple[Fitted, SizePlan, SizePlan]:
        """What the training rows give, the plan with them, and the one with half of them."""
        # What people corrected was hard, so it says nothing of how many records can be kept.
        first, rows = len(pilot.corrected), [*pilot.corrected, *works]
        fitted = fit_models(self, rows, prompts)
        asked, fixed = used + len(works), self.run.plan.job.calibration.pilot.certify
        now = self._plan(pilot, fitted.confidence[first:], fitted.agrees[first:], terms, asked, fixed)
        fitted = teach(self, fitted, rows, first, terms, now)
        if fitted.students:
            now = self._plan(pilot, fitted.confidence[first:], fitted.agrees[first:], terms, asked, fixed)
        size = now.certify or fixed
        half = self._plan(pilot, fitted.halved[first:], fitted.halved_agrees[first:], terms, asked, size)
        return fitted, now, with_half(now, half)

    def _plan(  # noqa: PLR0913, PLR0917 - the rows, the promise and the sizes
        self,
        pilot: Pilot,
        sure: npt.NDArray[np.float64],
        right: npt.NDArray[np.bool_],
        terms: Terms,
        asked: int,
        fixed: int | None,
    ) -> SizePlan:
        job = self.run.plan.job
        if job.routing.gate.oracle == "gold":
            # A gold column answers nothing, so the promise is about the records that were not learned from.
            terms = replace(terms, job=terms.records - asked)
        if job.routing.gate.per is None:
            return plan_size(sure, right, terms, asked, fixed=fixed)
        # Each slice is certified alone, with its share of the records and of delta.
        count = max(1, count_slices(job, pilot))
        each = Terms(terms.target, terms.delta / count, terms.records // count, terms.job // count)
        plan = plan_size(sure, right, each, asked // count, fixed=fixed and -(-fixed // count))
        return SizePlan(plan.certify * count, plan.calls * count, plan.kept)

    def first_size(self, available: int, records: int, used: int) -> int:
        """How many records to learn from at first, of those available after the `used` ones, and of all.

        What chose the models is among them: on such records the chosen ones look better than on others.
        """
        pilot, tasks = self.run.plan.job.calibration.pilot, self.run.plan.job.tasks
        labels = max((len(task.labels) for task in tasks if task.kind == "single_label"), default=0)
        least = max(_FIRST_LEAST, _FIRST_PER_LABEL * labels)
        usual = min(max(records // _FIRST_SHARE, least), max(_FIRST_MOST, least))
        size = min(usual if pilot.train is None else pilot.train, available // 2)
        return max(size, min((pilot.compared or 0) - used, available))

    def _grows(  # noqa: PLR0913, PLR0917 - all of them decide
        self, now: SizePlan, before: SizePlan, used: int, trained: int, terms: Terms, available: int
    ) -> bool:
        if self.run.plan.job.calibration.pilot.train is not None or not 0 < 2 * trained <= available // 2:
            return False
        # Where no pilot would pay, a larger one is tried once: the first is small.
        hopeless = now.certify == 0 and trained == self.first_size(available, terms.records, used)
        return worth_growing(now, None if hopeless else before, used + trained, terms)

    def ask_oracle(self, works: Sequence[Work]) -> None:
        """Have the oracle's word on records. Raises `JobFailedError` where it does not give it."""
        # A gold column has been read already.
        if self.run.plan.job.routing.gate.oracle == "llm":
            self.ask_large(works)

    def ask_large(self, works: Sequence[Work]) -> None:
        """Have what the records get if they are escalated. Raises `JobFailedError` where there is nothing."""
        large = self.run.plan.job.routing.escalate_to
        if large is None:
            return
        self.answers |= self.run.ask({large: works}, {})
        missing = sum(self.answer(large, work) is None for work in works)
        if missing:
            raise JobFailedError(
                f"{missing:,} of the pilot's {len(works):,} records got no answer from {large} "
                f"({self.run.failure_of(large) or 'no reason given'}); without them nothing can be certified"
            )

    def ask_small(self, works: Sequence[Work], prompts: Prompts) -> None:
        """Have the small models' answers to the records that are routed to them."""
        job = self.run.plan.job
        asked: dict[str, list[Work]] = defaultdict(list)
        for work in works:
            name = work.route.model
            if name != job.routing.escalate_to and isinstance(job.models[name], LlamaCppModel):
                asked[name].append(work)
        self.answers |= self.run.ask(asked, prompts)

    def answer(self, model: str, work: Work) -> Answer | None:
        """What a model said of a record; None where it was not asked, or gave no answer."""
        return self.answers.get((model, text_key(work.record.text, work.record.task)))

    def charge(self, key: bytes, answer: Answer) -> None:
        """Put what an answer cost on a record's account, though the answer itself is not used."""
        self.spare[key].append(replace(answer, scores=None, spare=True))

    def small_answer(self, work: Work) -> Answer | None:
        """What the model that the record is routed to said; None where that is the oracle, or it failed."""
        if work.route.model == self.run.plan.job.routing.escalate_to:
            return None
        return self.answer(work.route.model, work)

    def scored(self, works: Sequence[Work]) -> dict[tuple[str, str], list[tuple[int, LabelScores]]]:
        """Places of works and the scores that the models they are routed to gave, by model and task."""
        found: dict[tuple[str, str], list[tuple[int, LabelScores]]] = defaultdict(list)
        for place, work in enumerate(works):
            answer = self.small_answer(work)
            if answer is not None and answer.scores is not None:
                found[work.route.model, work.record.task].append((place, answer.scores))
        return found

    def written(self, works: Sequence[Work]) -> dict[tuple[str, str], list[tuple[int, Generated]]]:
        """The same of what models wrote, where a gate can judge it."""
        found: dict[tuple[str, str], list[tuple[int, Generated]]] = defaultdict(list)
        for place, work in enumerate(works):
            answer = self.small_answer(work)
            if answer is not None and answer.generated is not None and answer.weighed:
                found[work.route.model, work.record.task].append((place, answer.generated))
        return found

    def large_labels(self, work: Work) -> frozenset[str] | None:
        """What the record gets if it is escalated."""
        large = self.run.plan.job.routing.escalate_to
        task = self.run.plan.task(work.record.task)
        return None if large is None else oracle_labels(self.answer(large, work), task)

    def oracle_labels(self, work: Work) -> frozenset[str] | None:
        """What the oracle said of the record; None where it had no answer."""
        if self.run.plan.job.routing.gate.oracle == "gold":
            return gold_labels(work.record.gold, self.run.plan.task(work.record.task))
        return self.large_labels(work)

    def _charge_students(self, works: Sequence[Work], fitted: Fitted) -> None:
        """Put what small models took for training records on the account of those that students take."""
        for place in student_answers(self.run.plan.job, fitted.students, works):
            work = works[place]
            answer = self.small_answer(work)
            if answer is not None:
                self.charge(text_key(work.record.text, work.record.task), answer)

    def _certify(
        self,
        pilot: Pilot,
        fitted: Fitted,
        works: Sequence[Work],
        tried: Any,  # noqa: ANN401 - by model and task
        sizes: tuple[int, int],
    ) -> GateCalibration:
        used, trained = sizes
        self.tell(f"pilot: {len(works):,} more records to certify the gate")
        self.ask_large(works)
        self._charge_students((*pilot.corrected, *pilot.works[used : used + trained]), fitted)
        taken = student_answers(self.run.plan.job, fitted.students, works)
        self.ask_small([work for place, work in enumerate(works) if place not in taken], fitted.prompts)
        found = certify_rows(self, pilot, fitted, works, taken, used + trained)
        reports = tuple(
            replace(report, prompts=tried.get((model.model, model.task), ()), held_back=held)
            for model, report, held in zip(fitted.models, fitted.reports, found.held_back, strict=True)
        )
        gate = self.run.plan.job.routing.gate
        return GateCalibration(
            fitted.models,
            reports,
            found.rule,
            found.certification,
            {"target": gate.target, "delta": gate.delta, "oracle": gate.oracle, "per": gate.per},
            {
                "job": pilot.job,
                "records": pilot.records,
                "examples": used,
                "train": trained,
                "certify": len(works),
            },
            found.rows,
            found.note,
            found.parts,
            fitted.students,
            found.student_reports,
        )
