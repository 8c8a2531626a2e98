"""Reading job files: what loads, what is refused, and in which words."""

from __future__ import annotations

import pickle
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from router.job import LlamaCppModel, OpenAIModel
from router.job_loading import JobError, apply_overrides, job_schema, load_job, parse_job, parse_sets
from tests.router.job_example import EXAMPLE, edited, refused

if TYPE_CHECKING:
    from pathlib import Path


def test_documented_example_loads(tmp_path: Path) -> None:
    """The example of the documentation is a valid job, read as it says."""
    path = tmp_path / "job.yaml"
    path.write_text(EXAMPLE, encoding="utf-8")

    job = load_job(path, environ={})

    small, mine = job.models["smollm2"], job.models["mine"]
    assert isinstance(small, LlamaCppModel)
    assert isinstance(mine, OpenAIModel)
    assert mine.price is not None
    assert (job.name, job.input.path, job.output.format) == (
        "product-reviews",
        "data/samples/reviews.jsonl",
        "parquet",
    )
    assert (small.threads, small.usd_per_hour) == (1, Decimal("0.05"))
    assert mine.price.input_usd_per_million_tokens == Decimal("0.10")
    assert [rule.use for rule in job.routing.rules] == ["gemma3", "big", "big"]
    assert job.budget is not None
    assert job.budget.max_usd == Decimal(5)


def test_placeholders_at_any_depth() -> None:
    """${NAME} is replaced in every value, from the given pairs before the environment, $${NAME} is kept."""
    text = edited(
        ("data/samples/reviews.jsonl", "s3://b/dt=${DS}/${PART}.parquet"),
        ("[ja, zh, ko]", '["${L}", ko]'),
        ("threads: 1", "threads: '${THREADS}'"),
        ("5.00", "'${BUDGET}'"),
        ('text: "Broke after a day."', 'text: "Paid $5 and $${L}."'),
    )
    environ = {"DS": "1999-01-01", "PART": "a", "L": "ja", "THREADS": "4", "BUDGET": "2.50"}

    job = parse_job(text, sets={"DS": "2024-05-06"}, environ=environ)

    small = job.models["smollm2"]
    assert isinstance(small, LlamaCppModel)
    assert job.input.path == "s3://b/dt=2024-05-06/a.parquet"
    assert job.routing.rules[0].when.languages == ("ja", "ko")
    assert small.threads == 4
    assert job.budget is not None
    assert job.budget.max_usd == Decimal("2.50")
    assert job.tasks[0].examples[0].text == "Paid $5 and ${L}."


def test_placeholder_adds_no_structure() -> None:
    """A replaced text stays a text, and is not searched for placeholders again."""
    job = parse_job(edited(("product-reviews", "${X}")), sets={"X": "{a: ${Y}}\nb: 1"}, environ={})

    assert job.name == "{a: ${Y}}\nb: 1"


def test_unknown_placeholders() -> None:
    """A name without a value is refused with its place; nothing else is said about that value."""
    text = edited(("[ja, zh, ko]", '["${L}"]'), ("5.00", "'${B-1}'"), ("default: smollm2", "default: smol"))

    assert refused(text) == (
        (
            "job.yaml: routing.rules[0].when.languages[0]: ${L} has no value; "
            "give it with --set L=VALUE or in the environment"
        ),
        "job.yaml: budget.max_usd: '${B-1}' holds no name; write ${NAME}, or $${...} for the text itself",
    )


