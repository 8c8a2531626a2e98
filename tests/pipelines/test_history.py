"""`tekizai report` of several outputs."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from tests.big_output import Night, write_output
from tests.pipelines.test_commands import lines, tekizai

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three nights of the same job, of which the last one is less sure."""
    folder = tmp_path_factory.mktemp("nights")
    for number, night in enumerate((Night(2000), Night(2000, seed=1), Night(2000, seed=2, sureness=3.0))):
        summary = write_output(folder / f"dt={number}", night)
        summary["finished"] = f"2026-09-0{number + 1}T03:00:00+00:00"
        (folder / f"dt={number}" / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return folder


def figures(*arguments: object) -> dict[str, Any]:
    """What the command prints for programs."""
    done = tekizai("report", *arguments, "--json")
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_outputs_are_compared_on_one_page(nights: Path, tmp_path: Path) -> None:
    """In the order of their time; the page is where --to says, and stdout is empty."""
    page = tmp_path / "history.html"

    done = tekizai("report", nights / "dt=2", nights / "dt=0", nights / "dt=1", "--to", page)

    assert (done.exit_code, done.stdout) == (0, "")
    assert lines(done) == [f"wrote {page}"]
    text = page.read_text(encoding="utf-8")
    assert text.index("2026-09-01 03:00 UTC") < text.index("2026-09-03 03:00 UTC")
    assert "3 runs" in text


def test_figures_for_programs(nights: Path) -> None:
    """The less sure night moved confidences, costs more, and is known to be worse by its true labels."""
    [job] = figures(*(nights / f"dt={number}" for number in range(3)))["jobs"]

    assert job["name"] == "nightly"
    first, second, third = job["runs"]
    assert second["stands_out"] == []
    assert "confidences of sentiment" in third["stands_out"]
    assert float(third["usd_per_1000"]) > 1.3 * float(first["usd_per_1000"])
    assert third["agreement"]["gold"]["rate"] < first["agreement"]["gold"]["rate"]


def test_json_alone_writes_no_page(nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless --to asks for one."""
    monkeypatch.chdir(tmp_path)

    figures(nights / "dt=0", nights / "dt=1")
    assert not (tmp_path / "history.html").exists()
    figures(nights / "dt=0", nights / "dt=1", "--to", "page.html")
    assert (tmp_path / "page.html").exists()


def test_the_page_has_a_name_by_itself(nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written into the folder where the command runs."""
    monkeypatch.chdir(tmp_path)

    done = tekizai("report", nights / "dt=0", nights / "dt=1")

    assert lines(done) == ["wrote history.html"]
    assert (tmp_path / "history.html").exists()


def test_one_output_with_a_target_is_a_history_of_one(nights: Path, tmp_path: Path) -> None:
    """A glob may match one folder only; its report.html stays as it is."""
    before = (nights / "dt=0" / "report.html").stat().st_mtime_ns

    done = tekizai("report", nights / "dt=0", "--to", tmp_path / "history.html")

    assert done.exit_code == 0
    assert "1 run," in (tmp_path / "history.html").read_text(encoding="utf-8")
    assert (nights / "dt=0" / "report.html").stat().st_mtime_ns == before


def test_the_same_output_twice_is_one_run(nights: Path) -> None:
    """With and without a slash at its end."""
    [job] = figures(nights / "dt=0", f"{nights}/dt=0/", nights / "dt=1")["jobs"]

    assert len(job["runs"]) == 2


def test_unfinished_outputs_are_left_out(nights: Path, tmp_path: Path) -> None:
    """And told; where none is finished, the command fails."""
    (tmp_path / "running").mkdir()

    done = tekizai("report", nights / "dt=0", tmp_path / "running", "--to", tmp_path / "h.html")
    assert done.exit_code == 0
    assert lines(done)[0] == f"{tmp_path}/running: left out, because there is no summary.json"

    failed = tekizai("report", tmp_path / "running", tmp_path / "nowhere")
    assert failed.exit_code == 2
    assert "there is no summary.json, nor in any other of the 2 outputs" in lines(failed)[0]


def test_different_jobs_are_told(nights: Path, tmp_path: Path) -> None:
    """On the terminal, too."""
    write_output(tmp_path / "other", Night(100), name="weekly")

    done = tekizai("report", nights / "dt=0", tmp_path / "other", "--to", tmp_path / "h.html")

    assert lines(done)[0] == "the outputs are of 2 different jobs, each shown by itself: nightly, weekly"


def test_a_page_that_cannot_be_written(nights: Path, tmp_path: Path) -> None:
    """Exit code 2, and the address."""
    (tmp_path / "file").write_text("", encoding="utf-8")

    done = tekizai("report", nights / "dt=0", nights / "dt=1", "--to", tmp_path / "file" / "h.html")

    assert done.exit_code == 2
    assert f"--to: {tmp_path}/file/h.html cannot be written" in lines(done)[0]


def test_outputs_and_page_at_urls(nights: Path) -> None:
    """Any filesystem that fsspec knows."""
    memory = fsspec.filesystem("memory")
    for number in range(2):
        memory.put(str(nights / f"dt={number}"), f"/history/dt={number}", recursive=True)

    done = tekizai(
        "report", "memory://history/dt=0", "memory://history/dt=1", "--to", "memory://history/h.html"
    )

    assert done.exit_code == 0, done.stderr
    assert b"2 runs" in memory.cat_file("/history/h.html")
    memory.rm("/history", recursive=True)


def test_outputs_of_an_earlier_version(nights: Path, tmp_path: Path) -> None:
    """Their summaries have neither time nor tables: the file's time is taken, and the rows are counted."""
    fsspec.filesystem("file").put(str(nights / "dt=0"), str(tmp_path / "old"), recursive=True)
    path = tmp_path / "old" / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    new = figures(tmp_path / "old")["jobs"][0]["runs"][0]
    for name in ("finished", "by", "labels", "flow", "seconds_per_record", "confidence", "gold"):
        del summary[name]
    path.write_text(json.dumps(summary), encoding="utf-8")
    os.utime(path, (1_756_695_600, 1_756_695_600))

    [old] = figures(tmp_path / "old")["jobs"][0]["runs"]

    assert old["finished"] == "2025-09-01T03:00:00+00:00"
    assert old | {"finished": new["finished"]} == new
