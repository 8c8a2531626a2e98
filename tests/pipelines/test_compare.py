"""`tekizai models compare` with fake models: what it shows and proposes, and that nothing is paid twice."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import yaml

from tests.fake_llm_server import Behaviour, FakeLlmServer, failing
from tests.pipelines.gate_rows import LABELS, PRICE, hosted, steered_label
from tests.pipelines.jobs import SENTIMENT, read_written
from tests.pipelines.test_commands import lines, tekizai
from tests.pipelines.test_resume import A_CALL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.pipelines.jobs import World

ROWS = 400


def write_rows(world: World, count: int = ROWS) -> None:
    """Half English, half Japanese; `small` reads English only and `other` Japanese only, and both know it."""
    rng, rows = random.Random(5), []
    for number in range(count):
        truth = rng.choice(LABELS)
        wrong = LABELS[1 - LABELS.index(truth)]
        unsure = rng.choice((truth, wrong))
        english = number % 2 == 0
        told = (
            "The parcel came late and the box was torn" if english else "箱が破れて、荷物は遅れて届きました"
        )
        small, other = (f"{truth}:0.97", f"{unsure}:0.55") if english else (f"{unsure}:0.55", f"{truth}:0.97")
        text = f"{told} {number} small={small} other={other} large={truth}:0.99"
        rows.append({"id": f"r{number}", "text": text, "truth": truth})
    world.write_lines(rows)


def models(world: World, server: FakeLlmServer, names: Iterable[str] = ("small", "other")) -> dict[str, Any]:
    """Local models of those names, and a hosted one."""
    found = hosted(world, server)
    local = found.pop("small")
    folder = world.folder
    made = {}
    for name in names:
        path = folder / f"{name}.gguf"
        path.write_bytes(b"GGUF" + name.encode() + bytes(64))
        # So cheap that a call which is spared is a gain.
        made[name] = {**local, "source": str(path), "usd_per_hour": "0.01"}
    return {**made, **found}


def job_file(world: World, server: FakeLlmServer, **changes: Any) -> Any:
    """A job that asks `small` and escalates to the hosted model; no rule names `other`."""
    return world.job_file(
        models=models(world, server),
        routing={"default": "small", "escalate_to": "large", "gate": {"target": 0.9}},
        calibration={"search_seconds": 0},
        **changes,
    )


def compared(*arguments: Any) -> dict[str, Any]:
    """What `compare --json` prints."""
    result = tekizai("models", "compare", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_each_language_goes_to_the_model_that_reads_it(world: World) -> None:
    """Either model alone escalates half; with a rule for one language nothing needs to be escalated."""
    write_rows(world)
    with FakeLlmServer(steered_label) as server:
        found = compared(job_file(world, server), "--records", 300)

    assert found["records"] == {"read": ROWS, "to_answer": ROWS, "asked": 300}
    assert (found["oracle"], found["judged"], found["target"]) == ("large", 300, 0.9)
    by = found["figures"]["by"]["language"]
    assert by["en"]["small"]["quality"]["rate"] == by["ja"]["other"]["quality"]["rate"] == 1.0
    assert by["ja"]["small"]["quality"]["rate"] < 0.7
    assert by["en"]["small"]["kept"]["rate"] == 1.0
    [rule] = found["proposal"]["routing"]["rules"]
    default = found["proposal"]["routing"]["default"]
    assert (default, rule["when"]["languages"], rule["use"]) in (
        ("small", ["ja"], "other"),
        ("other", ["en"], "small"),
    )
    ways = found["ways"]
    assert ways["proposal"]["quality"]["rate"] >= 0.9
    assert ways["proposal"]["escalated"]["rate"] < 0.1 < ways["small, then large"]["escalated"]["rate"]
    assert Decimal(ways["large alone"]["usd_per_thousand"]) == 1000 * A_CALL
    assert Decimal(ways["proposal"]["usd_per_thousand"]) < Decimal(ways["this job"]["usd_per_thousand"])


def test_the_proposal_is_a_job_and_the_run_asks_nothing_again(world: World, asked: list[str]) -> None:
    """Pasted into the job file it passes `check`; the run asks only what the comparison did not."""
    write_rows(world)
    with FakeLlmServer(steered_label) as server:
        file = job_file(world, server)
        found = compared(file, "--records", 200)
        assert (server.billed, len(asked)) == (200, 400)
        job = yaml.safe_load(file.read_text(encoding="utf-8"))
        del job["routing"], job["calibration"]
        file.write_text(yaml.safe_dump(job, sort_keys=False) + found["proposal"]["yaml"], encoding="utf-8")
        assert tekizai("check", file).exit_code == 0
        ran = tekizai("run", file)
        assert ran.exit_code == 0, ran.stderr

    texts = [request["messages"][-1]["content"] for request in server.requests]
    assert len(texts) == len(set(texts)) == server.billed
    # Each record is asked of the one small model that its language goes to; 200 of them were asked of both.
    assert len(asked) <= 400 + 200
    written = read_written(world.output)
    assert written.summary["records"]["annotated"] == ROWS
    assert written.summary["gate"]["certified"]


def test_a_comparison_that_ended_early_goes_on_where_it_ended(world: World) -> None:
    """The key is refused after 60 answers: the same command asks the other 140."""
    write_rows(world)
    refused: list[str] = []

    def behave(_: object) -> Behaviour:
        if server.billed >= 60 and not refused:
            refused.append("now")
            return failing(401, "expired")
        return Behaviour()

    with FakeLlmServer(steered_label, behave=behave) as server:
        file = job_file(world, server)
        first = tekizai("models", "compare", file, "--records", 200)
        before = server.billed
        found = compared(file, "--records", 200)

    assert first.exit_code == 1
    assert "the same command continues" in first.stderr
    assert "--fresh" not in first.stderr
    assert before < 200
    assert server.billed == 200
    assert found["judged"] == 200


def test_the_price_is_told_before_anything_is_spent(world: World) -> None:
    """The line with the price comes before the hosted model is asked; what is too dear is refused."""
    write_rows(world)
    with FakeLlmServer(steered_label) as server:
        file = job_file(world, server)
        refused = tekizai("models", "compare", file, "--records", 200, "--max-usd", "0.0001")
        spent = server.billed
        done = tekizai("models", "compare", file, "--records", 100)

    assert (refused.exit_code, spent) == (2, 0)
    assert "asking hosted models about 200 records costs about $" in refused.stderr
    assert "$0.0001 may be spent" in refused.stderr
    told = lines(done)
    [price] = [number for number, line in enumerate(told) if "large costs about $" in line]
    assert "at most" in told[price]
    assert price < told.index("asking large about 100 records")
    assert done.exit_code == 0


def test_the_budget_is_kept(world: World) -> None:
    """Where calls cost more than their texts let expect, no call is made that could cross the budget."""
    write_rows(world, 150)
    with FakeLlmServer(steered_label) as server:
        # A call's worst case is some .004 dollars, and 100 calls cost .011.
        file = job_file(world, server, budget={"max_usd": "0.0125"})
        result = tekizai("models", "compare", file, "--records", 60)

    assert server.billed * A_CALL <= Decimal("0.0125")
    assert result.exit_code in (0, 2), result.stderr


def test_a_gold_column_is_the_oracle(world: World) -> None:
    """Where there is one, quality is against it, the large model's too, and the gate of the proposal is."""
    write_rows(world)
    source = {"path": str(world.folder / "in.jsonl"), "text": "text", "id": "id", "gold": "truth"}
    with FakeLlmServer(lambda _: '{"label": "positive"}') as server:
        file = world.job_file(
            models=models(world, server),
            input=source,
            routing={"default": "small", "escalate_to": "large"},
        )
        found = compared(file, "--records", 300, "--target", 0.9)

    assert found["oracle"] == "gold"
    assert 0.4 < found["figures"]["all"]["large"]["quality"]["rate"] < 0.6
    assert found["proposal"]["routing"]["gate"] == {"target": 0.9, "oracle": "gold"}
    assert found["ways"]["proposal"]["quality"]["rate"] >= 0.9