def test_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a given environment that of the process counts."""
    monkeypatch.setenv("TEKIZAI_TEST_NAME", "nightly")

    assert parse_job(edited(("product-reviews", "${TEKIZAI_TEST_NAME}"))).name == "nightly"


def test_words_that_yaml_would_turn() -> None:
    """`no`, `on` and dates are text, as people mean them; true and false are not."""
    job = parse_job(edited(("[ja, zh, ko]", "[no]"), ("product-reviews", "2024-01-01")), environ={})

    assert job.routing.rules[0].when.languages == ("no",)
    assert job.name == "2024-01-01"
    assert refused(edited(("product-reviews", "true"))) == (
        "job.yaml: name: true is not text; put it in quotes",
    )


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("", "job.yaml: empty; give a job with at least name, input, output, tasks, models, routing"),
        ("- a", "job.yaml: a list is not keys with values; give the keys name, input,"),
        (
            "a: 1\nb: {c: 1,\n c: 2}\na: 2",
            (
                "job.yaml: line 3: key 'c' is there twice (first in line 2); keep one\n"
                "job.yaml: line 4: key 'a' is there twice (first in line 1); keep one"
            ),
        ),
        (
            "name: x\ninput: [",
            "job.yaml: line 2, column 9: expected the node content, but found '<stream end>'",
        ),
        (
            "path: *.jsonl",
            "job.yaml: line 1, column 8: expected alphabetic or numeric character, but found '.'; check",
        ),
        ("a: {b: ${C}}", "job.yaml: line 1, column 9: expected ',' or '}', but got '{'; check"),
        ("x: !!python/object:os.system 1", "job.yaml: line 1, column 4: could not determine a constructor"),
        ("a: 1\n---\nb: 1", "job.yaml: line 2, column 1: but found another document"),
        ("a:\n  'b\x00'", "job.yaml: line 2, column 5: a control character; delete it"),
        ("a: &x [*x]", "job.yaml: nested too deeply"),
        ("a: " + "[" * 5000, "job.yaml: nested too deeply"),
    ],
)
def test_not_a_job_file(text: str, start: str) -> None:
    """What is not the YAML of a job is refused with line and column."""
    assert "\n".join(refused(text)).startswith(start)


def test_unreadable_files(tmp_path: Path) -> None:
    """A file that is not there, a folder and other encodings are one line each, with what to do."""
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: é".encode("latin-1"))
    expected = {
        tmp_path / "none.yaml": "no such file; give the path of a job file",
        tmp_path: "a directory; give the path of a job file in it",
        latin: "not UTF-8 (at byte 6); save it as UTF-8",
    }

    for path, says in expected.items():
        with pytest.raises(JobError) as caught:
            load_job(path)
        assert caught.value.lines == (f"{path}: {says}",)


def test_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    """Files saved by editors that put a mark in front are read all the same."""
    path = tmp_path / "job.yaml"
    path.write_text(EXAMPLE, encoding="utf-8-sig")

    assert load_job(str(path), environ={}).name == "product-reviews"


def test_sets() -> None:
    """NAME=VALUE pairs are read up to the first equals sign; other pairs are refused, all at once."""
    assert parse_sets(["A=1", "B=x=y", "C=", "A=2"]) == {"A": "2", "B": "x=y", "C": ""}
    assert parse_sets([]) == {}
    with pytest.raises(JobError) as caught:
        parse_sets(["A", "B-C=1", "=1"])
    assert caught.value.lines == (
        "--set 'A': there is no '='; write --set NAME=VALUE",
        "--set 'B-C': the part before '=' is not a name; write --set NAME=VALUE",
        "--set '': the part before '=' is not a name; write --set NAME=VALUE",
    )


def test_overrides() -> None:
    """Other places are taken over and checked like those of the file; the job itself stays."""
    job = parse_job(EXAMPLE, environ={})

    changed = apply_overrides(job, input_path="other.parquet", output_path="elsewhere")

    assert (changed.input.path, changed.output.path) == ("other.parquet", "elsewhere")
    assert job.input.path == "data/samples/reviews.jsonl"
    assert apply_overrides(job) == job
    with pytest.raises(JobError) as caught:
        apply_overrides(job, output_path=job.input.path)
    assert caught.value.lines == (
        "--input/--output: output.path: 'data/samples/reviews.jsonl' is input.path too; give another folder",
    )


def test_schema_helps_editors() -> None:
    """The schema names its dialect, refuses unknown keys and explains every section and most keys."""
    schema = job_schema()

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "Tekizai job file"
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["name", "input", "output", "tasks", "models", "routing"]
    assert all(section["description"] for section in schema["$defs"].values())
    key = schema["$defs"]["OpenAIModel"]["properties"]["api_key_env"]
    assert key["description"].startswith("The NAME of the environment variable")


def test_error_survives_pickling() -> None:
    """A worker can hand the error on with its lines."""
    error = pickle.loads(pickle.dumps(JobError(["a: 1", "b: 2"])))

    assert error.lines == ("a: 1", "b: 2")
    assert str(error) == "a: 1\nb: 2"
