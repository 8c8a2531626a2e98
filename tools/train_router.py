"""Train the router's heads that ship with Tekizai (data/README.md says on what).

    python -m tools.train_router --data FOLDER [--output data/router/heads]

FOLDER holds sst2, banking77 and prompts_task as NAME.parquet; only training rows whose licence allows it are
read: of prompts_task those from BELLE. The rows written for Tekizai are in data/router/rows.
"""

from __future__ import annotations

import argparse
import pathlib

import numpy as np
import polars as pl

from router.assets import asset_path
from router.route_files import RouteHeads, write_heads
from router.route_training import RouteRows, fit_route_head
from router.text_view import view_texts
from transforms.shipped_rows import shipped_rows
from transforms.text_encoder import ENCODER, TextEncoder

DOMAIN_OF = {"sst2": "entertainment", "banking77": "finance"}
_ROWS_OF_A_SET = 300
_WEIGHTS = {"task": (0.5, 1.0), "domain": (1.0, 0.2)}
"""Of a row written for Tekizai and of another: two data sets must not stand for a whole domain."""


def other_rows(kind: str, folder: pathlib.Path) -> list[tuple[str, str]]:
    """Rows of public data whose licence allows it."""
    if kind == "task":
        rows = pl.read_parquet(folder / "prompts_task.parquet").filter(
            (pl.col("split") == "train") & pl.col("source_label").str.starts_with("belle/")
        )
        return list(zip(rows["text"], rows["label"], strict=True))
    found: list[tuple[str, str]] = []
    for name, domain in DOMAIN_OF.items():
        rows = pl.read_parquet(folder / f"{name}.parquet").filter(pl.col("split") == "train")
        found += [(text, domain) for text in rows["text"].head(_ROWS_OF_A_SET)]
    return found


def main() -> None:
    """Train and write the heads of tasks and domains."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("data/router/heads"))
    given = parser.parse_args()
    encoder = TextEncoder(asset_path(ENCODER))
    heads, about = {}, {}
    for kind, origin in (("task", "BELLE (ODC-By 1.0)"), ("domain", "SST-2, banking77 (CC BY 4.0)")):
        own, others = list(shipped_rows(kind)), other_rows(kind, given.data)
        texts, labels = zip(*own, *others, strict=True)
        weights = np.repeat(_WEIGHTS[kind], (len(own), len(others)))
        fitted = fit_route_head(RouteRows(view_texts(texts, encoder.encode_all), labels, weights))
        answers = np.array([fitted.head.labels.index(label) for label in labels])
        right = fitted.held_back.argmax(axis=1) == answers
        heads[kind] = fitted.head
        about[kind] = {
            "rows": len(labels),
            "trained_on": f"{len(own)} rows written for Tekizai (Apache-2.0); {len(others)} of {origin}",
            "held_back_accuracy": round(float(right.mean()), 4),
        }
        print(kind, about[kind])  # noqa: T201 - the tool's output
    given.output.mkdir(parents=True, exist_ok=True)
    for name, content in write_heads(RouteHeads(encoder.card.digest, heads, about)).items():
        (given.output / name).write_bytes(content)


if __name__ == "__main__":
    main()
