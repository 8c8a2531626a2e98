"""`tekizai bench`: its sections at the smallest size, and what it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.bench import MODELS, Settings, chosen_models, chosen_sections, run_bench
from pipelines.bench_job import JobRun
from pipelines.bench_jobs import JobSize, bench_pipeline, growing, one_against_two, run_apart, sizes_up_to
from pipelines.bench_machine import notes
from pipelines.bench_stages import STAGES
from pipelines.errors import JobFailedError
from tests.models import SMOLLM2, real_model

if TYPE_CHECKING:
    import pathlib


def size(records: int) -> JobSize:
    """One turn of so many records."""
    return JobSize(1, records, lambda _: None)


def tekizai(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "bench", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_pipeline_is_measured_with_every_outcome() -> None:
    """Of 120 records two are copies and one has no text; some are escalated, some routed by language."""
    found = bench_pipeline(size(120), whole_router=False)

    outcome = found["outcome"]
    assert (outcome["read"], outcome["annotated"], outcome["dead_lettered"]) == (120, 119, 1)
    assert (outcome["duplicates"], outcome["duplicate"]) == (2, 2)
    assert outcome["escalated"] > 0
    assert outcome["routed"] > 0
    assert outcome["kept"] + outcome["escalated"] + outcome["routed"] + outcome["duplicate"] == 119
    speeds = found["ways"]["rules_only"]
    assert set(speeds) == {"models_take_no_time", "answers_in_journal"}
    for speed in speeds.values():
        rate, seconds = speed["records_per_second"]["median"], speed["seconds"]["median"]
        assert rate == pytest.approx(120 / seconds, rel=0.01)
        assert speed["peak_mib"] > 100
    shares = found["stages"]["shares"]
    assert sum(shares.values()) == pytest.approx(1.0, abs=0.01)
    assert "beam" in shares


def test_larger_jobs_are_told_with_their_memory() -> None:
    """A single size here."""
    (found,) = growing(size(20))

    assert found["records"] == 20
    assert found["records_per_second"] == pytest.approx(20 / found["seconds"], rel=0.01)
    assert found["peak_mib"] > 100


def test_one_process_is_compared_with_two() -> None:
    """By the whole job and by the time that the models took alone."""
    real_model(SMOLLM2)

    found = one_against_two(size(0), f"pypi://{SMOLLM2}", 2)

    rates = found["records_per_second"]
    assert set(rates) == {"1", "2"} == set(found["peak_mib"])
    assert found["ratio"]["median"] == pytest.approx(rates["2"]["median"] / rates["1"]["median"], rel=0.01)
    assert found["ratio_while_answering"]["median"] > 0


def test_a_job_that_fails_says_why(tmp_path: pathlib.Path) -> None:
    """In one line, that of the job itself."""
    with pytest.raises(JobFailedError, match=r"the benchmark's job failed: .*no such file"):
        run_apart(JobRun(str(tmp_path / "nowhere.jsonl"), str(tmp_path / "out")))


@pytest.mark.parametrize(
    ("most", "expected"), [(500, [500]), (1_000, [1_000]), (100_000, [1_000, 10_000, 100_000])]
)
def test_sizes_grow_tenfold_up_to_the_largest(most: int, expected: list[int]) -> None:
    """The largest is always there."""
    assert sizes_up_to(most) == expected


def test_sections_run_in_their_order_and_scale_only_where_it_is_named() -> None:
    """`all` is all of them; a wrong name gets the nearest one."""
    assert chosen_sections([]) == ["slm", "pipeline", "router", "llm"]
    assert chosen_sections(["scale", "slm"]) == ["slm", "scale"]
    assert chosen_sections(["all"]) == ["slm", "pipeline", "router", "llm", "scale"]
    with pytest.raises(ValueError, match=r"'slmm' is no section; did you mean slm\?"):
        chosen_sections(["slmm"])


def test_models_are_named_or_given_by_their_source() -> None:
    """What is neither is refused, with the nearest name."""
    assert chosen_models(["gemma3"]) == {"gemma3": MODELS["gemma3"]}
    assert chosen_models(["models/my.gguf"]) == {"models/my.gguf": "models/my.gguf"}
    with pytest.raises(ValueError, match="did you mean smollm2"):
        chosen_models(["smolm2"])


def test_given_numbers_win_over_quick_ones() -> None:
    """And quick ones over the usual ones."""
    assert (Settings().records_of("slm"), Settings().repeats_of("slm")) == (5, 5)
    assert Settings(quick=True).records_of("slm") == 2
    assert Settings(quick=True, records=7, repeats=9).records_of("slm") == 7
    assert Settings(quick=True, records=7, repeats=9).repeats_of("slm") == 9


def test_the_small_models_section_tells_model_threads_and_texts(tmp_path: pathlib.Path) -> None:
    """On a user's own text, a single one."""
    real_model(SMOLLM2)
    (tmp_path / "own.jsonl").write_text('{"review": "Very good."}\n', encoding="utf-8")
    settings = Settings(["slm"], 1, 1, ["smollm2"], data=str(tmp_path / "own.jsonl"), text="review")

    found = run_bench(settings, lambda _: None)

    (row,) = found["sections"]["slm"]
    assert (row["model"], row["texts"], row["threads"]) == ("smollm2", "own", 1)
    ratios = {"to_chat_json_schema", "to_grammar", "of_limit"}
    assert set(row["ratios"]) == ratios | {f"packed_{name}" for name in ratios}
    assert len(found["models"]["smollm2"]["sha256"]) == 64


def test_a_number_format_that_there_is_not() -> None:
    """Before a model is loaded."""
    with pytest.raises(ValueError, match=r"^--format: 'q8' is no number format; did you mean q8_0\?$"):
        run_bench(Settings(["slm"], as_format="q8"), lambda _: None)


def test_json_has_the_machine_the_versions_and_each_section() -> None:
    """On stdout alone, and no model is looked for where none is needed."""
    done = tekizai("router", "--records", "3", "--repeats", "1", "--json")

    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert set(found) == {"format", "machine", "versions", "models", "notes", "sections"}
    expected = {"processor", "cores", "memory_gib", "system", "load_average", "llama_cpp"}
    assert set(found["machine"]) == expected
    assert {"python", "tekizai", "apache-beam", "llama-cpp-python"} <= set(found["versions"])
    assert found["models"] == {}
    assert found["sections"]["router"]["texts"] == 3
    assert "router: turn 1 of 1" in done.stderr


def test_a_wrong_section_is_one_line_and_exit_code_2() -> None:
    """Before anything is measured."""
    done = tekizai("routr")

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "tekizai: 'routr' is no section; did you mean router?"


def test_a_busy_machine_is_noted() -> None:
    """From a quarter of its cores on."""
    assert notes({"load_average": 0.5, "cores": 2}) == []
    (said,) = notes({"load_average": 3.2, "cores": 2})
    assert "load average 3.2 on 2 cores" in said


def test_every_stage_names_modules_that_there_are() -> None:
    """A module that was renamed would fall to another stage in silence."""
    for module in (*STAGES.of, *STAGES.waiting):
        __import__(module)
    assert set(STAGES.of.values()) >= STAGES.whole
