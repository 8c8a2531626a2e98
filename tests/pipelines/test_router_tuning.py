"""`tekizai router train --tune`, without PyTorch: another process of learning stands in for it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipelines import router_tuning
from router.assets import asset_path
from tests.pipelines.test_router_commands import call, own_domains, write_rows
from transforms import export_encoder
from transforms.text_encoder import ENCODER, TextEncoder, read_card, write_card
from transforms.tune_encoder import LinearLayer, TuningRows

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Sequence

_CARGO = [
    f"the {thing} of container {number} left the port" for thing in ("tea", "steel") for number in range(60)
]
_LEGAL = [
    f"the {thing} sued the seller in case {number}" for thing in ("buyer", "bank") for number in range(60)
]


def two_domains(path: pathlib.Path) -> str:
    """Enough rows to tune on."""
    rows = [{"text": text, "domain": "cargo"} for text in _CARGO]
    return write_rows(path, rows + [{"text": text, "domain": "disputes"} for text in _LEGAL])


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[TuningRows]]:
    """What was tuned on: the encoder stays as it is, and its layers are the means of each label's vectors."""
    seen: list[Sequence[TuningRows]] = []

    def tune(_: object, sets: Sequence[TuningRows], tell: Callable[[str], None]) -> list[LinearLayer]:
        seen.append(sets)
        tell("epoch 1 of 1")
        encoder = TextEncoder(asset_path(ENCODER))
        return [means(rows, encoder) for rows in sets]

    def write(_: object, folder: pathlib.Path, *, origin: str) -> None:
        shutil.copytree(asset_path(ENCODER), folder, dirs_exist_ok=True)
        write_card(folder, read_card(folder).model_copy(update={"origin": origin, "max_tokens": 100}))

    monkeypatch.setattr(router_tuning, "load_encoder", lambda *_, **__: None)
    monkeypatch.setattr(router_tuning, "tune_encoder", tune)
    monkeypatch.setattr(router_tuning, "write_encoder", write)
    return seen


def means(rows: TuningRows, encoder: TextEncoder) -> LinearLayer:
    """A layer that knows each label by the mean of its texts."""
    vectors = encoder.encode_all(rows.texts[:300])
    found = np.zeros((rows.labels, vectors.shape[1]), np.float32)
    for label in range(rows.labels):
        members = vectors[rows.answers[:300] == label]
        found[label] = members.mean(axis=0) if len(members) else 0.0
    return LinearLayer(20.0 * found, np.zeros(rows.labels, np.float32))


def test_a_tuned_encoder_and_its_heads_are_written_and_used(
    tmp_path: pathlib.Path, learned: list[Sequence[TuningRows]]
) -> None:
    """The folder holds the encoder, the head that was asked for, and the other one, tuned with it."""
    output = tmp_path / "router"
    data = two_domains(tmp_path / "rows.jsonl")
    out, err = call(
        *("router", "train", "--data", data, "--head", "domain", "--tune", "--output", str(output)), "--json"
    )
    about: dict[str, Any] = json.loads(out)
    [sets] = learned
    route, _ = call(
        "router", "evaluate", "--data", data, "--head", "domain", "--heads", str(output), "--json"
    )

    assert (about["rows"], about["held_back_rows"]) == (240, 24)
    assert about["held_back_accuracy"] == 1.0
    assert "epoch 1 of 1" in err
    assert (len(sets), len(sets[0].texts), sets[0].labels) == (2, 216, 2)
    assert set(sets[1].weights) == {0.5}
    card = json.loads((output / "router.json").read_text(encoding="utf-8"))
    assert card["heads"]["task"]["held_back_rows"] > 100
    assert read_card(output / "encoder").origin.startswith("sentence-transformers/all-MiniLM-L6-v2, tuned on")
    assert json.loads(route)["tasks"]["domain"]["accuracy"]["rate"] == 1.0


def test_too_few_rows_are_refused(tmp_path: pathlib.Path) -> None:
    """Before anything is loaded."""
    data = own_domains(tmp_path / "rows.jsonl")
    _, err = call(
        *("router", "train", "--data", data, "--head", "domain", "--tune"),
        *("--output", str(tmp_path / "router")),
        code=2,
    )

    assert "too few rows to train an encoder; give 200 at least, or leave --tune out" in err
    assert not (tmp_path / "router").exists()


def test_complexity_is_not_tuned(tmp_path: pathlib.Path) -> None:
    """Its rows are few, and its encoder is that of the other heads."""
    rows = [
        {"text": f"text {number}", "small_correct": number % 2, "large_correct": 1} for number in range(20)
    ]
    data = write_rows(
        tmp_path / "rows.jsonl", [{**row, "small_correct": bool(row["small_correct"])} for row in rows]
    )
    _, err = call("router", "train", "--data", data, "--head", "complexity", "--tune", code=2)

    assert "the head complexity looks at the encoder as it is; leave --tune out" in err


def test_without_pytorch_one_line_says_what_to_install(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is written."""
    monkeypatch.setattr(export_encoder.importlib.util, "find_spec", lambda _: None)
    data = two_domains(tmp_path / "rows.jsonl")
    _, err = call(
        *("router", "train", "--data", data, "--head", "domain", "--tune"),
        *("--output", str(tmp_path / "router")),
        code=2,
    )

    assert "tuning 'sentence-transformers/all-MiniLM-L6-v2' needs torch" in err
    assert "pip install 'tekizai[encoders]'" in err
    assert not (tmp_path / "router").exists()
