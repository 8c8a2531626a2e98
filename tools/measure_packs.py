"""Measure the shipped packs' prompts against plain ones on the test splits of public data.

    python -m tools.measure_packs --data FOLDER --output FILE.jsonl [--models gemma3-270m,PATH.gguf=100]

FOLDER holds finance.parquet, ja_hotel.parquet and banking77.parquet with the columns text, label and split.
Each model is asked with both prompts by turns, one thread, about 300 rows of `test` (or as many as `=N`),
drawn by their texts' digests. A line of JSON is appended for each pack and model, and what the file holds
already is not measured again, so it can be stopped and continued. Packs' heads: tools/train_pack_head.py.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import tempfile
import time

import polars as pl

from pipelines.model_source import find_model
from pipelines.pack_measure import Rows, measure_pack
from pipelines.pack_pages import told_measured
from router.domain_pack import find_pack
from transforms.files import read_file

DATA = {"finance": "finance", "hospitality-ja": "ja_hotel", "customer-support": "banking77"}
"""Which data tells how good a pack is."""
_RECORDS = 300


def measure(pack: str, model: str, records: int, data: pathlib.Path, output: pathlib.Path) -> None:
    """One pack with one model, unless the output has it."""
    found, file = find_pack(pack, read_file), find_model(model)
    known = {
        (line["pack"], line["digest"], line["model_sha256"], line["asked_for"])
        for line in map(json.loads, output.read_text().splitlines() if output.exists() else ())
    }
    if (pack, found.digest, file.file.sha256, records) in known:
        return
    rows = pl.read_parquet(data / f"{DATA[pack]}.parquet").filter(pl.col("split") == "test")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"{DATA[pack]}-test.parquet"
        rows.select("text", "label").write_parquet(path)
        asked = Rows(str(path), "text", "label", records)
        value = measure_pack(found, file, asked, threads=1, tell=lambda words: _say(f"{pack}: {words}"))
    value["rows"]["path"] = f"{DATA[pack]}, test"
    value["model"] = pathlib.Path(value["model"]).name if "://" not in value["model"] else value["model"]
    value |= {"asked_for": records, "seconds": round(time.monotonic() - started, 1)}
    with output.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(value, ensure_ascii=False) + "\n")
    _say("\n".join(told_measured(value)))


def _say(words: str) -> None:
    sys.stderr.write(words + "\n")


def main() -> None:
    """Read the arguments and measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--output", required=True, type=pathlib.Path)
    parser.add_argument("--models", default="gemma3-270m")
    parser.add_argument("--packs", default=",".join(DATA))
    arguments = parser.parse_args()
    for given in arguments.models.split(","):
        model, _, records = given.partition("=")
        for pack in arguments.packs.split(","):
            measure(pack, model, int(records or _RECORDS), arguments.data, arguments.output)


if __name__ == "__main__":
    main()
