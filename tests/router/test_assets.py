"""Tests of `router.assets`."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.assets import asset_path

REPOSITORY = Path(__file__).parents[2]


def test_checkout() -> None:
    """In a checkout, the path is that of the source tree."""
    path = asset_path("data/samples/reviews.jsonl")

    assert path == REPOSITORY / "data" / "samples" / "reviews.jsonl"
    assert path.is_file()


def test_folder() -> None:
    """A folder is found as well as a file."""
    assert asset_path("configs").is_dir()


@pytest.mark.parametrize("name", ["", "models.yaml", "/etc/passwd", "router/job.py", "configs/../Makefile"])
def test_outside(name: str) -> None:
    """Names that do not stay inside the two folders are refused, with the cause."""
    with pytest.raises(ValueError, match="starts with configs/ or data/"):
        asset_path(name)


def test_missing() -> None:
    """A name that no shipped file has is refused, and the message repeats it."""
    with pytest.raises(FileNotFoundError, match=r"'configs/no_such_file\.yaml' does not ship"):
        asset_path("configs/no_such_file.yaml")