def test_what_people_corrected_takes_the_place_of_the_column(world: World) -> None:
    """As when a run calibrates: here the column is wrong about every record, the corrections are right."""
    write_rows(world)
    path = world.folder / "in.jsonl"
    given = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    corrected = world.folder / "corrected.jsonl"
    lines = [json.dumps({"id": row["id"], "label": row["truth"]}) + "\n" for row in given]
    corrected.write_text("".join(lines), encoding="utf-8")
    world.write_lines([{**row, "truth": LABELS[1 - LABELS.index(row["truth"])]} for row in given])
    with FakeLlmServer(steered_label) as server:
        file = world.job_file(
            models=models(world, server),
            input={"path": str(path), "text": "text", "id": "id", "gold": "truth"},
            routing={
                "default": "small",
                "escalate_to": "large",
                "gate": {"target": 0.9, "oracle": "gold"},
            },
            calibration={"search_seconds": 0, "corrections": str(corrected)},
        )
        found = compared(file, "--records", 200)

    assert found["oracle"] == "gold"
    assert found["figures"]["all"]["large"]["quality"]["rate"] == 1.0


def test_a_target_that_nobody_reaches_has_no_proposal(world: World) -> None:
    """With one model that guesses and gold as the judge: it is said, with what the best one has."""
    world.write_lines(
        [{"id": f"r{n}", "text": f"text {n} =positive:0.9", "truth": LABELS[n % 2]} for n in range(120)]
    )
    source = {"path": str(world.folder / "in.jsonl"), "text": "text", "id": "id", "gold": "truth"}
    job = {"input": source, "routing": {"default": "small"}}
    file = world.job_file(models={"small": world.job().models["small"].model_dump(mode="json")}, **job)
    result = tekizai("models", "compare", file, "--records", 120)

    assert result.exit_code == 0, result.stderr
    assert "There is no proposal." in result.stdout
    assert "the best one alone, small, has 0.500" in " ".join(result.stdout.split())


