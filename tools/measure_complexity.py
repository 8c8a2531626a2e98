"""Measure complexity before and after the small model's answer. Prints a JSON line for each figure.

    python -m tools.measure_complexity --data FOLDER --dataset sst2 --output OUTPUT [--seed N]
    python -m tools.measure_complexity --output OUTPUT

FOLDER holds labelled datasets as NAME.parquet (columns id, text, label, split). Gemma answers rows of train
and of test in a job of its own, unless OUTPUT is finished already; the gold label stands for the large model.
All is learned from the records of train and measured on those of test. An output without a column `split` is
halved: each second record is learned from.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, fields
from operator import eq
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import yaml

from pipelines.job_outcomes import is_output
from pipelines.router_hindsight import known_confidence, learn_hindsight
from pipelines.router_training import LabelledTexts, read_labelled
from router.assets import asset_path
from router.findings import Wanted
from router.route_labels import HARD
from router.route_training import RouteRows, fit_route_head
from router.routing_quality import auroc, routing_quality
from router.text_view import view_texts
from tools.measure import SOURCES, TASKS, draw_examples
from tools.measure_router import tell
from transforms.route_records import RouterPlace, load_router
from transforms.text_encoder import ENCODER, TextEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

_SEED = 20240607
_RESAMPLES = 2_000


def annotate(given: argparse.Namespace) -> None:
    """Let Gemma answer the first rows of train, less the examples, and of test."""
    rows = pl.read_parquet(given.data / f"{given.dataset}.parquet").select("id", "text", "label", "split")
    train, test = (rows.filter(pl.col("split") == split) for split in ("train", "test"))
    name, instruction = TASKS[given.dataset]
    labels = sorted(rows["label"].unique())
    examples = draw_examples(train, labels, given.examples, given.seed)
    train = train.filter(~pl.col("text").is_in([one["text"] for one in examples]))
    asked = pl.concat([train.head(given.rows), test.head(given.test_rows)]).rename({"label": "gold"})
    task = {"name": name, "instruction": instruction, "examples": examples}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        asked.write_parquet(path / "in.parquet", row_group_size=256)
        job = {
            "name": f"complexity {given.dataset}",
            "input": {"path": str(path / "in.parquet"), "id": "id", "gold": "gold"},
            "output": {"path": given.output},
            "tasks": [{**task, "labels": [{"name": label} for label in labels]}],
            "models": {"small": {"engine": "llama_cpp", "source": SOURCES["gemma3"], "threads": 1}},
            "routing": {"default": "small", "escalate_to": None},
            "router": {"find": "needed"},
        }
        (path / "job.yaml").write_text(yaml.safe_dump(job, allow_unicode=True), encoding="utf-8")
        command = [sys.executable, "-m", "pipelines.cli", "run", str(path / "job.yaml")]
        subprocess.run(command, check=True, stdout=sys.stderr)


def measure(output: str) -> None:
    """Learn from some of a job's records, and measure on the others."""
    rows = read_labelled(output, "complexity", "text", None)
    views = view_texts(rows.texts, TextEncoder(asset_path(ENCODER)).encode_all)
    learned = _learned(output, rows.texts)
    train, test = _some(rows, learned), _some(rows, ~learned)
    seen, new = ([views[at] for at in np.flatnonzero(use)] for use in (learned, ~learned))
    fitted = fit_route_head(RouteRows(seen, train.labels))
    hindsight = learn_hindsight(train, seen, fitted)
    sure = known_confidence(test)
    if hindsight is None or sure is None:
        raise SystemExit(f"{output}: nearly all answers are alike, or a confidence is missing")
    held_back = fitted.held_back[:, fitted.head.labels.index(HARD)]
    ways = {
        "the small model's confidence": -np.array(train.confidences, np.float64),
        "learned, before": held_back,
        "learned, after": hindsight.held_back,
    }
    _tell_ways("held back", ways, train)
    prior = load_router(RouterPlace()).router.find(test.texts, Wanted(task=False, domain=False))
    started = time.process_time()
    after = np.asarray(hindsight.wrong_probabilities(test, new))
    taken = 1000 * (time.process_time() - started) / len(after)
    ways = {
        "prior": np.array([one.complexity or 0.0 for one in prior]),
        "learned, before": fitted.head.probabilities(new)[:, fitted.head.labels.index(HARD)],
        "the small model's confidence": -sure,
        "learned, after": after,
    }
    _tell_ways("test", ways, test)
    if hindsight.opinion is not None:
        head = hindsight.opinion.head
        said = [head.labels[at] for at in head.probabilities(new).argmax(axis=1)]
        tell("second opinion", correct=round(float(np.mean([*map(eq, said, test.truths)])), 4))
    hard = np.array([label == HARD for label in test.labels])
    way, more = hindsight.hindsight.way, _paired(-sure, after, hard)
    tell("after against confidence", counts=way, milliseconds_a_record=round(taken, 3), **more)


def _tell_ways(rows: str, ways: dict[str, npt.NDArray[np.float64]], of: LabelledTexts) -> None:
    small, large = (np.array(one) for one in zip(*of.outcomes, strict=True))
    right = round(float(small.mean()), 4)
    for way, score in ways.items():
        found = asdict(routing_quality(score, small, large))
        shown = {name: value and round(value, 4) for name, value in found.items()}
        tell("complexity", rows=rows, records=len(small), small_correct=right, way=way, **shown)


def _learned(output: str, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which of an output's records are learned from."""
    rows = pl.read_parquet(f"{output.rstrip('/')}/annotations-*.parquet")
    if "split" not in rows.columns:
        return np.arange(len(texts)) % 2 == 0
    splits = dict(zip(rows["text"], rows["split"], strict=True))
    return np.array([splits[text] != "test" for text in texts], bool)


def _some(rows: LabelledTexts, use: npt.NDArray[np.bool_]) -> LabelledTexts:
    at = np.flatnonzero(use)
    return LabelledTexts(*([getattr(rows, part.name)[i] for i in at] for part in fields(LabelledTexts)))


def _paired(
    one: npt.NDArray[np.float64], other: npt.NDArray[np.float64], hard: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    """How much better the other ranks the same records: its area less the one's, and a bootstrap interval."""
    rng = np.random.default_rng(_SEED)
    gains = [
        (auroc(other[drawn], hard[drawn]) or 0.0) - (auroc(one[drawn], hard[drawn]) or 0.0)
        for drawn in (rng.integers(0, len(hard), len(hard)) for _ in range(_RESAMPLES))
    ]
    low, high = np.percentile(gains, (2.5, 97.5))
    gain = (auroc(other, hard) or 0.0) - (auroc(one, hard) or 0.0)
    return {"auroc_gain": round(gain, 4), "interval": [round(float(low), 4), round(float(high), 4)]}


def main() -> None:
    """Run the job where it has to be, and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", required=True, help="the job's output folder")
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--dataset", choices=sorted(TASKS))
    parser.add_argument("--rows", type=int, default=3_000, help="of train, the examples left out")
    parser.add_argument("--test-rows", type=int, default=3_000)
    parser.add_argument("--examples", type=int, default=4, help="per label, drawn from train")
    parser.add_argument("--seed", type=int, default=_SEED, help="of the draw of the examples")
    given = parser.parse_args()
    if given.dataset is not None and not is_output(given.output):
        if given.data is None:
            parser.error("--dataset needs --data")
        annotate(given)
    measure(given.output)


if __name__ == "__main__":
    main()
