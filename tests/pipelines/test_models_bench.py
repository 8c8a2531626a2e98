"""`tekizai models bench`, as a user calls it."""

from __future__ import annotations

import hashlib
import io
import json
import pathlib
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from pipelines import models_bench
from pipelines.cli import app
from pipelines.errors import JobFailedError
from pipelines.model_source import find_model
from pipelines.models_bench import bench_models, parts_of
from pipelines.models_bench_data import BenchOptions, read_bench
from pipelines.show_models import print_bench
from tests.fake_models import FakeScorer
from tests.models import SMOLLM2, real_model
from tests.transforms.gguf_examples import gguf, number_setting, tensor
from transforms.model_figures import BenchModel, Memory, Scored, _answer, memory_now
from transforms.own_process import ProcessDiedError
from transforms.quantize_model import describe_model, quantise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from router.job import Task

TEXTS = {
    "good": ["Lovely, I am very happy.", "Excellent quality.", "A wonderful gift!", "The best I ever had."],
    "bad": ["Terrible, broke at once.", "Awful quality.", "A horrible waste!", "The worst I ever had."],
}
ROWS = [{"text": text, "mood": label} for label, texts in TEXTS.items() for text in texts]


def write_rows(folder: pathlib.Path, rows: Sequence[Mapping[str, Any]] = ROWS) -> str:
    """A JSONL file."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def write_job(folder: pathlib.Path, **changes: Any) -> str:
    """A job over the rows, with true labels."""
    names = [{"name": "bad"}, {"name": "good"}]
    job = {
        "name": "t",
        "input": {"path": write_rows(folder), "gold": "mood"},
        "output": {"path": str(folder / "out")},
        "tasks": [{"name": "mood", "instruction": "Is the writer happy?", "labels": names}],
        "models": {"small": {"engine": "llama_cpp", "source": "none.gguf"}},
        "routing": {"default": "small"},
        **changes,
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps(job), encoding="utf-8")
    return str(path)


def tekizai(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `tekizai models bench`."""
    done = CliRunner().invoke(app, ["models", "bench", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


class FakeProcess:
    """Stands in for `OwnProcess`: a model that answers as the texts say."""

    asked: list[tuple[str, tuple[str, ...]]]
    dies = False

    def __init__(self, _: Any, model: BenchModel, task: Task) -> None:
        self._model, self._task = model, task

    def __enter__(self) -> FakeProcess:  # noqa: PYI034 - it is never derived from
        return self

    def __exit__(self, *_: object) -> None: ...

    def ask(self, texts: tuple[str, ...]) -> Scored:
        if self.dies:
            raise ProcessDiedError("its process ended before it had answered (by signal SIGKILL)")
        self.asked.append((self._model.name, texts))
        scorer: Any = FakeScorer(f"m{self._model.name}", {self._task.name: self._task})
        answers = tuple(_answer(scorer, self._model.name, self._task.name, text) for text in texts)
        return Scored(answers, Memory(3_000_000, 5_000_000))


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> type[FakeProcess]:
    """Models that answer at once."""
    FakeProcess.asked = []
    monkeypatch.setattr(models_bench, "_Process", FakeProcess)
    monkeypatch.setattr(FakeProcess, "dies", False)
    return FakeProcess


@pytest.fixture
def model(tmp_path: pathlib.Path) -> str:
    """A file that says that it is a q4_0 model."""
    path = tmp_path / "a.gguf"
    path.write_bytes(gguf([("general.file_type", number_setting(2))], [tensor("a", 2, 64)]))
    return str(path)


def test_two_real_files(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    """SmolLM2 as it ships and as q4_0, 8 records, each file in a process of its own."""
    shipped = describe_model(pathlib.Path(real_model(SMOLLM2).path))
    made = quantise(shipped, tmp_path / "smollm2-q4_0.gguf", "q4_0")

    options = ("--data", write_rows(tmp_path), "--gold", "mood", "--labels", "bad,good", "--json")
    code, said, errors = tekizai("smollm2", made.path, *options)

    assert code == 0, errors
    assert errors.startswith("8 records, 2 model(s), each in a process of its own")
    assert errors.count("\n") == 1, errors
    assert "\x1b" not in errors
    assert capfd.readouterr().err == "", "the processes are quiet"
    found = json.loads(said)
    first, second = found["models"]
    assert [one["file"]["sha256"] for one in (first, second)] == [shipped.sha256, made.sha256]
    assert second["file"]["lineage"] == "q4_0 of q4_1"
    assert first["fingerprint"] != second["fingerprint"]
    for one in (first, second):
        # The weights are mapped or copied, and there is the cache; Beam and Python are not counted.
        assert one["file"]["bytes"] * 0.8 < one["memory"]["peak"] < one["file"]["bytes"] + 500e6
        assert sum(turn["records"] for turn in one["speed"]["turns"]) == 8
        assert one["accuracy"]["of"] == one["agreement"]["of"] == 8
        assert one["accuracy"]["count"] >= 5
        assert one["failed"] == 0
    assert first["agreement"]["rate"] == 1.0
    assert first["speed"]["times_first"] == 1.0


def test_what_is_measured(tmp_path: pathlib.Path, model: str, fakes: type[FakeProcess]) -> None:
    """Three records, of which the second model gets one more right; who begins changes by turns."""
    rows = [
        {"text": "m1=good:0.9 m2=good:0.7", "mood": "good"},
        {"text": "m1=good:0.9 m2=bad:0.8", "mood": "bad"},
        {"text": "m1=good:0.9 m2=bad:0.9", "mood": "good"},
    ]
    asked = read_bench(BenchOptions(data=write_rows(tmp_path, rows), gold="mood", labels="bad,good"))

    found = bench_models([find_model(model), find_model(model)], asked, 1, lambda _: None)

    first, second = found["models"]
    assert first["accuracy"]["count"] == second["accuracy"]["count"] == 2
    assert (second["gained"], second["lost"], second["agreement"]["count"]) == (1, 1, 1)
    assert first["memory"] == {"resident": 3_000_000, "peak": 5_000_000}
    # Each fake takes half a second a record and evaluates 4 tokens of 10.
    assert first["speed"]["records_per_second"] == 2.0
    assert first["speed"]["tokens_per_second"] == 8.0
    assert [name for name, _ in fakes.asked] == ["1", "2", "1", "2", "2", "1", "1", "2"]
    assert found["label_free"] == 0
    lines = json.dumps([[record.text, record.gold] for record in asked.records])
    assert found["data"]["sha256"] == hashlib.sha256(lines.encode()).hexdigest()


def test_the_table(tmp_path: pathlib.Path, model: str, fakes: type[FakeProcess]) -> None:
    """At most 80 columns and no colour codes where it is piped; nothing of a name is cut off."""
    rows = [{"text": f"{number} m1=good:0.9", "mood": "good"} for number in range(20)]
    asked = read_bench(BenchOptions(data=write_rows(tmp_path, rows), gold="mood", labels="bad,good"))
    out = io.StringIO()
    found = bench_models([find_model(model)] * 2, asked, 2, lambda _: None)
    print_bench(found, Console(file=out))

    said = out.getvalue()
    assert max(map(len, said.splitlines())) <= 80
    assert "\x1b" not in said
    words = " ".join(said.split())
    assert "1 q4_0" in words
    # 20 of 20: the interval's lower end is .025^(1/20).
    assert "1.000" in words
    assert "0.832 to 1.000" in words
    assert f"2: {model}; right where 1 is wrong 0, the reverse" in words
    assert "2 thread(s) each. Scores divided by their mean over 20 of them." in words


def test_a_record_that_the_engine_fails_on(
    tmp_path: pathlib.Path, model: str, fakes: type[FakeProcess]
) -> None:
    """It is counted apart, and no other record suffers."""
    rows = [{"text": "!engine", "mood": "good"}, {"text": "=good:0.9", "mood": "good"}]
    code, said, _ = tekizai(
        model, "--data", write_rows(tmp_path, rows), "--gold", "mood", "--labels", "good,bad"
    )

    assert code == 0
    assert "the engine failed on 1 records" in " ".join(said.split())


def test_a_process_that_dies(
    tmp_path: pathlib.Path, model: str, fakes: type[FakeProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which model it was, how it ended, and what may help."""
    monkeypatch.setattr(fakes, "dies", True)
    asked = read_bench(BenchOptions(data=write_rows(tmp_path), gold="mood", labels="bad,good"))

    with pytest.raises(
        JobFailedError, match=r"a\.gguf: its process ended .*SIGKILL\); if memory is short, give"
    ):
        bench_models([find_model(model)], asked, 1, lambda _: None)


def test_a_job_file(tmp_path: pathlib.Path) -> None:
    """Its task, its input, its drawn examples; the command line can say otherwise."""
    examples = {"from": write_rows(tmp_path), "label": "mood"}
    labels = [{"name": "bad"}, {"name": "good"}]
    tasks = [
        {"name": "mood", "instruction": "Happy?", "labels": labels, "examples": examples},
        {"name": "other", "instruction": "Other?", "labels": labels},
    ]
    job = write_job(tmp_path, tasks=tasks)

    found = read_bench(BenchOptions(job=job, task="mood", records=5))
    other = read_bench(BenchOptions(job=job, task="other"))

    assert [record.task for record in found.records] == ["mood"] * 5
    assert len(other.records) == 8
    assert found.chosen is not None
    assert found.chosen.examples is not None
    assert {one.label for one in found.chosen.examples} == {"bad", "good"}
    assert other.chosen is None
    # More records are those of fewer and others.
    assert set(found.records) < set(read_bench(BenchOptions(job=job, task="mood")).records)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--data is missing; give it, or --job JOB.yaml, whose task is taken"),
        (["--data", "rows.jsonl"], "--gold is missing"),
        (["--data", "rows.jsonl", "--gold", "mood"], "--labels is missing"),
        (["--data", "no.jsonl", "--gold", "mood", "--labels", "bad,good"], "no.jsonl: no such file"),
        (["--data", "rows.jsonl", "--gold", "moot", "--labels", "bad,good"], "--gold: "),
        (["--data", "rows.jsonl", "--gold", "mood", "--labels", "bad,nice"], "--gold: 'good' is not a label"),
        (["--data", "rows.jsonl", "--gold", "mood", "--labels", "bad,bad"], "--labels: "),
        (
            ["--data", "rows.jsonl", "--gold", "mood", "--labels", "a,b", "--task", "x"],
            "--task belongs to --job",
        ),
        (["--job", "job.yaml", "--labels", "a,b"], "leave --labels and --instruction out"),
        (["--job", "job.yaml", "--task", "mod"], "--task: 'mod' is no task of the job; did you mean mood?"),
        (["--job", "no.yaml"], "no.yaml: no such file"),
    ],
)
def test_wrong_options(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    """One line with what is wrong and what to do."""
    monkeypatch.chdir(tmp_path)
    write_job(tmp_path)

    code, out, errors = tekizai("a.gguf", *options)

    assert (code, out, errors.count("\n")) == (2, "", 1), errors
    assert said in errors


def test_a_file_that_is_no_model(tmp_path: pathlib.Path, model: str) -> None:
    """One without weights is told by its own process; one that is no GGUF file at once."""
    options = ("--data", write_rows(tmp_path), "--gold", "mood", "--labels", "bad,good")

    code, _, errors = tekizai(model, *options)
    missing, _, said = tekizai("none.gguf", *options)

    assert (code, missing) == (2, 2)
    assert f"tekizai: {model}: " in errors
    assert "llama.cpp cannot load this model" in errors
    assert "none.gguf: no such file" in said


def test_parts() -> None:
    """Of about the same size, in order; not more than there are texts."""
    assert parts_of(("a", "b", "c", "d", "e"), 2) == [("a", "b"), ("c", "d", "e")]
    assert parts_of(("a", "b"), 10) == [("a",), ("b",)]


def test_memory_is_counted_from_where_it_was() -> None:
    """What was resident before is not the model's."""
    assert Memory(70, 90).beyond(Memory(50, 80)) == Memory(20, 40)
    assert Memory(40, 90).beyond(Memory(50, 80)) == Memory(0, 40)
    assert 1 << 20 < memory_now().resident <= memory_now().peak < 64 << 30


def test_help_loads_nothing_heavy() -> None:
    """Beam and the engine take seconds to load."""
    code = (
        "import sys; from pipelines.cli import app; "
        "print([n for n in ('apache_beam', 'llama_cpp', 'polars') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
