"""Whether the certified gate keeps its promise: thousands of simulated jobs whose whole truth is known.

    python -m tools.validity
    python -m tools.validity --jobs 100 --json

A job is a finite set of records, each with the label probabilities of a small model and the oracle's label.
Some are drawn uniformly for certification, in two settings others before them to learn from; the oracle's
answers to all of those stand. The others keep the small model's label where the certified threshold accepts
it and get the oracle's where not, and the agreement of the whole job is counted. That must miss the target
in at most the share `delta` of all jobs, which an exact binomial test judges. So that the test can be seen to
fail, it judges a naive method too: the lowest threshold at which the sample itself reaches the target.

Prints a table, or with `--json` one line for each setting. Exit status 1: the promise is refuted, or the
jobs were too few to refute the naive method.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import stats
from threadpoolctl import threadpool_limits

from router.calibration import surety
from router.certification import CertifyingRows, certify
from router.confidence import ConfidenceCurve, fit_confidence
from router.evidence import Evidence
from router.gate import NOTHING
from router.guarantee import Population
from router.head import softmax
from router.head_training import TrainingRows, choose_head
from router.pilot_size import kept_share

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Scores = npt.NDArray[np.float64]
    Labels = npt.NDArray[np.int64]
    Truth = npt.NDArray[np.bool_]
    Reading = Callable[[Scores], Scores]

_SEED = 20240607
_JOBS = 2000
_LEVEL = 0.01
"""How often at most chance alone refutes, in any setting, a method that breaks its promise in `delta` of all
jobs."""
_SHARPENED = 0.3
"""The temperature at which an overconfident model takes its probabilities."""
_SIGNAL = {2: 3.0, 7: 5.0, 77: 9.0}
"""By the number of labels: how far, at most, the true one stands out of noise with standard deviation 1."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One kind of job, small model and promise."""

    labels: int
    model: Literal["useful", "useless", "overconfident"]
    target: float
    delta: float
    sampled: int
    """Records that certify."""
    job: int
    skewed: bool = False
    """Whether a few labels make up most of the job."""
    decimals: int | None = None
    """What probabilities are rounded to, so that many are equal."""
    learned: int = 0
    """Records to learn from how scores are read and how sure they are; disjoint from those that certify.
    0: the confidence is the likeliest label's probability as it is."""


SETTINGS = (
    Setting(2, "useful", 0.95, 0.05, sampled=2000, job=20_000, learned=100),
    Setting(2, "useless", 0.8, 0.05, sampled=100, job=2000, skewed=True),
    Setting(7, "useful", 0.9, 0.1, sampled=200, job=3000, decimals=2),
    Setting(7, "overconfident", 0.9, 0.01, sampled=500, job=5000, skewed=True, learned=100),
    Setting(77, "overconfident", 0.8, 0.05, sampled=300, job=6000, skewed=True, decimals=3),
    Setting(77, "useless", 0.95, 0.1, sampled=1000, job=10_000),
)


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """A job as its gate sees it, and the truth."""

    confidence: Scores
    agrees: Truth
    certifying: Truth
    """Which records were drawn to certify."""
    asked: Truth
    """Which records the oracle answered in the pilot: those, and what was learned from."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a threshold did to a job."""

    broken: bool
    accepted: float
    """The share of the job that kept the small model's label."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a method did in all jobs of a setting."""

    broken: int
    share: float
    p: float
    """The chance of so many broken jobs or more, if each breaks with the chance `delta`: exact."""
    accepted: float

    @property
    def refuted(self) -> bool:
        """Whether the method does not keep its promise, beyond what chance may do over all settings."""
        return self.p < _LEVEL / len(SETTINGS)


def draw_records(rng: np.random.Generator, setting: Setting) -> tuple[Scores, Labels]:
    """The small model's probabilities of the labels, shape (records, labels), and the oracle's labels."""
    ranks = np.arange(1, setting.labels + 1)
    weights = ranks**-1.5 if setting.skewed else np.ones(setting.labels)
    truth = rng.choice(setting.labels, setting.job, p=weights / weights.sum())
    logits = rng.standard_normal((setting.job, setting.labels), dtype=np.float32).astype(np.float64)
    if setting.model != "useless":
        # Some records are clear and some are not, which is what a confidence can tell.
        logits[np.arange(setting.job), truth] += _SIGNAL[setting.labels] * rng.random(setting.job)
    scores = softmax(logits / _SHARPENED if setting.model == "overconfident" else logits)
    return scores if setting.decimals is None else scores.round(setting.decimals), truth


def learn(scores: Scores, truth: Labels) -> tuple[Reading, ConfidenceCurve]:
    """How scores become probabilities and those a confidence, as a pilot learns it from some records."""
    choice = choose_head(TrainingRows(Evidence(scores), truth))
    seen, head = choice.chosen.held_back, choice.head
    curve = fit_confidence(surety(seen, multi_label=False), seen.argmax(axis=1) == truth)
    if head is None:
        return choice.scaled.probabilities, curve
    return lambda some: head.probabilities(Evidence(some)), curve


