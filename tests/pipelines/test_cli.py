"""Bad input gets one line that says what is wrong, where, and what to do; nothing half-written is left."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.fake_llm_server import FakeLlmServer, failing
from tests.fake_models import gguf_file

if TYPE_CHECKING:
    import pathlib

WRONG, FAILED = 2, 1


def tekizai(*arguments: str) -> tuple[int, list[str]]:
    """Run the command in a process of its own; returns the exit code and the lines on stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, [line for line in done.stderr.splitlines() if line.startswith("tekizai:")]


def job_file(folder: pathlib.Path, model: dict[str, Any] | None = None, **changes: Any) -> str:
    """Write a job over one record and return its path."""
    (folder / "in.jsonl").write_text('{"id": "a", "text": "Very good."}\n', encoding="utf-8")
    job: dict[str, Any] = {
        "name": "t",
        "input": {"path": str(folder / "in.jsonl"), "id": "id"},
        "output": {"path": str(folder / "out")},
        "tasks": [{"name": "t", "instruction": "Judge.", "labels": [{"name": "bad"}, {"name": "good"}]}],
        "models": {"small": model or {"engine": "llama_cpp", "source": str(gguf_file(folder))}},
        "routing": {"default": "small"},
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps({**job, **changes}), encoding="utf-8")
    return str(path)


def left_over(folder: pathlib.Path) -> list[str]:
    """Files in the output folder."""
    return [str(path) for path in (folder / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"input": {"path": "nowhere/in.jsonl"}}, ("nowhere/in.jsonl", "no such file")),
        ({"inputs": {}}, ("inputs: unknown key", "did you mean input?")),
        ({"routing": {"default": "smal"}}, ("routing.default", "did you mean small?")),
        (
            {"model": {"engine": "llama_cpp", "source": "README.md"}},
            ("models.small.source", "not a GGUF model"),
        ),
        (
            {"model": {"engine": "llama_cpp", "source": "pypi://no-such-model"}},
            ("models.small.source", "pip install no-such-model"),
        ),
    ],
)
def test_what_is_wrong_shows_before_the_job_runs(
    tmp_path: pathlib.Path, changes: dict[str, Any], said: tuple[str, str]
) -> None:
    """Exit code 2 and one line with the place and the fix."""
    code, lines = tekizai("run", job_file(tmp_path, **changes))

    assert code == WRONG
    assert any(all(part in line for part in said) for line in lines), lines
    assert not left_over(tmp_path)


def test_a_missing_column_and_a_wrong_digest_are_named(tmp_path: pathlib.Path) -> None:
    """The nearest column is offered; both digests are shown."""
    job = job_file(tmp_path, input={"path": str(tmp_path / "in.jsonl"), "id": "idd"})
    assert tekizai("run", job)[0] == WRONG
    assert '(did you mean "id"?)' in tekizai("check", job)[1][0]

    model = {"engine": "llama_cpp", "source": str(gguf_file(tmp_path)), "sha256": "0" * 64}
    code, lines = tekizai("check", job_file(tmp_path, model))

    assert code == WRONG
    assert "models.small.sha256" in lines[0]
    assert "0" * 64 in lines[0]


def test_an_unknown_option_for_beam_is_refused(tmp_path: pathlib.Path) -> None:
    """It would be ignored in silence otherwise."""
    code, lines = tekizai("run", job_file(tmp_path), "--", "--nonsense=1")

    assert code == WRONG
    assert "--nonsense" in lines[0]


def test_a_refused_key_fails_the_job_with_one_line(tmp_path: pathlib.Path) -> None:
    """The job had begun: exit code 1, no traceback, and no output that could be taken for a finished one."""
    with FakeLlmServer(behave=lambda _: failing(401, "no such key")) as server:
        model = {
            "engine": "openai",
            "model": "fake",
            "base_url": server.base_url,
            "price": {"input_usd_per_million_tokens": "1", "output_usd_per_million_tokens": "1"},
        }
        code, lines = tekizai("run", job_file(tmp_path, model))

    assert code == FAILED
    assert len(lines) == 1
    assert "HTTP 401" in lines[0]
    assert not left_over(tmp_path)


def test_a_model_that_cannot_be_loaded_fails_the_job_with_one_line(tmp_path: pathlib.Path) -> None:
    """The file begins as a model does and is none: that shows when a worker loads it."""
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "run", job_file(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == FAILED
    assert "Traceback" not in done.stderr
    assert "cannot load this model" in done.stderr.splitlines()[-1]
    assert not left_over(tmp_path)
