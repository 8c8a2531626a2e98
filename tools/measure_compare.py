"""What the proposal of `tekizai models compare` is worth on records that it was not made from.

    python -m tools.measure_compare JOB.yaml --choose 250

Every model of the job answers every record of its input (the journal keeps the answers: what is there is not
asked again). The first records of the pilot's order choose a routing as the command does; heads, curves and
thresholds are learned from them too. The others tell what that routing costs and how often it gives the
oracle's answer, beside each small model alone with escalation and the large one for everything.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.compare import asks_gold, rows_of, terms_of
from pipelines.compare_asking import Asking
from pipelines.compare_models import with_all_models
from pipelines.compare_rows import GOLD, large_of, tags_of
from pipelines.compare_ways import weigh
from pipelines.pilot_run import PilotRun
from pipelines.plan_pilot import draw_plan
from pipelines.prepare import prepare, start
from pipelines.runner import options_of
from router.calibration import answers_of, surety
from router.comparison import segments_of
from router.escalation import Small, outcome, settle
from router.evidence import gather
from router.gate import NOTHING
from router.job_loading import load_job
from router.proposal_text import gate_of, routing_of, routing_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.compare_rows import Rows
    from pipelines.compare_ways import Weighing
    from router.calibration import ModelCalibration
    from router.escalation import Large, Outcome

_MOST = 16_000


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("job")
    parser.add_argument("--choose", type=int, default=250, help="records that choose; the others judge")
    parser.add_argument("--target", type=float)
    parser.add_argument("--most", type=int, default=_MOST, help="records in all")
    wanted = parser.parse_args()
    job = load_job(wanted.job)
    plan = prepare(job, workers=1)
    compared = with_all_models(plan, Decimal(1000))
    start(compared.plan)
    run, gold = PilotRun(compared.plan, options_of([])), asks_gold(job)
    works = draw_plan(run, _MOST, gold_only=gold).pilot.works[: wanted.most]
    asking = Asking(compared, run, say_nothing, {}, {})
    asking.ask(asking.names, works)
    oracle = GOLD if gold else job.routing.escalate_to or ""
    rows = rows_of(asking, works, oracle, terms_of(job, wanted.target))
    some = replace(rows, works=rows.works[: wanted.choose], truth=rows.truth[: wanted.choose])
    others = replace(rows, works=rows.works[wanted.choose :], truth=rows.truth[wanted.choose :])
    found = measured(weigh(some, len(rows.works), say_nothing), others)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


def say_nothing(_: str) -> None:
    """Say nothing."""


def measured(weighing: Weighing, others: Rows) -> dict[str, Any]:
    """What the choice gives on other records, and what else could have been done with them."""
    every = np.arange(weighing.size)
    chosen = weighing.chooses(every)
    if chosen is None:
        return {"proposal": None}
    large, terms = chosen.large, weighing.rows.terms
    judged = on_others(weighing, large, others)
    at = np.arange(len(others.works))
    parts = segments_of(tags_of(others))
    known = {rule.segment: parts.get(rule.segment, np.zeros(len(at), bool)) for rule in chosen.way.rules}
    found = {"proposal": outcome(judged, chosen.way.firsts(known, len(at)), chosen.threshold, at)}
    for name in large.small:
        threshold = settle(large, weighing.alone(name), every, terms)
        alone = np.full(len(at), name, dtype=object)
        found[f"{name}, then {large.name}"] = outcome(
            judged, alone, NOTHING if threshold is None else threshold, at
        )
    found[f"{large.name} alone"] = outcome(judged, np.full(len(at), large.name, dtype=object), NOTHING, at)
    gate = gate_of(terms.target, terms.delta, others.oracle, {})
    return {
        "chosen_on": weighing.size,
        "judged_on": len(at),
        "routing": routing_text(routing_of(chosen.way, gate)),
        "ways": {name: _stated(one) for name, one in found.items()},
    }


def on_others(weighing: Weighing, large: Large, others: Rows) -> Large:
    """A large model with its small ones as they were taught by the records that chose, on other records."""
    fitted = {name: weighing.fitted[name] for name in large.small}
    bare = large_of(others, large.name, {})
    words = others.truth if others.oracle in (GOLD, large.name) else others.labels(large.name)
    small = {}
    for name, fit in fitted.items():
        sure, said = _read(others, name, fit.models)
        small[name] = Small(others.usd(name), sure, others.equal(said, words), others.right(said))
    return replace(bare, small=small)


def _read(
    rows: Rows, name: str, models: Sequence[ModelCalibration]
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], list[frozenset[str] | None]]:
    sure = np.full(len(rows.works), -1.0)
    said: list[frozenset[str] | None] = [None] * len(rows.works)
    by_task = {one.task: one for one in models}
    for place, work in enumerate(rows.works):
        answer, model = rows.answer(name, work), by_task.get(work.record.task)
        if answer is None or answer.scores is None or model is None:
            continue
        task = rows.run.plan.task(work.record.task)
        multi = task.kind == "multi_label"
        seen = model.probabilities(gather([answer.scores]))
        sure[place] = float(model.curve(surety(seen, multi_label=multi))[0])
        [labels] = answers_of(seen, task.label_names, multi_label=multi)
        said[place] = frozenset(labels)
    return sure, said


def _stated(one: Outcome) -> dict[str, Any]:
    quality = one.quality
    return {
        "usd_per_thousand": round(one.cost * 1000, 5),
        "error": round(float(one.usd.std(ddof=1)) * 1000 / len(one.usd) ** 0.5, 5),
        "agreement": [round(value, 3) for value in (quality.rate or 0.0, quality.low, quality.high)],
        "asked_of_large": round(float(one.escalated.mean()), 3),
    }


if __name__ == "__main__":
    main()