def simulate(rng: np.random.Generator, setting: Setting) -> Simulated:
    """A new job and its pilot."""
    scores, truth = draw_records(rng, setting)
    order = rng.permutation(setting.job)
    learning, sampled = np.split(order[: setting.learned + setting.sampled], [setting.learned])
    curve: Reading | None = None
    if setting.learned:
        reading, curve = learn(scores[learning], truth[learning])
        scores = reading(scores)
    sure = surety(scores, multi_label=False)
    certifying, asked = np.zeros(setting.job, bool), np.zeros(setting.job, bool)
    certifying[sampled] = asked[sampled] = asked[learning] = True
    return Simulated(
        sure if curve is None else curve(sure), scores.argmax(axis=1) == truth, certifying, asked
    )


def certified(job: Simulated, setting: Setting) -> float:
    """The threshold of the gate, from the pilot alone."""
    rows = CertifyingRows(job.confidence[job.certifying], job.agrees[job.certifying])
    population = Population(setting.job - setting.learned, setting.job)
    return certify(
        rows, target=setting.target, delta=setting.delta, population=population, escalates=True
    ).threshold


def naive(job: Simulated, setting: Setting) -> float:
    """The lowest threshold at which no more of the sample is wrong than the target allows of the job."""
    sure = job.confidence[job.certifying]
    wrong = float(1 - Fraction(str(setting.target)))
    kept = round(kept_share(sure, job.agrees[job.certifying], wrong) * len(sure))
    return float(np.sort(sure)[-kept]) if kept else NOTHING


def outcome(job: Simulated, threshold: float, setting: Setting) -> Outcome:
    """Count the whole job's agreement with the oracle, in whole numbers."""
    accepted = ~job.asked & (job.confidence >= threshold)
    agreeing = setting.job - int((accepted & ~job.agrees).sum())
    return Outcome(agreeing < Fraction(str(setting.target)) * setting.job, int(accepted.sum()) / setting.job)


def verdict(outcomes: list[Outcome], delta: float) -> Verdict:
    """Test whether the promise is broken in more than the share `delta`."""
    broken = sum(one.broken for one in outcomes)
    p = stats.binomtest(broken, len(outcomes), delta, alternative="greater").pvalue
    accepted = sum(one.accepted for one in outcomes) / len(outcomes)
    return Verdict(broken, broken / len(outcomes), float(p), accepted)


def run_setting(number: int, jobs: int) -> tuple[Verdict, Verdict]:
    """Simulate jobs of a setting: what the certified gate and the naive method do in the same ones."""
    setting = SETTINGS[number]
    rng = np.random.default_rng([_SEED, number])
    ours, theirs = [], []
    for _ in range(jobs):
        job = simulate(rng, setting)
        ours.append(outcome(job, certified(job, setting), setting))
        theirs.append(outcome(job, naive(job, setting), setting))
    return verdict(ours, setting.delta), verdict(theirs, setting.delta)


_HEADINGS = (
    *("labels", "model", "job", "learned", "sampled", "target", "delta", "jobs"),
    *("broken", "share", "p", "accepted", "naive: broken", "share", "p", "accepted"),
)


def described(setting: Setting) -> str:
    """The model, and what is peculiar to the job."""
    found: list[str] = [setting.model]
    if setting.skewed:
        found.append("skewed labels")
    if setting.decimals is not None:
        found.append(f"rounded to {setting.decimals} decimals")
    if setting.learned:
        found.append("calibrated")
    return ", ".join(found)


def cells(one: Verdict) -> list[str]:
    """A verdict's part of a row."""
    p = f"{one.p:.3f}" if one.p >= 0.001 else "< .001"  # noqa: PLR2004 - what three decimals can show
    return [f"{one.broken:,}", f"{one.share:.4f}", p.removeprefix("0"), f"{one.accepted:.3f}"]


def row(setting: Setting, jobs: int, ours: Verdict, theirs: Verdict) -> str:
    """One line of the table."""
    terms = [setting.labels, described(setting), f"{setting.job:,}", setting.learned, f"{setting.sampled:,}"]
    terms += [setting.target, setting.delta, f"{jobs:,}"]
    return " | ".join(["", *map(str, terms), *cells(ours), *cells(theirs), ""]).strip()


def as_json(setting: Setting, jobs: int, ours: Verdict, theirs: Verdict) -> dict[str, Any]:
    """The same, with every digit."""
    terms = {name: getattr(setting, name) for name in Setting.__slots__}
    found = {
        method: {name: getattr(one, name) for name in (*Verdict.__slots__, "refuted")}
        for method, one in (("certified", ours), ("naive", theirs))
    }
    return {**terms, "jobs": jobs, **found}


def main() -> int:
    """Run all settings and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=_JOBS, help="simulated jobs of each setting")
    parser.add_argument("--json", action="store_true", help="one JSON line for each setting")
    arguments = parser.parse_args()
    if not arguments.json:
        rule = "|" + "---|" * len(_HEADINGS)
        sys.stdout.write(f"| {' | '.join(_HEADINGS)} |\n{rule}\n")
    fine = True
    with threadpool_limits(limits=1):
        for number, setting in enumerate(SETTINGS):
            ours, theirs = run_setting(number, arguments.jobs)
            fine = fine and theirs.refuted and not ours.refuted
            told = (setting, arguments.jobs, ours, theirs)
            sys.stdout.write((json.dumps(as_json(*told)) if arguments.json else row(*told)) + "\n")
            sys.stdout.flush()
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
