"""The command with fake models: what it writes, says and returns."""

from __future__ import annotations

import json
import logging
import warnings
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.show_run import too_many_dead
from tests.fake_llm_server import FakeLlmServer
from tests.pipelines.jobs import lasting_files, read_written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.testing import Result

    from tests.pipelines.jobs import World

FINISHED = [
    "annotations-00000-of-00002.parquet",
    "annotations-00001-of-00002.parquet",
    "report.html",
    "review-00000-of-00001.jsonl",
    "review-label-studio.xml",
    "review.json",
    "state/journal/route",
    "state/journal/slm",
    "state/journal/slm",
    "state/manifest.json",
    "summary.json",
]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """The command sets logging and warnings for its process, which is the test's here."""
    names = ["", "pipelines", "transforms", "router", "httpx", "httpx2", "httpcore"]
    before = {name: logging.getLogger(name).level for name in names}
    handlers = list(logging.getLogger().handlers)
    with warnings.catch_warnings():
        yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger().handlers[:] = handlers


def tekizai(*arguments: Any) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def lines(result: Result) -> list[str]:
    """What the command said of errors."""
    return [line for line in result.stderr.splitlines() if line]


@pytest.fixture
def ready(world: World) -> World:
    """A world with three records, of which the second is to be escalated."""
    world.write_lines(
        [
            {"id": "r1", "text": "good =positive:0.9"},
            {"id": "r2", "text": "hm small=positive:0.6 large=negative:0.9"},
            {"id": "r3", "text": "bad =negative:0.9"},
        ]
    )
    return world


def test_a_run_writes_the_output_and_tells_what_came_out(ready: World) -> None:
    """Exit code 0; the table, how the annotations came about, and where they are."""
    done = tekizai("run", ready.job_file())

    assert done.exit_code == 0
    assert lasting_files(ready.output) == FINISHED
    assert "3 of 3 records annotated" in done.stderr
    assert "How: 2 kept, 1 escalated." in lines(done)
    assert lines(done)[-1].endswith(f"Output: {ready.output}")
    assert done.stdout == ""


def test_a_finished_output_is_left_alone(ready: World) -> None:
    """Running again does nothing and says so, in one line; `--fresh` does it all again."""
    job = ready.job_file()
    tekizai("run", job)
    before = {path: path.stat().st_mtime_ns for path in ready.output.rglob("*") if path.is_file()}

    again = tekizai("run", job)

    assert (again.exit_code, lines(again)) == (
        0,
        [f"{ready.output} is finished already; nothing to do (--fresh starts over)"],
    )
    assert {path: path.stat().st_mtime_ns for path in ready.output.rglob("*") if path.is_file()} == before
    assert tekizai("run", job, "--fresh").exit_code == 0
    assert (ready.output / "summary.json").stat().st_mtime_ns != before[ready.output / "summary.json"]


def test_a_run_with_a_limit_is_a_beginning(ready: World) -> None:
    """The first records only; the whole job then goes on from there."""
    job = ready.job_file()

    assert tekizai("run", job, "--limit", "2").exit_code == 0
    assert read_written(ready.output).summary["records"]["read"] == 2

    whole = tekizai("run", job)
    assert whole.exit_code == 0
    assert lines(whole)[0] == "continuing: 3 answers are in the journal and are not asked for again"
    assert read_written(ready.output).summary["records"]["read"] == 3


def test_another_jobs_output_is_refused(ready: World) -> None:
    """It has another name; the message says what to do."""
    tekizai("run", ready.job_file())

    refused = tekizai("run", ready.job_file(name="other"))

    assert refused.exit_code == 2
    assert refused.stderr == (
        f"tekizai: output.path: {ready.output} holds the finished output of job 'test', and this is job "
        "'other'; give another output.path, or replace it with `tekizai run --fresh`\n"
    )


