"""Train a pack's head on the text alone, from labelled rows whose licence allows it.

    python -m tools.train_pack_head --data banking77.parquet --pack configs/domains/customer-support

The file has the columns text, label and split. The head is a multinomial logistic regression on the router's
sentence encoder, fitted to `train`; its strength is that with the lowest log-loss on `dev`, which also gives
its confidence. What it is worth on `test` is printed, and not looked at for anything else. (The student that
a calibration fits looks at n-grams too: with 77 labels and 3,000 rows it was no better, .881 on `dev` against
.905, ten times as large, and took a quarter of an hour.)
"""

from __future__ import annotations

import argparse
import json
import pathlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression

from router.assets import asset_path
from router.calibration import surety
from router.calibration_file import write_calibration
from router.certification import Certification, CertifyingRows
from router.confidence import ConfidenceCurve, fit_confidence
from router.domain_pack import HEAD_FILES, find_pack
from router.evaluation import share
from router.gate import NOTHING, GateRule
from router.gate_calibration import GateCalibration, StudentReport
from router.job_loading import read_local
from router.student import Student, task_probabilities
from router.surface import NAMES as SURFACE
from transforms.ask_student import encoder_digest, look_at
from transforms.text_encoder import ENCODER, read_card

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from router.text_view import TextView

_STRENGTHS = (0.3, 1.0, 3.0, 10.0)
_SPREAD, _MOST_STEPS = 5.0, 500
_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def fitted(task: str, views: Sequence[TextView], labels: Sequence[str], strength: float) -> Student:
    """A head on the texts' vectors alone, which answers all; scikit-learn's C is the strength."""
    seen = np.stack([view.embedding for view in views]).astype(np.float64)
    model = LogisticRegression(C=strength, max_iter=_MOST_STEPS).fit(seen * _SPREAD, labels)
    names = tuple(str(name) for name in model.classes_)
    # Nothing is learned from the surface, which students look at too.
    dense = np.hstack([model.coef_ * _SPREAD, np.zeros((len(names), len(SURFACE)))])
    return Student(
        task,
        names,
        dense.astype(np.float32),
        np.zeros(0, np.int32),
        np.zeros((0, len(names)), np.float16),
        model.intercept_.astype(np.float32),
        1.0,
        ConfidenceCurve(),
        0.0,
        len(labels),
        encoder_digest(),
    )


def probabilities(
    student: Student, views: Sequence[TextView], labels: Sequence[str]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """What the head says, shape (texts, labels), and the places of the right labels."""
    truth = np.array([student.labels.index(label) for label in labels], np.int64)
    return task_probabilities(student.head, views, student.labels), truth


def log_loss(student: Student, views: Sequence[TextView], labels: Sequence[str]) -> float:
    """Mean log-loss, in nats."""
    seen, truth = probabilities(student, views, labels)
    return float(-np.log(np.maximum(seen[np.arange(len(truth)), truth], 1e-12)).mean())


def with_confidence(student: Student, views: Sequence[TextView], labels: Sequence[str]) -> Student:
    """The head with a confidence from rows that it was not fitted to."""
    seen, truth = probabilities(student, views, labels)
    curve = fit_confidence(surety(seen, multi_label=False), seen.argmax(axis=1) == truth)
    return replace(student, curve=curve)


def judged(student: Student, views: Sequence[TextView], labels: Sequence[str]) -> dict[str, Any]:
    """Accuracy, and what a threshold on the confidence would keep, how much of it right."""
    seen, truth = probabilities(student, views, labels)
    right = seen.argmax(axis=1) == truth
    confidence: npt.NDArray[np.float64] = student.curve(surety(seen, multi_label=False))
    one = share(int(right.sum()), len(right))
    kept = {f"{at:g}": _kept(confidence >= at, right) for at in _THRESHOLDS}
    return {"records": one.of, "accuracy": one.rate, "low": one.low, "high": one.high, "kept_from": kept}


def _kept(keeps: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_]) -> dict[str, float]:
    accuracy = float(right[keeps].mean()) if keeps.any() else float("nan")
    return {"share": round(float(keeps.mean()), 4), "accuracy": round(accuracy, 4)}


def write_head(student: Student, folder: pathlib.Path, said: str) -> None:
    """Write the head as a calibration without a gate."""
    none = np.empty(0)
    empty = CertifyingRows(none, none.astype(bool), None, ())
    found = GateCalibration(
        (),
        (),
        GateRule(NOTHING),
        Certification(None, {}),
        {},
        {},
        empty,
        note=said,
        students=(student,),
        student_reports=(StudentReport(student.task, said),),
    )
    value, arrays = write_calibration(found)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / HEAD_FILES[1]).write_bytes(arrays)
    text = json.dumps({"job_digest": "", **value}, ensure_ascii=False, indent=1)
    (folder / HEAD_FILES[0]).write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Read the arguments, fit, write, and say what it is worth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--pack", required=True)
    arguments = parser.parse_args()
    rows = pl.read_parquet(arguments.data)
    parts = {name: rows.filter(pl.col("split") == name) for name in ("train", "dev", "test")}
    views = {name: look_at(part["text"].to_list()) for name, part in parts.items()}
    labels = {name: part["label"].to_list() for name, part in parts.items()}
    folder = pathlib.Path(str(find_pack(arguments.pack, read_local).folder))
    task = find_pack(arguments.pack, read_local).pack.task.name
    tried = [fitted(task, views["train"], labels["train"], strength) for strength in _STRENGTHS]
    best = min(tried, key=lambda one: log_loss(one, views["dev"], labels["dev"]))
    student = with_confidence(best, views["dev"], labels["dev"])
    encoder = read_card(asset_path(ENCODER)).name
    sizes = f"{len(labels['train']):,} rows, its confidence from {len(labels['dev']):,} others"
    write_head(student, folder / "head", f"a linear head on {encoder}, trained on {sizes}")
    print(json.dumps(judged(student, views["test"], labels["test"]), indent=1))  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
