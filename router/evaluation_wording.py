"""What an evaluation says in words, on the terminal and on its page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router.evaluation import read_labels
from router.failed_checks import told_checks

if TYPE_CHECKING:
    from collections.abc import Mapping


def headline(quality: Mapping[str, Any]) -> str:
    """Accuracy with its interval, macro F1 and calibration error, as far as they are known."""
    accuracy, f1 = quality["accuracy"], quality["macro_f1"]
    if "written" in quality:
        return _of_answers(quality["written"], accuracy)
    if accuracy["rate"] is None:
        return "no record has a true label"
    error = quality["calibration"]["expected_error"]
    parts = [
        f"accuracy {accuracy['rate']:.3f} (95 % interval {interval(accuracy)})",
        None if f1 is None else f"macro F1 {f1:.3f}",
        None if error is None else f"calibration error {error:.3f}",
    ]
    return ", ".join(part for part in parts if part)


def _of_answers(written: Mapping[str, Any], right: Mapping[str, Any]) -> str:
    said = []
    if written["check"] is None:
        said.append("no `check`, so nothing tells which answers are right")
    elif right["rate"] is None:
        said.append("no record has a right answer to check against")
    else:
        said.append(
            f"{right['rate']:.3f} pass the check against gold (95 % interval {interval(right)}, "
            f"{right['of']:,} records)"
        )
    others = "pass the checks" if written["check"] is None else "pass the other checks"
    for key, name in (("valid", "valid JSON of the schema"), ("passed_checks", others)):
        one = written[key]
        if one is not None and one["rate"] is not None:
            said.append(f"{one['rate']:.3f} {name} ({interval(one)})")
    return ", ".join(said)


def missing(quality: Mapping[str, Any]) -> str | None:
    """What nobody can tell of written answers, why, and what to do; None where some are held against gold."""
    written = quality.get("written")
    if written is None or quality["accuracy"]["of"]:
        return None
    wanted = [
        None if written["check"] is not None else "give the task `check`",
        None if written["with_gold"] else "name a column with right answers in input.gold",
    ]
    return (
        f"How many answers are right is not known: {' and '.join(filter(None, wanted))}, and run the job "
        "again, which takes the answers from its journal. Until then, read a sample (review-*.jsonl begins "
        "with the most doubtful)."
    )


def failed(quality: Mapping[str, Any]) -> str | None:
    """Which checks written answers fail, the most frequent first; None where they pass all."""
    return told_checks(quality.get("written", {}).get("failed", {})) or None


def interval(share: Mapping[str, Any]) -> str:
    """From where to where the rate behind a share may be."""
    return f"{share['low']:.3f} to {share['high']:.3f}"


def agreement(audit: Mapping[str, Any] | None) -> str:
    """How often the small model said what the oracle said, where both were asked about the same records."""
    if audit is None:
        return "not measured: the job had no audit"
    if not audit["records"]:
        return "not measured: no record was audited"
    return (
        f"{audit['rate']:.3f} (95 % interval {interval(audit)}): the small model said the same of "
        f"{audit['agreed']:,} of {audit['records']:,} audited records"
    )


def gate(stated: Mapping[str, Any] | None) -> str:
    """From which confidence on the small model's answer stood, and what is promised of that."""
    if stated is None:
        return "not stated in summary.json"
    target, delta = stated.get("target"), stated.get("delta")
    parts = [
        _threshold(stated),
        "certified" if stated.get("certified") else "not certified",
        None if target is None else f"target {target:g}",
        None if delta is None else f"delta {delta:g}",
    ]
    return ", ".join(part for part in parts if part)


def _threshold(stated: Mapping[str, Any]) -> str:
    slices, threshold = stated.get("slices"), stated.get("threshold")
    if slices:
        return f"a threshold for each of {len(slices):,} slices"
    return "no small model's answer is trusted" if threshold is None else f"threshold {threshold:.4g}"


def answer(written: str, kind: str) -> str:
    """An answer as people read it: a label, or a set of them."""
    if kind != "multi_label":
        return written
    return ", ".join(read_labels(written)) or "(none)"
