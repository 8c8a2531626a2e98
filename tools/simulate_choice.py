"""Whether a certified gate keeps its promise after a choice among models, in simulated jobs.

    python -m tools.simulate_choice
    python -m tools.simulate_choice --jobs 400 --models 8

Every small model of a job is wrong a little more often than the target allows, and equally sure of
everything, so whatever a gate trusts breaks the promise. The models are compared on the first records of the
pilot, as `tekizai models compare` does; where it would propose none of them, the one that looked best is
taken. Then the gate of that model is certified: by a run that takes the proposal's `compared` over, on the
next records, and by one that does not, on some of those that chose. Prints, as JSON, in what share of the
jobs each promised what the whole job breaks; `delta` is what may be.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.certification import CertifyingRows, certify
from router.escalation import Large, Small, Terms
from router.guarantee import Population
from router.proposal import choose

if TYPE_CHECKING:
    import numpy.typing as npt

RECORDS, COMPARED, TRAINED, CERTIFYING = 10_000, 400, 100, 300
TERMS = Terms(0.9, 0.05)
_WRONG = 0.103
_CALL, _LOCAL = 0.001, 0.00001
_SEED = 11


@dataclass(frozen=True)
class Broken:
    """In how many jobs a broken promise was made."""

    jobs: int
    told: int
    """By runs that know which records were compared."""
    untold: int
    """By runs that do not."""


def simulate(jobs: int, models: int) -> Broken:
    """Choose among so many models in so many jobs, and certify the chosen one's gate."""
    rng, told, untold = np.random.default_rng(_SEED), 0, 0
    for _ in range(jobs):
        # In the pilot's order, which is random.
        agrees = np.array([rng.permutation(RECORDS) >= _WRONG * RECORDS for _ in range(models)])
        one = agrees[_chosen(agrees)]
        told += _is_broken(one, COMPARED)
        untold += _is_broken(one, TRAINED)
    return Broken(jobs, told, untold)


def _chosen(agrees: npt.NDArray[np.bool_]) -> int:
    """The model that is proposed; where none is, the one that looks best on the records that are compared."""
    size = agrees.shape[1]
    small = {
        str(number): Small(np.full(size, _LOCAL), np.ones(size), one, one)
        for number, one in enumerate(agrees)
    }
    large = Large("large", np.full(size, _CALL), np.ones(size, bool), small)
    found = choose([large], {}, np.arange(COMPARED), TERMS)
    if found is not None and found.way.default in small:
        return int(found.way.default)
    return int(np.argmax(agrees[:, :COMPARED].sum(axis=1)))


def _is_broken(agrees: npt.NDArray[np.bool_], trained: int) -> bool:
    """Whether a gate is certified on the records after `trained` ones that the others break.

    As with a gold column: what was learned from has no part in the promise.
    """
    others = agrees[trained:]
    sample = others[:CERTIFYING]
    rows = CertifyingRows(np.ones(CERTIFYING), sample, None, [""] * CERTIFYING)
    population = Population(len(others), len(others))
    found = certify(rows, target=TERMS.target, delta=TERMS.delta, population=population, escalates=True)
    kept = found.certified and found.threshold <= 1.0
    return kept and float(others.mean()) < TERMS.target


def main() -> None:
    """Simulate and print JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--models", type=int, default=8)
    wanted = parser.parse_args()
    found = simulate(wanted.jobs, wanted.models)
    shares = {"told": found.told / found.jobs, "untold": found.untold / found.jobs}
    value = {"jobs": found.jobs, "models": wanted.models, "delta": TERMS.delta, "broken": shares}
    sys.stdout.write(json.dumps(value, indent=1) + "\n")


if __name__ == "__main__":
    main()
