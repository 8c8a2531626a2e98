"""Tests of `pipelines.report`: one output."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from pipelines.errors import OutputError
from pipelines.report import report_output
from tests.router.test_report import SUMMARY, sample

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A finished output without its page."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "manifest.json").write_text('{"job": {"name": "reviews"}}', encoding="utf-8")
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY), encoding="utf-8")
    rows = [json.dumps(sample(id=f"row-{number}")) for number in (1, 2)]
    (tmp_path / "review-00000-of-00001.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


def report(output: Path | str) -> str:
    """Run the command's function; what it says."""
    said = io.StringIO()
    report_output(str(output), Console(file=said, width=40))
    return said.getvalue()


def test_rebuilds_the_page(output: Path) -> None:
    """The page is made from the summary, the manifest and the review rows, and its path is told on a line."""
    assert report(f"{output}/") == f"wrote {output}/report.html\n"

    page = (output / "report.html").read_text(encoding="utf-8")
    assert "<title>reviews: Tekizai report</title>" in page
    assert page.index("row-1") < page.index("row-2")


def test_changes_nothing_else(output: Path) -> None:
    """Only the page is written."""
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}

    report(output)

    after = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    after.pop(output / "report.html")
    assert after == before


def test_without_manifest_and_review(output: Path) -> None:
    """The summary alone is enough."""
    (output / "state" / "manifest.json").unlink()
    (output / "review-00000-of-00001.jsonl").unlink()

    report(output)

    assert "<title>Tekizai report</title>" in (output / "report.html").read_text(encoding="utf-8")


def test_not_an_output(tmp_path: Path) -> None:
    """A folder without a summary is refused, and nothing is written to it."""
    with pytest.raises(OutputError, match=r"there is no summary\.json; give the output folder"):
        report(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_no_such_folder(tmp_path: Path) -> None:
    """A folder that is not there is refused likewise, and not made."""
    with pytest.raises(OutputError, match=r"nowhere: there is no summary\.json"):
        report(tmp_path / "nowhere")

    assert not (tmp_path / "nowhere").exists()
