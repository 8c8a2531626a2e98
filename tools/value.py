"""What a certified gate saves: simulated jobs on the answers of real ones, against `bargain`.

    python -m tools.value OUTPUT... [--zero NAME.npz...] [--draws 5] [--oracle OTHER]

Each OUTPUT is a finished job with a target whose oracle answered with the column `label`. Its journal holds
the small model's scores and features for every record (fix `calibration.pilot.train` to some hundreds, so
that a head looks at them), and the encoder's vectors are made anew. So pilots can be drawn as often as one
likes: heads are trained and gates certified by the program's own functions, for a job of the records that
are there and for one of 50,000 resampled from them. `bargain` (0.1.3; where it is installed) is given the
same raw confidences, and zero-shot ones of the same data. Shares are of oracle calls avoided, the pilot's
included. With --oracle, what another finished job has answered to the same texts takes the column's place.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import pathlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from router.assets import asset_path
from router.certification import CertifyingRows, certify
from router.confidence import fit_confidence
from router.evidence import gather
from router.gate import NOTHING
from router.guarantee import Population
from router.head_training import TrainingRows, choose_head
from router.identity import text_key
from router.pilot_size import SizePlan, Terms, plan_size, with_half, worth_growing
from transforms.journal_scan import answers_of
from transforms.text_encoder import ENCODER, TextEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

_LARGE_JOB = 50_000
_DELTA = 0.05


@dataclass(frozen=True)
class Pool:
    """Records with what the small model and the oracle said."""

    rows: TrainingRows
    examples: int
    """How many records the job itself set aside for its prompt: they are left out here."""

    def __len__(self) -> int:
        """How many records there are."""
        return len(self.rows.answers)

    def take(self, at: npt.NDArray[np.int64]) -> TrainingRows:
        """Some of the records."""
        return TrainingRows(self.rows.seen.take(at), self.rows.answers[at])


def load_pool(output: pathlib.Path, oracle: pathlib.Path | None = None) -> Pool:
    """Read the answers of a finished job's small model from its journal, where the oracle knows the text."""
    stored = output / "state" / "calibration" / "calibration.json"
    calibration = json.loads(stored.read_text()) if stored.exists() else None
    table = pl.read_parquet(str(output / "annotations-*.parquet"))
    task = table["annotation"].struct.field("task")[0]
    manifest = json.loads((output / "state" / "manifest.json").read_text())
    names = [label["name"] for label in manifest["job"]["tasks"][0]["labels"]]
    small = manifest["job"]["routing"]["default"]
    fingerprint = manifest["answers"][small][task]
    said = answers_of(str(output / "state" / "journal"), fingerprint, small)
    answers = {key: one.scores for key, one in said.items() if one.scores is not None}
    texts = table["text"].to_list()
    spent = _first_texts(output, calibration)
    kept = [(text, gold) for text, gold in zip(texts, table["label"], strict=True) if text not in spent]
    if oracle is not None:
        theirs = pl.read_parquet(str(oracle / "annotations-*.parquet"))
        known = dict(zip(theirs["text"], theirs["annotation"].struct.field("label"), strict=True))
        kept = [(text, known[text]) for text, _ in kept if text in known]
    found = [(answers[text_key(text, task)], names.index(gold)) for text, gold in kept]
    labels = np.array([label for _, label in found], np.int64)
    seen = gather([one for one, _ in found])
    if seen.features is not None and seen.embedding is None:
        encoder = TextEncoder(asset_path(ENCODER))
        seen = replace(seen, embedding=np.stack([encoder.encode(text) for text, _ in kept]))
    return Pool(TrainingRows(seen, labels), len(spent))


def _first_texts(output: pathlib.Path, calibration: dict[str, Any] | None) -> set[str]:
    if calibration is None:
        return set()
    lines = (output / "state" / "calibration" / "pilot.jsonl").read_text().splitlines()
    return {json.loads(line)["text"] for line in lines[1 : 1 + calibration["sizes"]["examples"]]}


@dataclass(frozen=True)
class Outcome:
    """One simulated job."""

    avoided: float
    agreement: float
    trained: int
    certified: int


