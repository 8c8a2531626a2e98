"""`tekizai route`, `tekizai router train` and `tekizai router evaluate`, as a user calls them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.prepare import prepare
from router.route_labels import TASKS

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Sequence

    from tests.pipelines.jobs import World

_CARGO = [
    "The container of {} left the port",
    "customs hold our {}",
    "ship the {} by sea",
    "a truck brings {}",
]
_LEGAL = [
    "sue the seller of {}",
    "the contract about {} is void",
    "a judge decides on {}",
    "our lawyer on {}",
]
_THINGS = ["tea", "steel", "toys", "paper", "coffee", "glass", "boats", "wool"]


def write_rows(path: pathlib.Path, rows: Sequence[dict[str, Any]]) -> str:
    """A JSONL file."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def own_domains(path: pathlib.Path, *, things: Sequence[str] = _THINGS) -> str:
    """Rows of two domains of one's own."""
    rows = [
        {"text": line.format(thing), "domain": domain}
        for domain, lines in (("cargo", _CARGO), ("disputes", _LEGAL))
        for line in lines
        for thing in things
    ]
    return write_rows(path, rows)


def call(*arguments: str, stdin: str | None = None, code: int = 0) -> tuple[str, str]:
    """Standard output and error of a command that ends with this code."""
    found = CliRunner().invoke(app, list(arguments), input=stdin)
    assert found.exit_code == code, found.output
    return found.stdout, found.stderr


def test_route_shows_a_line_for_each_text(tmp_path: pathlib.Path) -> None:
    """From a file or standard input, without a job: no model is chosen."""
    text = '{"text": "Translate into French: good morning"}\n\n{"id": 7, "text": "写一首关于秋天的诗"}\n'
    (tmp_path / "in.jsonl").write_text(text, encoding="utf-8")
    from_file, _ = call("route", str(tmp_path / "in.jsonl"))
    from_stdin, _ = call("route", stdin=text)

    assert from_file == from_stdin
    one, other = map(json.loads, from_file.splitlines())
    assert (one["language"], one["task"], one["model"], one["rule"]) == ("en", "translation", None, None)
    assert (other["id"], other["language"], other["task"]) == (7, "zh", "text_generation")
    assert 0.0 < one["complexity"] < 1.0
    assert one["task_probability"] > 0.5


def test_lines_that_cannot_be_routed_are_said_and_cost_no_other() -> None:
    """Each with its number; the command ends with 3."""
    hostile = [
        '{"text": ""}',
        "nonsense",
        "[1]",
        '{"text": 5}',
        '{"other": 1}',
        '{"text": "\\ud800 \\u0000"}',
    ]
    out, err = call("route", stdin="\n".join([*hostile, json.dumps({"text": "long " * 200_000})]), code=3)
    rows = [json.loads(line) for line in out.splitlines()]

    said = [row["error"] for row in rows if "error" in row]
    assert said[0].startswith("not JSON: ")
    assert said[1:] == ['not an object; give {"text": ...}', "no text in 'text'", "no text in 'text'"]
    assert [row.get("line") for row in rows if "error" in row] == [2, 3, 4, 5]
    assert len(rows) == 7
    assert "4 line(s) could not be routed" in err


def test_a_job_shows_which_rule_takes_a_text(world: World) -> None:
    """With the values that led to it; other columns may name task and text."""
    job = world.job_file(
        routing={
            "default": "small",
            "rules": [
                {"when": {"domains": ["finance"]}, "use": "large"},
                {"when": {"tasks": ["code"]}, "use": "large"},
            ],
        }
    )
    texts = [
        "My card payment was declined and I was charged a fee.",
        "Write a Python function that sorts.",
        "A lovely film.",
    ]
    out, _ = call(
        "route", "--job", str(job), stdin="".join(json.dumps({"text": one}) + "\n" for one in texts)
    )
    found = [(row["model"], row["rule"], row["because"]) for row in map(json.loads, out.splitlines())]

    assert found[0] == ("large", 0, "domain finance")
    assert found[1] == ("large", 1, "task code")
    assert found[2] == ("small", None, "")


