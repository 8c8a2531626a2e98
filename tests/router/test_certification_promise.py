"""The promise over many simulated jobs: beside a large model that errs too, and in each of several slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from router.certification import CertifyingRows, certify, certify_slices
from router.gate import NOTHING
from router.guarantee import Population, binomial_at_most

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Truth = npt.NDArray[np.bool_]

TARGET, DELTA = 0.9, 0.1
RECORDS, SAMPLED, ALLOWED = 1000, 200, 100
JOBS = 400
MOST = 56
"""A method that breaks its promise in 10 % of all jobs does so in more than 56 of 400 once in 200 times."""
LANGUAGES = ("de", "en", "ja")


def test_the_bound_is_exact() -> None:
    """One less would be exceeded by chance more often than once in 200 times."""
    assert 1.0 - binomial_at_most(MOST, JOBS, DELTA) <= 1 / 200
    assert 1.0 - binomial_at_most(MOST - 1, JOBS, DELTA) > 1 / 200


def broken(promise: Callable[[CertifyingRows, CertifyingRows], bool], job: Callable[..., Any]) -> int:
    """In how many jobs a promise was made, on a uniform sample of it, that the whole job breaks."""
    rng = np.random.default_rng(7)
    count = 0
    for _ in range(JOBS):
        whole: CertifyingRows = job(rng)
        count += promise(_part(whole, rng.permutation(RECORDS)[:SAMPLED]), whole)
    return count


def _part(rows: CertifyingRows, at: npt.NDArray[Any]) -> CertifyingRows:
    large = None if rows.large_agrees is None else rows.large_agrees[at]
    return CertifyingRows(rows.confidence[at], rows.agrees[at], large, [rows.slices[i] for i in at])


def beside_a_large_model(rng: np.random.Generator) -> CertifyingRows:
    """The large model is right in 91 of 100 records, the small one mostly where it is sure."""
    sure = rng.random(RECORDS)
    agrees, large = rng.random(RECORDS) < 0.55 + 0.45 * sure, rng.random(RECORDS) < 0.91
    return CertifyingRows(sure, agrees, large, [""] * RECORDS)


def on_the_edge(rng: np.random.Generator) -> CertifyingRows:
    """Both models are wrong in a little more than may be, at any threshold: every promise is a broken one."""
    sure, right = rng.random(RECORDS), rng.permutation(RECORDS) > ALLOWED
    return CertifyingRows(sure, right, right, [""] * RECORDS)


def fallible_broken(threshold: float, whole: CertifyingRows) -> bool:
    """Whether more of all records than may be are wrong, those of the sample included."""
    large: Any = whole.large_agrees
    right = np.where(whole.confidence >= threshold, whole.agrees, large)
    return int((~right).sum()) > ALLOWED


def fallible(sample: CertifyingRows, whole: CertifyingRows) -> bool:
    """The certificate's threshold, where it promises anything."""
    population = Population(RECORDS, RECORDS)
    found = certify(sample, target=TARGET, delta=DELTA, population=population, escalates=True)
    return found.certified and fallible_broken(found.threshold, whole)


def naive_fallible(sample: CertifyingRows, whole: CertifyingRows) -> bool:
    """The lowest threshold at which the sample itself looks good enough."""
    large: Any = sample.large_agrees
    for threshold in [*np.unique(sample.confidence).tolist(), NOTHING]:
        right = np.where(sample.confidence >= threshold, sample.agrees, large)
        if right.mean() >= TARGET:
            return fallible_broken(threshold, whole)
    return False


def test_the_promise_beside_a_fallible_model_is_kept() -> None:
    """Over the draw of the sample, and where both models are on the edge of what may be."""
    assert broken(fallible, beside_a_large_model) <= MOST
    assert 0 < broken(fallible, on_the_edge) <= MOST


def test_the_simulation_would_notice_a_naive_threshold() -> None:
    """It breaks the promise in far more jobs than it may."""
    assert broken(naive_fallible, beside_a_large_model) > 2 * MOST
    assert broken(naive_fallible, on_the_edge) > 2 * MOST


def in_three_languages(rng: np.random.Generator) -> CertifyingRows:
    """Half of the records are English; in each language the small model errs in another way."""
    sure = rng.random(RECORDS)
    spoken = rng.choice(LANGUAGES, RECORDS, p=[0.3, 0.5, 0.2])
    base = np.select([spoken == "de", spoken == "en"], [0.75, 0.6], 0.9)
    return CertifyingRows(sure, rng.random(RECORDS) < base + (1.0 - base) * sure**2, None, spoken.tolist())


def slices_broken(thresholds: dict[str, float], sample: CertifyingRows, whole: CertifyingRows) -> bool:
    """Whether in any language more is wrong than may be; what the sample holds is the oracle's own."""
    spoken = np.array(whole.slices)
    known = np.isin(whole.confidence, sample.confidence)
    trusted = whole.confidence >= np.array([thresholds.get(name, NOTHING) for name in whole.slices])
    wrong = trusted & ~known & ~whole.agrees
    return any(wrong[spoken == name].sum() > (1 - TARGET) * (spoken == name).sum() for name in LANGUAGES)


def sliced(sample: CertifyingRows, whole: CertifyingRows) -> bool:
    """The certificates' thresholds."""
    found = certify_slices(sample, len(LANGUAGES), target=TARGET, delta=DELTA, escalates=True)
    return slices_broken({name: one.threshold for name, one in found.items()}, sample, whole)


def naive_sliced(sample: CertifyingRows, whole: CertifyingRows) -> bool:
    """In each language the lowest threshold at which its part of the sample looks good enough."""
    found = {}
    for name in LANGUAGES:
        at = np.array(sample.slices) == name
        sure, right = sample.confidence[at], sample.agrees[at]
        fine = [one for one in sure if (~right & (sure >= one)).sum() <= (1 - TARGET) * at.sum()]
        found[name] = min(fine, default=NOTHING)
    return slices_broken(found, sample, whole)


def test_the_promise_in_every_slice_is_kept() -> None:
    """In all three at once, so that each may fail in a third of `DELTA` only."""
    assert broken(sliced, in_three_languages) <= MOST


def test_the_simulation_would_notice_naive_thresholds_of_slices() -> None:
    """They break it in far more jobs."""
    assert broken(naive_sliced, in_three_languages) > 2 * MOST