def simulate(pool: Pool, target: float, job: int, seed: int, *, trained: int | None = None) -> Outcome:
    """Draw a pilot as the program does, certify, and look at what the whole job would be.

    With `trained`, so many records train the head; without it, as many as the program finds worth it.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pool))
    terms = Terms(target, _DELTA, job, job)
    least = max(100, 6 * pool.rows.seen.scores.shape[1])
    grows = trained is None
    trained = min(max(job // 40, least), max(800, least)) if trained is None else trained
    fit, plan, before = _fitted(pool, order[:trained], terms, pool.examples + trained)
    while (
        grows
        and 2 * trained <= len(order) // 2
        and worth_growing(plan, before, pool.examples + trained, terms)
    ):
        trained = 2 * trained
        fit, plan, before = _fitted(pool, order[:trained], terms, pool.examples + trained)
    sure, right = fit(order[trained:])
    left = job - pool.examples - trained
    # The rest of the job: the records that are left, or as many drawn from them as a larger one has.
    rest = np.arange(len(sure)) if left <= len(sure) else rng.integers(0, len(sure), left)
    certifying, others = rest[: plan.certify], rest[plan.certify :]
    rows = CertifyingRows(sure[certifying], right[certifying])
    population = Population(len(rest), len(rest) + pool.examples + trained)
    found = certify(rows, target=target, delta=_DELTA, population=population, escalates=True)
    kept = sure[others] >= found.threshold if found.threshold < NOTHING else np.zeros(len(others), bool)
    wrong = int((kept & ~right[others]).sum())
    whole = population.job
    return Outcome(float(kept.sum() / whole), 1.0 - wrong / whole, trained, len(certifying))


def _fitted(
    pool: Pool, at: npt.NDArray[np.int64], terms: Terms, asked: int
) -> tuple[Callable[[npt.NDArray[np.int64]], tuple[Any, Any]], SizePlan, SizePlan]:
    rows = pool.take(at)
    choice = choose_head(rows)
    seen = choice.chosen.held_back
    agrees = seen.argmax(axis=1) == rows.answers
    curve = fit_confidence(seen.max(axis=1), agrees)

    def read(others: npt.NDArray[np.int64]) -> tuple[Any, Any]:
        them = pool.take(others)
        said = (
            choice.scaled.probabilities(them.seen.scores)
            if choice.head is None
            else choice.head.probabilities(them.seen)
        )
        return curve(said.max(axis=1)), said.argmax(axis=1) == them.answers

    now = plan_size(curve(seen.max(axis=1)), agrees, terms, asked)
    half = choice.halved
    halved = half.argmax(axis=1) == rows.answers
    fewer = plan_size(curve(half.max(axis=1)), halved, terms, asked, fixed=now.certify or None)
    return read, now, with_half(now, fewer)


def bargain(
    confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_], target: float, seed: int
) -> float:
    """The share of calls that BARGAIN_A avoids with its defaults."""
    from BARGAIN import BARGAIN_A, Oracle, Proxy  # noqa: PLC0415 - only where it is installed

    class Small(Proxy):  # type: ignore[misc]  # it has no types
        def get_preds_and_scores(self, indxs: Any, data_records: Any) -> Any:  # noqa: ANN401, ARG002
            at = np.array([int(one) for one in data_records], np.int64)
            return right[at], confidence[at]

    class Large(Oracle):  # type: ignore[misc]
        def is_answer_correct(self, indxs: Any, data_records: Any, preds: Any) -> Any:  # noqa: ANN401, ARG002
            return np.array([bool(one) for one in preds], bool)

        def get_pred(self, data_records: Any, indxs: Any = None) -> Any:  # noqa: ANN401, ARG002
            return np.array([True] * len(data_records))

    process = BARGAIN_A(Small(verbose=False), Large(verbose=False), target, _DELTA, verbose=False, seed=seed)
    _, used = process.process([str(n) for n in range(len(right))], return_oracle_usage=True)
    return 1.0 - float(np.mean(used))


def compare(name: str, pool: Pool, zero: tuple[Any, Any] | None, draws: int) -> Iterator[dict[str, Any]]:
    """A line for each target and size of job."""
    for target in (0.90, 0.95):
        for job in (len(pool) + pool.examples, _LARGE_JOB):
            found = [simulate(pool, target, job, seed) for seed in range(draws)]
            line: dict[str, Any] = {
                "data": name,
                "target": target,
                "job": job,
                "avoided": round(float(np.mean([one.avoided for one in found])), 3),
                "agreement": round(float(np.mean([one.agreement for one in found])), 4),
                "least_agreement": round(min(one.agreement for one in found), 4),
                "train": int(np.median([one.trained for one in found])),
                "certify": int(np.median([one.certified for one in found])),
            }
            if zero is not None and importlib.util.find_spec("BARGAIN"):
                line["bargain_zero_shot"] = round(_bargain_mean(*zero, target, job, draws), 3)
            if importlib.util.find_spec("BARGAIN"):
                line["bargain_our_prompt"] = round(_bargain_mean(*_raw(pool), target, job, draws), 3)
            yield line


def _raw(pool: Pool) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    scores = pool.rows.seen.scores
    return scores.max(axis=1), scores.argmax(axis=1) == pool.rows.answers


def _bargain_mean(confidence: Any, right: Any, target: float, job: int, draws: int) -> float:  # noqa: ANN401
    shares = []
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        at = rng.integers(0, len(right), job) if job > len(right) else rng.permutation(len(right))[:job]
        shares.append(bargain(confidence[at], right[at], target, seed))
    return float(np.mean(shares))


def main() -> None:
    """Print a JSON line for each dataset, target and size of job."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("outputs", nargs="+", type=pathlib.Path)
    parser.add_argument(
        "--zero", nargs="*", type=pathlib.Path, default=[], help="NPZ files NAME.npz: P, gold"
    )
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--oracle", type=pathlib.Path, help="a finished job whose answers are the oracle's")
    given = parser.parse_args()
    zeros = {path.stem: path for path in given.zero}
    for output in given.outputs:
        name = json.loads((output / "state" / "manifest.json").read_text())["job"]["name"]
        zero = None
        if name in zeros:
            loaded = np.load(zeros[name])
            zero = (loaded["P"].max(axis=1).astype(float), loaded["P"].argmax(axis=1) == loaded["gold"])
        for line in compare(name, load_pool(output, given.oracle), zero, given.draws):
            print(json.dumps(line), flush=True)  # noqa: T201 - the tool's output


if __name__ == "__main__":
    main()