def test_a_head_of_ones_own_is_trained_evaluated_and_used(tmp_path: pathlib.Path, world: World) -> None:
    """The other heads stay; a job's rules may name the new domains."""
    data, output = own_domains(tmp_path / "rows.jsonl"), tmp_path / "router"
    out, err = call("router", "train", "--data", data, "--head", "domain", "--output", str(output), "--json")
    about = json.loads(out)
    test = own_domains(tmp_path / "test.jsonl", things=["sand", "rice"])
    page = tmp_path / "page.html"
    shown, _ = call(
        *("router", "evaluate", "--data", test, "--head", "domain", "--heads", str(output)),
        *("--train", data, "--json", "--page", str(page)),
    )
    found = json.loads(shown)

    assert about["rows"] == 64
    assert about["held_back_accuracy"] > 0.8
    assert f'heads: "{output}"' in err
    assert found["tasks"]["domain"]["accuracy"]["rate"] > 0.9
    assert found["baselines"]["majority"]["accuracy"]["rate"] == 0.5
    assert found["labels_it_cannot_say"] == []
    assert "cargo" in page.read_text(encoding="utf-8")
    card = json.loads((output / "router.json").read_text(encoding="utf-8"))
    assert card["heads"]["task"]["labels"] == sorted(TASKS)

    world.write_lines([{"id": "a", "text": "the container with rice left the port =positive:0.9"}])
    [row] = world.run(
        router={"heads": str(output)},
        routing={"default": "small", "rules": [{"when": {"domains": ["cargo"]}, "use": "large"}]},
    ).annotations
    assert (row["route"]["domain"], row["annotation"]["model"]) == ("cargo", "large")
    before = prepare(world.job(router={"heads": str(output)}), workers=1).ending.manifest["job_digest"]
    call("router", "train", "--data", test, "--head", "domain", "--output", str(output))
    after = prepare(world.job(router={"heads": str(output)}), workers=1).ending.manifest["job_digest"]
    assert before != after, "heads that were trained again make another job"
    world.write_lines([{"id": "a", "text": "x =positive:0.9"}])
    with pytest.raises(ValueError, match=r"rules\[0\]\.when\.domains\[0\]: 'law' is not one of the domains"):
        world.run(
            router={"heads": str(output)},
            routing={"default": "small", "rules": [{"when": {"domains": ["law"]}, "use": "large"}]},
        )


def test_complexity_is_learned_from_labelled_outcomes(tmp_path: pathlib.Path) -> None:
    """Rows with `small_correct` and `large_correct`; then texts like those get a high complexity."""
    rows = [
        {"text": line.format(thing), "small_correct": hard == "no", "large_correct": True}
        for hard, lines in (("no", _CARGO), ("yes", _LEGAL))
        for line in lines
        for thing in _THINGS
    ]
    data, output = write_rows(tmp_path / "rows.jsonl", rows), tmp_path / "router"
    out, _ = call(
        "router", "train", "--data", data, "--head", "complexity", "--output", str(output), "--json"
    )
    shown, _ = call(
        "router", "evaluate", "--data", data, "--head", "complexity", "--heads", str(output), "--json"
    )

    assert json.loads(out)["held_back_complexity"]["auroc"] > 0.8
    found = json.loads(shown)
    assert found["small_correct"] == 0.5
    assert found["complexity"]["auroc"] > 0.9
    assert found["complexity"]["cpt_50"] < 0.35


