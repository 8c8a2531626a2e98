"""From the answers to a comparison's pilot to rows: what each model said, and how a gate would read it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.calibrate import Calibrator
from pipelines.compare_models import batch_share
from pipelines.fit_models import fit_models
from pipelines.pilot_run import PilotRun
from router.adapters import section_of
from router.bias import estimate_bias
from router.comparison import Said, Tagged
from router.escalation import Large, Outcome, Small
from router.findings import Wanted
from router.gate import NOTHING
from router.identity import text_key
from router.job import Gate, LlamaCppModel
from router.likeness import agree
from router.oracle import gold_labels, oracle_labels
from router.rules import with_adapter
from router.verdict import read_answer
from transforms.route_records import load_router

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from pipelines.fit_models import Fitted
    from pipelines.pilot_run import Prompts
    from router.escalation import Terms
    from router.job import Job
    from router.records import Answer, Work
    from router.verdict import Readings

    Labels = Sequence[frozenset[str] | None]
    Answers = Mapping[tuple[str, bytes], Answer]

GOLD = "gold"


@dataclass
class KnownAnswers(Calibrator):
    """Learns from answers that are there already, and asks nobody."""

    def ask_small(self, works: Sequence[Work], prompts: Prompts) -> None:
        """All that will ever be known is known."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The pilot's records on which the oracle has a word, with all answers."""

    run: PilotRun
    works: tuple[Work, ...]
    answers: Answers
    names: tuple[str, ...]
    """The models that are compared, in the order of the job file."""
    oracle: str
    """`gold`, or the model whose word counts."""
    truth: Labels
    terms: Terms

    @property
    def local(self) -> tuple[str, ...]:
        """Models that give scores."""
        models = self.run.plan.job.models
        return tuple(name for name in self.names if isinstance(models[name], LlamaCppModel))

    def answer(self, name: str, work: Work) -> Answer | None:
        """What a model said of a record, with the adapter that is for it; None where it failed."""
        called = name_for(self.run.plan.job, name, work)
        return self.answers.get((called, text_key(work.record.text, work.record.task)))

    def first(self, work: Work) -> str:
        """The model that a record goes to in the job as it stands, whatever adapter it gets."""
        return section_of(work.route.model, self.run.plan.job.models[work.route.model])

    def labels(self, name: str) -> list[frozenset[str] | None]:
        """What a model said of each record, its scores taken as they are."""
        return [
            oracle_labels(self.answer(name, work), self.run.plan.task(work.record.task))
            for work in self.works
        ]

    def right(self, labels: Labels) -> npt.NDArray[np.bool_]:
        """Whether labels are the oracle's."""
        return self.equal(labels, self.truth)

    def equal(self, some: Labels, others: Labels) -> npt.NDArray[np.bool_]:
        """Where both have a word, and the same one; written answers where the task's checker says so."""
        found = []
        for one, other, work in zip(some, others, self.works, strict=True):
            task = self.run.plan.task(work.record.task)
            both = one is not None and other is not None
            found.append(both and agree(task, one or (), other or (), work.record.text))
        return np.array(found, bool)

    def usd(self, name: str) -> npt.NDArray[np.float64]:
        """Dollars of each record; where the model failed, the mean of the others."""
        said = self.said(name)
        usd = np.array([float(one) for one in said.usd])
        mean = float(usd[said.answered].mean()) if said.answered.any() else 0.0
        return np.where(said.answered, usd, mean)

    def said(self, name: str) -> Said:
        """What a model said, as it was asked."""
        given, labels = [self.answer(name, work) for work in self.works], self.labels(name)
        part = batch_share(self.run.plan.job, name)
        used = [one.usage for one in given if one is not None]
        return Said(
            np.array([one is not None for one in labels], bool),
            self.right(labels),
            tuple(Decimal(0) if one is None else one.usage.usd * part for one in given),
            np.array([0.0 if one is None else one.usage.seconds for one in given]),
            (sum(one.input_tokens for one in used), sum(one.output_tokens for one in used)),
        )


def name_for(job: Job, name: str, work: Work) -> str:
    """Under which name a model answers a record that is sent to it: with the first adapter that matches."""
    return with_adapter(name, work.record, work.route, job.models)


def truth_of(run: PilotRun, works: Sequence[Work], answers: Answers, oracle: str) -> Labels:
    """The oracle's word on each record; None where it has none. Raises `ValueError` for unknown labels."""
    found = []
    for work in works:
        task = run.plan.task(work.record.task)
        if oracle == GOLD:
            found.append(gold_labels(work.record.gold, task))
        else:
            key = text_key(work.record.text, work.record.task)
            found.append(oracle_labels(answers.get((oracle, key)), task))
    return found


def tags_of(rows: Rows) -> list[Tagged]:
    """What rules may ask of the records. The router looks for the domain, whether the job does or not."""
    router = load_router(rows.run.plan.reader.router)
    records = [work.record for work in rows.works]
    found = router.find(records, Wanted(task=False, domain=True, complexity=False))
    return [Tagged(one.language, one.domain, record.task) for one, record in zip(found, records, strict=True)]


