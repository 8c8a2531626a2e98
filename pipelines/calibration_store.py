"""A calibration in its folder: saved when it is made, found again by a continued run or a later job."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import fsspec

from router.calibration_file import read_calibration, write_calibration
from router.journal import Entry, read_entry, write_entry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fsspec import AbstractFileSystem

    from router.gate_calibration import GateCalibration
    from router.records import Answer

_JSON, _ARRAYS, _ORACLE, _SPARE = (
    "calibration.json",
    "calibration.safetensors",
    "oracle.jsonl",
    "spare.jsonl",
)


class CalibrationError(ValueError):
    """A calibration cannot be used; one line that says why and what to do."""


@dataclass(frozen=True)
class StoredCalibration:
    """A calibration with the answers that it is based on."""

    calibration: GateCalibration
    oracle: Mapping[bytes, Answer]
    """What the large model said of the pilot's records, by text key."""
    spare: Mapping[bytes, Sequence[Answer]]
    """What else was asked about them and counts on their account."""

    @property
    def pilot(self) -> dict[bytes, tuple[Answer, ...]]:
        """All of it by text key, as the main pass takes it."""
        found: dict[bytes, list[Answer]] = defaultdict(list)
        for key, answer in self.oracle.items():
            found[key].append(answer)
        for key, answers in self.spare.items():
            found[key] += answers
        return {key: tuple(answers) for key, answers in found.items()}


def save_stored(stored: StoredCalibration, url: str, job_digest: str) -> None:
    """Write the calibration to a folder; the JSON file, which makes it one, comes last."""
    filesystem, folder = fsspec.core.url_to_fs(url)
    filesystem.makedirs(folder, exist_ok=True)
    value, arrays = write_calibration(stored.calibration)
    filesystem.pipe_file(f"{folder}/{_ARRAYS}", arrays)
    _write_answers(filesystem, f"{folder}/{_ORACLE}", [(k, a) for k, a in stored.oracle.items()])
    spare = [(key, answer) for key, answers in stored.spare.items() for answer in answers]
    _write_answers(filesystem, f"{folder}/{_SPARE}", spare)
    data = json.dumps({"job_digest": job_digest, **value}, ensure_ascii=False, indent=1).encode()
    filesystem.pipe_file(f"{folder}/{_JSON}", data)


def _write_answers(
    filesystem: AbstractFileSystem, path: str, answers: Sequence[tuple[bytes, Answer]]
) -> None:
    # A spare answer is worth its account only, for which the model's name is needed too.
    with filesystem.open(path, "wb") as stream:
        for key, answer in answers:
            slim = replace(answer, scores=None) if answer.labels is not None else answer
            stream.write(json.dumps(answer.model).encode() + b"\t" + write_entry(Entry(key, slim)))


def _read_answers(filesystem: AbstractFileSystem, path: str) -> list[tuple[bytes, Answer]]:
    found = []
    for line in filesystem.cat_file(path).splitlines(keepends=True):
        name, _, rest = line.partition(b"\t")
        entry = read_entry(rest, json.loads(name))
        if entry is not None:
            found.append((entry.text_key, entry.answer))
    return found


def find_stored(url: str, job_digest: str) -> StoredCalibration | None:
    """The calibration in a folder, if it was made for this very job; None where there is none."""
    filesystem, folder = fsspec.core.url_to_fs(url)
    filesystem.invalidate_cache()
    path = f"{folder}/{_JSON}"
    if not filesystem.exists(path):
        return None
    try:
        value = json.loads(filesystem.cat_file(path))
        if value.get("job_digest") != job_digest:
            return None
        calibration = read_calibration(value, filesystem.cat_file(f"{folder}/{_ARRAYS}"))
    except (ValueError, FileNotFoundError):
        return None
    oracle = dict(_read_answers(filesystem, f"{folder}/{_ORACLE}"))
    spare: dict[bytes, list[Answer]] = defaultdict(list)
    for key, answer in _read_answers(filesystem, f"{folder}/{_SPARE}"):
        spare[key].append(replace(answer, spare=True))
    return StoredCalibration(calibration, oracle, spare)


def load_artefact(url: str) -> GateCalibration:
    """The calibration of a folder that a job names. Raises `CalibrationError` where there is none."""
    filesystem, folder = fsspec.core.url_to_fs(url.rstrip("/"))
    try:
        value = json.loads(filesystem.cat_file(f"{folder}/{_JSON}"))
        return read_calibration(value, filesystem.cat_file(f"{folder}/{_ARRAYS}"))
    except FileNotFoundError:
        raise CalibrationError(
            f"calibration.artefact: there is no {_JSON} in {url}; name the folder that `tekizai calibrate` "
            "wrote, OUTPUT/state/calibration"
        ) from None
    except ValueError as error:
        raise CalibrationError(f"calibration.artefact: {url}: {error}; calibrate again") from error
