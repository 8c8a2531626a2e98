"""A calibration as files: what is read is what was written, and what is damaged is refused."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from router.calibration_file import read_calibration, write_calibration
from router.certification import CertifyingRows
from router.evidence import Evidence
from router.gate_calibration import StudentReport
from tests.router.calibration_examples import gate_calibration, in_slices, model, student

if TYPE_CHECKING:
    from router.gate_calibration import GateCalibration

MODEL = 2
"""The one that has a head and a chosen prompt."""


def again(found: GateCalibration) -> GateCalibration:
    """The calibration after it was written as strict JSON and read."""
    value, arrays = write_calibration(found)
    return read_calibration(json.loads(json.dumps(value, allow_nan=False)), arrays)


def plain(value: Any) -> Any:
    """Any part of a calibration as values that can be compared; arrays bit by bit."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(plain(one) for one in value)
    return value


NOTHING_LEARNED = gate_calibration(models=(), reports=(), rows=CertifyingRows(np.empty(0), np.empty(0, bool)))


WITH_STUDENT = gate_calibration(
    students=(student(),),
    student_reports=(
        StudentReport("mood", "answers 40 %", {"rows": 7}),
        StudentReport("topics", "left out: too few"),
    ),
)


@pytest.mark.parametrize("found", [gate_calibration(), in_slices(), NOTHING_LEARNED, WITH_STUDENT])
def test_nothing_changes(found: GateCalibration) -> None:
    """Thresholds at infinity, intercepts at minus infinity, slices, examples in any script included."""
    assert plain(again(found)) == plain(found)


def test_a_calibration_from_before_there_were_students_is_read() -> None:
    """It has none."""
    value, arrays = write_calibration(gate_calibration())
    before = {key: one for key, one in value.items() if key not in {"students", "student_reports"}}

    assert read_calibration(before, arrays).students == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cut": 0.5}, "is not the one that was certified"),
        ({"labels": ["bad"]}, "has weights of the shapes"),
    ],
)
def test_another_student_is_refused(changes: dict[str, Any], says: str) -> None:
    """One whose cut or labels were edited did not certify the gate."""
    value, arrays = write_calibration(WITH_STUDENT)
    value["students"][0] |= changes

    with pytest.raises(ValueError, match=says):
        read_calibration(value, arrays)


def test_a_head_computes_the_same() -> None:
    """Every bit of it."""
    before, after = gate_calibration().models[MODEL], again(gate_calibration()).models[MODEL]
    scores = np.array([[0.3, 0.7]])

    assert before.head is not None
    assert after.head is not None
    assert (
        before.head.probabilities(Evidence(scores)).tolist()
        == after.head.probabilities(Evidence(scores)).tolist()
    )


def test_weights_in_any_layout_come_back() -> None:
    """A transposed array is not written as it lies in memory."""
    one = gate_calibration().models[MODEL].head
    assert one is not None
    turned = dataclasses.replace(one, weights=np.asfortranarray(one.weights))

    found = gate_calibration(models=(model(), model(), model(head=turned)))

    [after] = [given.head for given in again(found).models if given.head is not None]
    assert after.weights.tolist() == one.weights.tolist()


def test_the_share_to_audit_is_the_jobs_and_not_the_calibrations() -> None:
    """It comes from the job file of each run."""
    found = gate_calibration(rule=dataclasses.replace(gate_calibration().rule, audit=0.3))

    assert again(found).rule.audit == 0.0


VALUE, ARRAYS = write_calibration(gate_calibration())


def parts_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of everything in JSON objects that a reader needs."""
    if not isinstance(value, dict):
        return []
    free = ("terms", "sizes", "held_back", "trials", "certification", "parts")
    return [
        one
        for key, part in value.items()
        for one in [(*path, key), *(parts_of(part, (*path, key)) if key not in free else [])]
    ]


def changed(path: tuple[Any, ...], *, to: Any = None) -> dict[str, Any]:
    """The calibration's JSON without one of its parts, or with another one in its place."""
    value: dict[str, Any] = json.loads(json.dumps(VALUE))
    place: Any = value
    for key in path[:-1]:
        place = place[key]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return value


UNREAD = {("gate", "audit"), ("students",), ("student_reports",)}
IN_A_MODEL = [("models", MODEL, *path) for path in parts_of(VALUE["models"][MODEL])]
NEEDED = [path for path in [*parts_of(VALUE), *IN_A_MODEL] if path not in UNREAD]


@pytest.mark.parametrize("path", NEEDED, ids=lambda path: ".".join(map(str, path)))
def test_a_missing_part_is_refused(path: tuple[Any, ...]) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="calibration"):
        read_calibration(changed(path), ARRAYS)


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("models",), 7),
        (("models",), ["x"]),
        (("gate",), []),
        (("gate", "slices"), []),
        (("certification", "whole"), {}),
        (("certification", "whole", "extra"), 1),
        (("certifying",), "x"),
        (("certifying", "confidence"), ["x"]),
        (("models", MODEL, "prompt", "form"), {"form": "plain", "closing": ""}),
        (("models", MODEL, "prompt", "examples"), [{"text": ""}]),
        (("models", MODEL, "curve"), {"above": 1.0, "beyond": 2.0}),
        (("models", MODEL, "curve"), {}),
        (("models", 0, "head"), "scores"),
    ],
)
def test_another_part_is_refused(path: tuple[Any, ...], to: Any) -> None:
    """A head whose weights are not there, too."""
    with pytest.raises(ValueError):  # noqa: PT011 - numpy and pydantic refuse in their own words
        read_calibration(changed(path, to=to), ARRAYS)


@pytest.mark.parametrize("size", [0, 1, 8, 20, len(ARRAYS) // 2, len(ARRAYS) - 1])
def test_torn_weights_are_refused(size: int) -> None:
    """Wherever they were torn."""
    with pytest.raises(ValueError, match="not a calibration"):
        read_calibration(VALUE, ARRAYS[:size])


@pytest.mark.parametrize("number", [0, 2, "1"])
def test_another_version_is_refused(number: Any) -> None:
    """It says which one this is."""
    with pytest.raises(ValueError, match=f"format {number!r}; this version reads 1"):
        read_calibration(changed(("format",), to=number), ARRAYS)