def about_model(rows: Rows, name: str) -> dict[str, Any]:
    """Where a model runs, its tokens a record, and how many records each of its adapters answered."""
    tokens, count = rows.said(name).tokens, max(1, len(rows.works))
    where = "local" if name in rows.local else "hosted"
    used = Counter(name_for(rows.run.plan.job, name, work) for work in rows.works)
    adapted = {called: used[called] for called in sorted(used) if called != name}
    return {
        "runs": where,
        "input_tokens": tokens[0] / count,
        "output_tokens": tokens[1] / count,
        **({"adapted": adapted} if adapted else {}),
    }


def taught(rows: Rows, oracle: str, tell: Callable[[str], None]) -> dict[str, Fitted]:
    """What a run's pilot would learn of each small model, where this oracle teaches: about every record.

    Confidences and labels are from fits without the record.
    """
    names = [name for name in rows.local if name != oracle]
    job = rows.run.plan.job
    gate = Gate(target=rows.terms.target, delta=rows.terms.delta, oracle="gold" if oracle == GOLD else "llm")
    routing = job.routing.model_copy(update={"escalate_to": None if oracle == GOLD else oracle, "gate": gate})
    plan = replace(rows.run.plan, job=job.model_copy(update={"routing": routing}))
    known = KnownAnswers(PilotRun(plan, rows.run.options), tell, dict(rows.answers))
    found = {}
    for name in names:
        tell(
            f"learning to read {name}, with {'the gold column' if oracle == GOLD else oracle} as the teacher"
        )
        routed = [
            replace(work, route=replace(work.route, model=name_for(job, name, work))) for work in rows.works
        ]
        found[name] = fit_models(known, routed, {})
    return found


def large_of(rows: Rows, name: str, fitted: Mapping[str, Fitted]) -> Large:
    """A model to escalate to, with the small ones as its gate would read them."""
    words = rows.truth if rows.oracle in (GOLD, name) else rows.labels(name)
    right = rows.right(rows.labels(name))
    small = {one: _small(rows, one, fit, words) for one, fit in fitted.items() if one != name}
    return Large(name, rows.usd(name), right, small, right if rows.oracle == GOLD else None)


def nobody_of(rows: Rows, fitted: Mapping[str, Fitted]) -> Large:
    """The small models by themselves, judged by the gold column."""
    small = {one: _small(rows, one, fit, rows.truth) for one, fit in fitted.items()}
    return Large.nobody(small, len(rows.works))


def _small(rows: Rows, name: str, fit: Fitted, words: Labels) -> Small:
    return Small(rows.usd(name), fit.confidence, rows.equal(fit.said, words), rows.right(fit.said))


def first_choice(rows: Rows) -> npt.NDArray[np.object_]:
    """The model that each record goes to in the job as it stands."""
    return np.array([rows.first(work) for work in rows.works], dtype=object)


def as_it_stands(rows: Rows) -> Outcome:
    """What the job does with the records, where its gate has no target: nothing is learned."""
    routing = rows.run.plan.job.routing
    least = routing.gate.min_confidence if routing.escalate_to is not None else None
    readings = _label_free(rows)
    size = len(rows.works)
    usd, escalated = np.zeros(size), np.zeros(size, bool)
    said: list[frozenset[str] | None] = [None] * size
    costs = {name: rows.usd(name) for name in rows.names}
    for place, work in enumerate(rows.works):
        first = rows.first(work)
        task, answer = rows.run.plan.task(work.record.task), rows.answer(first, work)
        verdict = None if answer is None else read_answer(answer, task, readings)
        usd[place] = costs[first][place]
        labels = None if verdict is None else frozenset(verdict.labels)
        sure = -1.0 if verdict is None else NOTHING if verdict.confidence is None else verdict.confidence
        if least is not None and first != routing.escalate_to and sure < least:
            large = routing.escalate_to or ""
            labels, escalated[place] = oracle_labels(rows.answer(large, work), task), True
            usd[place] += costs[large][place]
        escalated[place] |= first == routing.escalate_to
        said[place] = labels
    return Outcome(usd, rows.right(said), escalated)


def _label_free(rows: Rows) -> Readings:
    """How a run without a target reads scores: divided by their mean over a sample, where the job says so."""
    settings = rows.run.plan.job.calibration
    if not settings.label_free:
        return {}
    seen: dict[tuple[str, str], list[npt.NDArray[np.float64]]] = defaultdict(list)
    for work in rows.works:
        answer = rows.answer(rows.first(work), work)
        key = (work.route.model, work.record.task)
        if answer is not None and answer.scores is not None and len(seen[key]) < settings.sample:
            seen[key].append(answer.scores.probabilities)
    return {key: estimate_bias(*key, scores) for key, scores in seen.items() if scores}