def test_complexity_is_learned_from_a_finished_job(tmp_path: pathlib.Path, world: World) -> None:
    """Where small and large model disagreed: the small one says what the text tells it to."""
    rows = [
        {"id": f"{said}-{number}-{thing}", "text": f"{line.format(thing)} ={said}", "gold": "positive"}
        for said, lines in (("positive:0.9", _CARGO), ("negative:0.7", _LEGAL))
        for number, line in enumerate(lines)
        for thing in _THINGS
    ]
    world.write_lines(rows)
    source = {"path": str(world.folder / "in.jsonl"), "text": "text", "id": "id", "gold": "gold"}
    world.run(input=source, routing={"default": "small", "gate": {"min_confidence": 0.0}})
    out, _ = call(
        *("router", "train", "--data", str(world.output), "--head", "complexity"),
        *("--output", str(tmp_path / "router"), "--json"),
    )
    shown, _ = call("router", "evaluate", "--data", str(world.output), "--head", "complexity", "--json")

    assert json.loads(out)["rows"] == 64
    assert json.loads(out)["held_back_complexity"]["auroc"] > 0.8
    assert json.loads(shown)["small_correct"] == 0.5
    assert json.loads(shown)["confidence"]["auroc"] == 1.0


def test_a_second_opinion_ranks_answers_whose_confidence_says_nothing(
    tmp_path: pathlib.Path, world: World
) -> None:
    """A third of the answers are wrong, none less sure than the others; what the texts are about tells."""
    other = {"positive": "negative", "negative": "positive"}
    rows = []
    for gold, lines in (("positive", _CARGO), ("negative", _LEGAL)):
        for number, line in enumerate(lines):
            for thing in _THINGS:
                said = other[gold] if len(rows) % 3 == 0 else gold
                text = f"{line.format(thing)} ={said}:{0.7 + 0.01 * (len(rows) % 7)}"
                rows.append({"id": f"{gold}-{number}-{thing}", "text": text, "gold": gold})
    world.write_lines(rows)
    source = {"path": str(world.folder / "in.jsonl"), "text": "text", "id": "id", "gold": "gold"}
    world.run(input=source, routing={"default": "small", "gate": {"min_confidence": 0.0}})
    command = ["--data", str(world.output), "--head", "complexity"]
    out, _ = call("router", "train", *command, "--output", str(tmp_path / "router"), "--json")
    plain, _ = call("router", "evaluate", *command)
    after, _ = call("router", "evaluate", *command, "--train", str(world.output))
    judged, _ = call("router", "evaluate", *command, "--train", str(world.output), "--json")

    found = json.loads(out)
    assert found["held_back_confidence"]["auroc"] < 0.65
    assert found["held_back_both"]["auroc"] > 0.8
    assert "By what is known after its answer: AUROC" not in plain
    assert "By what is known after its answer: AUROC" in after
    assert json.loads(judged)["after"]["auroc"] > 0.9


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "--head", "domian"], "--head: 'domian' is no head of the router; did you mean domain?"),
        (
            ["train", "--head", "domain", "--label", "kind"],
            "no row has a text in 'text' and something in 'kind'",
        ),
        (["train", "--head", "complexity"], "'small_correct', 'large_correct'; the columns are domain, text"),
        (
            ["evaluate", "--head", "domain", "--heads", "nowhere"],
            "router.heads: nowhere holds no ",
        ),
    ],
)
def test_mistakes_are_a_line_that_says_what_to_do(
    tmp_path: pathlib.Path, arguments: list[str], says: str
) -> None:
    """And the exit code is 2."""
    data = own_domains(tmp_path / "rows.jsonl")
    _, err = call("router", arguments[0], "--data", data, *arguments[1:], code=2)

    assert says in err
    assert len(err.strip().splitlines()) == 1


def test_another_encoder_needs_pytorch(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says what to install, and how large that is."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    data = own_domains(tmp_path / "rows.jsonl")
    _, err = call("router", "train", "--data", data, "--head", "domain", "--encoder", "some/encoder", code=2)

    assert "exporting 'some/encoder' needs torch, onnx, onnxscript" in err
    assert "pip install 'tekizai[encoders]' (PyTorch: several GB)" in err
