"""Train a pack's head on the text alone, from labelled rows whose licence allows it.

    python -m tools.train_pack_head --data banking77.parquet --pack configs/domains/customer-support

The file has the columns text, label and split. The head is fitted to `train` (some minutes of one core for 77
labels and 3,000 rows), keeps the n-grams with the largest weights, and gets temperature and confidence from
`dev`. What it is worth on `test` is printed, and not looked at for anything else.
"""

from __future__ import annotations

import argparse
import json
import pathlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from router.assets import asset_path
from router.calibration import surety
from router.calibration_file import write_calibration
from router.certification import Certification, CertifyingRows
from router.confidence import fit_confidence
from router.domain_pack import HEAD_FILES, find_pack
from router.evaluation import share
from router.gate import NOTHING, GateRule
from router.gate_calibration import GateCalibration, StudentReport
from router.job_loading import read_local
from router.student import Student, task_probabilities
from router.student_training import fit_student
from transforms.ask_student import encoder_digest, look_at
from transforms.text_encoder import ENCODER, read_card

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from router.text_view import TextView

_TEMPERATURES = np.geomspace(0.2, 3.0, 141)
_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def shortened(student: Student, keep: int) -> Student:
    """The student with the `keep` n-grams whose weights are largest."""
    size = np.linalg.norm(student.ngrams.astype(np.float32), axis=1)
    kept = np.sort(np.argsort(-size, kind="stable")[:keep])
    return replace(student, buckets=student.buckets[kept], ngrams=student.ngrams[kept])


def calibrated(student: Student, views: Sequence[TextView], labels: Sequence[str]) -> Student:
    """The student with temperature and confidence from rows that it was not fitted to; it answers all."""
    truth = np.array([student.labels.index(label) for label in labels])
    seen = task_probabilities(student.head, views, student.labels)
    logs = student.temperature * np.log(np.maximum(seen, 1e-12))

    def loss(temperature: float) -> float:
        scaled = logs / temperature
        right = scaled[np.arange(len(truth)), truth]
        return float((np.logaddexp.reduce(scaled, axis=1) - right).mean())

    ready = replace(student, temperature=float(min(_TEMPERATURES, key=loss)), cut=0.0)
    seen = task_probabilities(ready.head, views, ready.labels)
    curve = fit_confidence(surety(seen, multi_label=False), seen.argmax(axis=1) == truth)
    return replace(ready, curve=curve)


def judged(student: Student, views: Sequence[TextView], labels: Sequence[str]) -> dict[str, Any]:
    """Accuracy, and what a threshold on the confidence would keep, how much of it right."""
    truth = np.array([student.labels.index(label) for label in labels])
    seen = task_probabilities(student.head, views, student.labels)
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
    parser.add_argument("--keep", type=int, default=8192, help="n-grams that keep their weights")
    arguments = parser.parse_args()
    rows = pl.read_parquet(arguments.data)
    parts = {name: rows.filter(pl.col("split") == name) for name in ("train", "dev", "test")}
    views = {name: look_at(part["text"].to_list()) for name, part in parts.items()}
    labels = {name: part["label"].to_list() for name, part in parts.items()}
    folder = pathlib.Path(str(find_pack(arguments.pack, read_local).folder))
    task = find_pack(arguments.pack, read_local).pack.task.name
    fitted = fit_student(task, views["train"], labels["train"], encoder=encoder_digest())
    if fitted is None:
        raise SystemExit("too few rows of two labels")
    student = calibrated(shortened(fitted.student, arguments.keep), views["dev"], labels["dev"])
    encoder = read_card(asset_path(ENCODER)).name
    sizes = f"{len(labels['train']):,} rows, its confidence from {len(labels['dev']):,} others"
    write_head(student, folder / "head", f"a linear head on {encoder} and n-grams, trained on {sizes}")
    print(json.dumps(judged(student, views["test"], labels["test"]), indent=1))  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
