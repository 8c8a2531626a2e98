"""Tests of `transforms.write_report`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fsspec
import orjson

from tests.router.test_report import SUMMARY, sample
from transforms.write_report import Outcome, write_report

if TYPE_CHECKING:
    from pathlib import Path

LINE = orjson.dumps(sample(text="\u97f3\u304c\u60aa\u3044"))


def test_writes_the_page(tmp_path: Path) -> None:
    """The page is UTF-8, holds the review rows, and replaces one that is there."""
    page = tmp_path / "report.html"
    page.write_text("what was there", encoding="utf-8")

    write_report(fsspec.filesystem("file"), str(tmp_path), Outcome(SUMMARY, {}, [LINE]))

    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "\u97f3\u304c\u60aa\u3044" in text
    assert "what was there" not in text


def test_names_from_the_manifest(tmp_path: Path) -> None:
    """The manifest's job gives the page its title."""
    write_report(fsspec.filesystem("file"), str(tmp_path), Outcome(SUMMARY, {"job": {"name": "reviews"}}, []))

    assert "<title>reviews: Tekizai report</title>" in (tmp_path / "report.html").read_text(encoding="utf-8")