def test_input_output_and_set_say_where(ready: World) -> None:
    """As a scheduled job does: the job file stays as it is."""
    ready.write_lines([{"id": "r7", "text": "good =positive:0.9"}], "days/2024-01-31.jsonl")
    (ready.folder / "in.jsonl").unlink()
    path = ready.job_file(name="${NAME}", input={"path": "nowhere.jsonl", "id": "id"})
    output = ready.folder / "elsewhere"

    done = tekizai(
        "run", path, "--input", ready.folder / "days/*.jsonl", "--output", output, "--set", "NAME=daily"
    )

    assert (done.exit_code, ready.output.exists()) == (0, False)
    assert read_written(output).labels() == {"r7": "positive"}
    manifest = json.loads((output / "state/manifest.json").read_text(encoding="utf-8"))
    assert manifest["job"]["name"] == "daily"


def test_other_files_in_the_output_folder_stay(ready: World) -> None:
    """Whether the run succeeds, starts over or fails."""
    ready.output.mkdir()
    mine = ready.output / "annotations-mine.jsonl"
    mine.write_text("x", encoding="utf-8")
    job = ready.job_file()

    assert tekizai("run", job).exit_code == 0
    assert tekizai("run", job, "--fresh", "--limit", "1").exit_code == 0

    assert lasting_files(ready.output) == [
        "annotations-00000-of-00001.parquet",
        mine.name,
        *FINISHED[2:7],
        *FINISHED[8:],
    ]


