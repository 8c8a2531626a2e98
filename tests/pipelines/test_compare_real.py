"""`tekizai models compare` with the two small models that install as packages, and a server on loopback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import yaml

from router.assets import asset_path
from tests.fake_llm_server import FakeLlmServer
from tests.models import GEMMA, SMOLLM2, real_model
from tests.pipelines.gate_rows import PRICE
from tests.pipelines.test_commands import tekizai

if TYPE_CHECKING:
    import pathlib

RECORDS = 12


def exclaimed(text: str) -> str:
    """What the large model says: positive where something is exclaimed."""
    return json.dumps({"label": "positive" if "!" in text else "negative"})


def test_the_sample_reviews_by_real_models(tmp_path: pathlib.Path) -> None:
    """Figures of both models in both languages; too few records certify nothing, so `big` answers all."""
    real_model(SMOLLM2)
    real_model(GEMMA)
    file = tmp_path / "job.yaml"
    with FakeLlmServer(
        lambda text: json.dumps({"label": "positive" if "!" in text else "negative"})
    ) as server:
        local = {"engine": "llama_cpp", "threads": 1}
        job = {
            "name": "real",
            "input": {"path": str(asset_path("data/samples/reviews.jsonl")), "text": "text", "id": "id"},
            "output": {"path": str(tmp_path / "out"), "format": "jsonl"},
            "tasks": [
                {
                    "name": "sentiment",
                    "instruction": "Classify the sentiment of the product review.",
                    "labels": [{"name": "negative"}, {"name": "positive"}],
                }
            ],
            "models": {
                "smollm2": {**local, "source": f"pypi://{SMOLLM2}"},
                "gemma3": {**local, "source": f"pypi://{GEMMA}"},
                "big": {"engine": "openai", "model": "m", "base_url": server.base_url, "price": PRICE},
            },
            "routing": {"default": "smollm2", "escalate_to": "big"},
        }
        file.write_text(yaml.safe_dump(job, sort_keys=False), encoding="utf-8")
        result = tekizai("models", "compare", file, "--records", RECORDS, "--json")
        assert result.exit_code == 0, result.stderr
        found = json.loads(result.stdout)
        assert server.billed == RECORDS

    figures = found["figures"]["all"]
    assert set(figures) == {"smollm2", "gemma3", "big"}
    for name in ("smollm2", "gemma3"):
        assert figures[name]["records_per_second"] > 0.0
        assert figures[name]["learned"]["of"] == RECORDS
        assert figures[name]["kept"]["count"] == 0
    assert figures["big"]["quality"]["rate"] == 1.0
    assert found["proposal"]["routing"] == {"default": "big"}