def test_a_model_that_cannot_be_asked_is_left_out(world: World) -> None:
    """A missing file and a missing key, of models that no rule names: a line for each, and it goes on."""
    write_rows(world, 120)
    with FakeLlmServer(steered_label) as server:
        more = {
            "absent": {"engine": "llama_cpp", "source": str(world.folder / "absent.gguf")},
            "keyless": {"engine": "openai", "model": "m", "api_key_env": "NO_SUCH_KEY", "price": PRICE},
        }
        file = world.job_file(
            models={**models(world, server, ("small",)), **more},
            routing={"default": "small", "escalate_to": "large", "gate": {"target": 0.9}},
        )
        result = tekizai("models", "compare", file, "--records", 100, "--json")

    assert result.exit_code == 0, result.stderr
    assert "absent is left out: " in result.stderr
    assert "NO_SUCH_KEY" in result.stderr
    assert set(json.loads(result.stdout)["left_out"]) == {"absent", "keyless"}


def test_a_model_that_the_routing_names_has_to_be_there(world: World) -> None:
    """The job itself could not run: that is said as `check` says it."""
    write_rows(world, 20)
    file = world.job_file()
    (world.folder / "small.gguf").unlink()
    result = tekizai("models", "compare", file)

    assert result.exit_code == 2
    assert "small.gguf" in result.stderr


def test_failures_of_a_model_are_counted(world: World) -> None:
    """The engine fails on a tenth of the records: they count as failed, and are escalated in every way."""
    world.write_lines(
        [
            {
                "id": f"r{n}",
                "text": f"text {n} small=positive:0.9 large=positive:0.9" + " !engine" * (n % 10 == 0),
            }
            for n in range(150)
        ]
    )
    with FakeLlmServer(steered_label) as server:
        file = world.job_file(
            models=models(world, server, ("small",)),
            routing={"default": "small", "escalate_to": "large", "gate": {"target": 0.9}},
            calibration={"search_seconds": 0},
        )
        result = tekizai("models", "compare", file, "--records", 150, "--json")

    found = json.loads(result.stdout)
    assert found["figures"]["all"]["small"]["failed"] == 15
    assert "llama.cpp failed" in found["failed"]["small"]
    assert found["ways"]["small, then large"]["escalated"]["count"] >= 15


def test_it_fits_80_columns(world: World) -> None:
    """Tables and lines are for terminals, mails and tickets."""
    write_rows(world, 200)
    with FakeLlmServer(steered_label) as server:
        result = tekizai("models", "compare", job_file(world, server), "--records", 200)

    assert result.exit_code == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "routing:\n  default: " in result.stdout
    assert SENTIMENT["name"] not in result.stdout


def test_wrong_arguments_are_refused_with_what_to_give(world: World) -> None:
    """A share above 1, no money, no such file."""
    write_rows(world, 20)
    file = world.job_file()
    assert "give one between 0 and 1" in tekizai("models", "compare", file, "--target", 95).stderr
    assert "no amount of US dollars" in tekizai("models", "compare", file, "--max-usd", "none").stderr
    missing = tekizai("models", "compare", world.folder / "nothing.yaml")
    assert (missing.exit_code, "no such file" in missing.stderr) == (2, True)