def test_a_failed_run_keeps_what_was_answered_and_nothing_else(
    ready: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1 and one line; records were answered before the endpoint refused the key."""
    monkeypatch.setenv("FAKE_KEY", "sk-wrong")
    ready.output.mkdir()
    (ready.output / "notes.md").write_text("x", encoding="utf-8")
    local = ready.job().models["small"].model_dump(mode="json", exclude_none=True)
    price = {"input_usd_per_million_tokens": "1", "output_usd_per_million_tokens": "2"}
    with FakeLlmServer(key="right") as server:
        hosted = {"engine": "openai", "model": "fake", "base_url": server.base_url, "api_key_env": "FAKE_KEY"}
        path = ready.job_file(models={"small": local, "large": {**hosted, "price": price}})
        done = tekizai("run", path)

    assert done.exit_code == 1
    [line] = lines(done)
    assert line.startswith("tekizai: ")
    assert "HTTP 401" in line
    assert "Set the environment variable FAKE_KEY" in line
    assert "sk-wrong" not in line
    assert line.endswith("What was answered is kept: the same command continues; with --fresh it starts over")
    assert lasting_files(ready.output) == [
        "notes.md",
        "state/journal/route",
        "state/journal/slm",
        "state/manifest.json",
    ]


def test_a_typo_leaves_the_finished_output(ready: World) -> None:
    """Even with `--fresh`: nothing is cleared before everything that can be checked is right."""
    tekizai("run", ready.job_file())
    wrong = (
        ["--", "--runner=NoSuchRunner"],
        ["--", "--direct_num_worker=2"],
        ["--input", str(ready.folder / "nowhere.jsonl")],
    )

    for arguments in wrong:
        done = tekizai("run", ready.job_file(), "--fresh", *arguments)
        assert (done.exit_code, len(lines(done))) == (2, 1), done.stderr

    assert lasting_files(ready.output) == FINISHED


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nonsense=1"], "unknown Beam option --nonsense"),
        (["--direct_num_worker=2"], "option --direct_num_worker: did you mean --direct_num_workers?"),
        (["--direct_num_workers=two"], "argument --direct_num_workers: invalid int value: 'two'"),
        (["stray"], "unknown Beam option stray"),
    ],
)
def test_what_beam_does_not_know_is_refused(ready: World, arguments: list[str], said: str) -> None:
    """Beam itself would ignore most of it, or print pages of usage."""
    done = tekizai("run", ready.job_file(), "--", *arguments)

    assert done.exit_code == 2
    [line] = lines(done)
    assert said in line
    assert not ready.output.exists()


def test_too_many_dead_letters_end_with_exit_code_3(ready: World) -> None:
    """The output is whole all the same; a job may allow more."""
    with (ready.folder / "in.jsonl").open("a", encoding="utf-8") as stream:
        stream.write("{\n")

    done = tekizai("run", ready.job_file())
    allowed = tekizai("run", ready.job_file(limits={"max_dead_letter_fraction": 0.25}), "--fresh")

    assert (done.exit_code, allowed.exit_code) == (3, 0)
    assert lines(done)[-1] == (
        "1 of 4 records are dead letters, more than limits.max_dead_letter_fraction (0.05) allows: see "
        "dead_letters-*"
    )
    assert "Dead letters: 1 invalid_json." in lines(done)


@pytest.mark.parametrize(
    ("dead", "read", "allowed", "expected"),
    [(1, 20, 0.05, False), (2, 20, 0.05, True), (0, 0, 0.0, False), (1, 1, 1.0, False), (1, 9, 0.0, True)],
)
def test_exactly_the_allowed_share_is_allowed(dead: int, read: int, allowed: float, expected: bool) -> None:
    """Only more than it is too many."""
    assert too_many_dead({"records": {"dead_lettered": dead, "read": read}}, allowed) is expected


def test_check_tells_what_was_found(ready: World) -> None:
    """And writes nothing."""
    done = tekizai("check", ready.job_file())

    assert done.exit_code == 0
    assert lines(done) == [
        f"test: 1 split(s) of {ready.folder}/in.jsonl to read",
        "models: small, large. The job file is right.",
    ]
    assert not ready.output.exists()


def test_check_shows_the_columns_of_parquet(ready: World) -> None:
    """They are known without reading a row, and shown so that none can steer a terminal."""
    names = {"id": ["r1"], "text": ["x"], "[red]": [1], "\x1b[2J": [1], "x" * 61: [1]}
    pq.write_table(pa.table(names), ready.folder / "in.parquet")
    columns = {"path": str(ready.folder / "in.parquet"), "text": "text", "id": "id"}

    done = tekizai("check", ready.job_file(input=columns))

    assert f"columns: id, text, [red], \\x1b[2J, {'x' * 60}…" in lines(done)


def test_schema_prints_the_schema_of_job_files() -> None:
    """On stdout, as JSON."""
    done = tekizai("schema")

    assert done.exit_code == 0
    schema = json.loads(done.stdout)
    assert "routing" in schema["properties"]


def test_every_problem_of_a_job_file_has_its_line(ready: World) -> None:
    """So that one need not find them one after the other."""
    path = ready.job_file(routing={"default": "smal"}, limit={})

    done = tekizai("run", path)

    assert done.exit_code == 2
    assert len(lines(done)) == 2
    assert all(line.startswith("tekizai: ") for line in lines(done))


def test_a_bug_is_one_line_and_exit_code_1(ready: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the advice to report it; `--verbose` shows where."""

    def broken(*arguments: object, **options: object) -> None:
        raise KeyError("oops")

    monkeypatch.setattr("pipelines.commands.prepare", broken)

    done = tekizai("run", ready.job_file())

    assert done.exit_code == 1
    [line] = lines(done)
    assert line.startswith("tekizai: KeyError: 'oops'; this is a bug")
    told = tekizai("run", ready.job_file(), "--verbose")
    assert told.exit_code == 1
    assert "Traceback" in told.stderr
    assert lines(told)[-1] == line


def test_verbose_shows_where_and_keeps_the_exit_code(ready: World) -> None:
    """A wrong job file is one with a traceback too."""
    told = tekizai("run", ready.job_file(routing={"default": "smal"}), "--verbose")

    assert told.exit_code == 2
    assert "Traceback" in told.stderr
    assert lines(told)[-1].startswith("tekizai: ")


def test_a_budget_elsewhere_needs_the_number_of_workers(ready: World) -> None:
    """They share no counter, so each gets a part; nothing says how many there are."""
    path = ready.job_file(budget={"max_usd": 1})

    done = tekizai("run", path, "--", "--runner=FlinkRunner")

    assert done.exit_code == 2
    assert "give budget.workers" in lines(done)[0]
