"""Brings models into a worker's image, so that no worker fetches them: `bake_models.py SOURCE...`."""

from __future__ import annotations

import sys

from router.job import LlamaCppModel
from transforms.model_files import fetch_model, file_digest


def main(sources: list[str]) -> None:
    """Fetch each, and print what a job file may say of it."""
    for source in sources:
        path = fetch_model("", LlamaCppModel(engine="llama_cpp", source=source))
        sys.stdout.write(f"source: {source}\nsha256: {file_digest(path)}\n# {path}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
