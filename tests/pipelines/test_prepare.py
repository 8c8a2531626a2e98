"""What is checked and settled before a job runs."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.prepare import prepare
from tests.fake_models import FakeHandler
from tests.pipelines.jobs import SENTIMENT, TOPICS, files_in
from transforms.llama_adapter import ModelFileError
from transforms.llm_access import LlmStop
from transforms.llm_handler import BudgetShare, OpenAICompatibleModelHandler

if TYPE_CHECKING:
    from collections.abc import Callable

    from router.job import Job
    from tests.pipelines.jobs import World

HOSTED = {
    "engine": "openai",
    "model": "fake",
    "base_url": "http://127.0.0.1:9/v1",
    "price": {"input_usd_per_million_tokens": "1", "output_usd_per_million_tokens": "2"},
}


@pytest.fixture
def ready(world: World) -> World:
    """A world with three records."""
    world.write_lines({"id": f"r{number}", "text": f"text {number}"} for number in range(3))
    return world


def test_a_plan_has_all_that_the_pipeline_needs(ready: World) -> None:
    """Splits, one handler for each model that is used, and how to end."""
    plan = prepare(ready.job(), workers=1)

    assert [split.url for split in plan.splits] == [str(ready.folder / "in.jsonl")]
    assert {name: type(handler) for name, handler in plan.handlers.items()} == {
        "small": FakeHandler,
        "large": FakeHandler,
    }
    assert (plan.small_models, plan.large_models) == (["small"], ["large"])
    assert plan.state == f"{ready.output}/state"
    assert (plan.ending.gate["threshold"], plan.ending.large, plan.ending.suffix) == (0.8, "large", "parquet")
    assert files_in(ready.output) == []


def test_preparing_writes_nothing(ready: World) -> None:
    """`check` does it too."""
    before = {*files_in(ready.folder), "job.yaml", "small.gguf", "large.gguf"}

    prepare(ready.job(), workers=1)

    assert set(files_in(ready.folder)) == before


def test_workers_elsewhere_are_told_which_file_it_is(ready: World) -> None:
    """Its digest goes with the model; on this machine they read the same file anyway."""
    path = ready.folder / "small.gguf"
    there = prepare(ready.job(), workers=1, local=False).handlers["small"]
    here = prepare(ready.job(), workers=1).handlers["small"]

    assert isinstance(there, FakeHandler)
    assert isinstance(here, FakeHandler)
    assert there.local.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert here.local.digest is None


def test_a_model_that_only_workers_have(ready: World) -> None:
    """A path in their image: the job file says which file it is, and nothing else is needed here."""
    local = ready.job().models["small"].model_dump(mode="json", exclude_none=True)
    baked = {**local, "source": "/models/baked.gguf", "sha256": "ab" * 32}
    job = ready.job(models={"small": baked}, routing={"default": "small"})

    plan = prepare(job, workers=1, local=False)

    assert plan.ending.manifest["models"] == {"small": {"sha256": "ab" * 32}}
    with pytest.raises(ModelFileError, match="no such model file"):
        prepare(job, workers=1)


def test_models_that_no_rule_names_are_not_opened(ready: World) -> None:
    """Their files need not be there."""
    local = ready.job().models["small"].model_dump(mode="json")
    models = {"unused": {**local, "source": "nowhere.gguf"}, "other": local, "small": local}
    rules = [{"when": {"languages": ["ja"]}, "use": "other"}]
    job = ready.job(models=models, routing={"default": "small", "rules": rules})

    assert job.used_models == ("other", "small")
    assert sorted(prepare(job, workers=1).handlers) == ["other", "small"]


def test_the_cores_are_shared_by_the_workers(ready: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each gets at least one thread; a number in the job file wins."""
    monkeypatch.setattr("pipelines.open_models.usable_cores", lambda: 8)
    local = ready.job().models["small"].model_dump(mode="json", exclude_none=True)
    free = {name: value for name, value in local.items() if name != "threads"}
    job = ready.job(models={"small": free, "large": {**local, "threads": 5}})

    def threads(workers: int) -> list[int]:
        handlers = prepare(job, workers=workers).handlers
        return [handlers[name]._local.threads for name in ("small", "large")]  # type: ignore[attr-defined]

    assert [threads(workers) for workers in (1, 3, 20)] == [[8, 5], [2, 5], [1, 5]]


def test_the_budget_is_divided_where_workers_share_no_counter(ready: World) -> None:
    """Elsewhere than here: 6 dollars over 2 models and 3 workers are 1 each. Here one ledger serves all."""
    local = ready.job().models["small"].model_dump(mode="json")
    job = ready.job(
        models={"small": local, "one": HOSTED, "two": HOSTED},
        routing={
            "default": "small",
            "escalate_to": "one",
            "rules": [{"when": {"characters_above": 9}, "use": "two"}],
        },
        budget={"max_usd": "6"},
    )

    def shares(*, local: bool) -> list[BudgetShare | None]:
        handlers = prepare(job, workers=3, local=local).handlers
        hosted = [handlers[name] for name in ("one", "two")]
        return [one._budget for one in hosted if isinstance(one, OpenAICompatibleModelHandler)]

    assert shares(local=False) == [BudgetShare(Decimal(1))] * 2
    assert shares(local=True) == [BudgetShare(Decimal(6), f"{ready.output}/state/budget.sqlite")] * 2


def test_a_missing_key_shows_at_once(ready: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any record is read."""
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    models = {"small": {**HOSTED, "api_key_env": "NO_SUCH_KEY"}}

    with pytest.raises(LlmStop, match="NO_SUCH_KEY is not set"):
        prepare(ready.job(models=models, routing={"default": "small"}), workers=1)


@pytest.mark.parametrize(
    ("tasks", "multi_label", "single_label"),
    [
        ([SENTIMENT], frozenset(), True),
        ([TOPICS], frozenset({"topics"}), False),
        ([SENTIMENT, TOPICS], frozenset({"topics"}), True),
    ],
)
def test_the_layout_follows_the_tasks(
    ready: World, tasks: list[dict[str, Any]], multi_label: frozenset[str], single_label: bool
) -> None:
    """A column for one label, for many, or both."""
    columns = {"path": str(ready.folder / "in.jsonl"), "text": "text", "task": "id"}

    layout = prepare(ready.job(tasks=tasks, input=columns), workers=1).ending.layout

    assert (layout.multi_label, layout.single_label, layout.adds_id) == (multi_label, single_label, True)


def test_a_limit_leaves_splits_out(ready: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not reached is not read."""
    monkeypatch.setattr("pipelines.prepare._SPLIT_BYTES", 1)

    assert len(prepare(ready.job(), workers=1, limit=1).splits) < len(prepare(ready.job(), workers=1).splits)


def test_the_manifest_says_what_was_used(ready: World) -> None:
    """The job, the models' digests, the versions."""
    manifest = prepare(ready.job(), workers=1, limit=2).ending.manifest

    files = {name: (ready.folder / f"{name}.gguf").read_bytes() for name in ("small", "large")}
    digests = {name: {"sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    assert manifest["models"] == digests
    assert (manifest["job"]["name"], manifest["limit"]) == ("test", 2)
    assert manifest["versions"]["apache-beam"].startswith("2.")


def grow(world: World) -> None:
    """Add a record to the input."""
    with (world.folder / "in.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"id": "r9", "text": "late"}\n')


def change_model(world: World) -> None:
    """Put another model in the place of the file."""
    (world.folder / "small.gguf").write_bytes(b"GGUF" + bytes(65))


@pytest.mark.parametrize("change", [grow, change_model])
def test_a_job_is_another_one_with_other_input_or_models(
    ready: World, change: Callable[[World], None]
) -> None:
    """A finished output of yesterday's data must not pass for today's."""
    job = ready.job()
    before = prepare(job, workers=1).ending.manifest["job_digest"]

    change(ready)

    assert prepare(job, workers=1).ending.manifest["job_digest"] != before


def test_a_job_is_the_same_whatever_its_place_and_its_workers(ready: World) -> None:
    """Settings and a limit make another one; where the output lies does not."""

    def digest(limit: int | None = None, workers: int = 1, **changes: Any) -> Any:
        return prepare(ready.job(**changes), workers=workers, limit=limit).ending.manifest["job_digest"]

    same = digest()
    assert digest(workers=2) == same
    assert digest(output={"path": str(ready.folder / "elsewhere"), "format": "parquet"}) == same
    assert digest(limit=2) != same
    assert digest(limit=3) != digest(limit=2)
    assert digest(output={"path": str(ready.output), "format": "jsonl"}) != same
    assert digest(limits={"max_characters": 99}) != same


def drawing(ready: World, rows: list[dict[str, str]]) -> Job:
    """A job whose examples come from rows of another file."""
    path = ready.folder / "examples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = {**SENTIMENT, "examples": {"from": str(path)}}
    return ready.job(tasks=[task])


def test_examples_are_drawn_from_another_file(ready: World) -> None:
    """Four of each label, for the small models; other rows make another job."""
    rows = [{"text": f"{label} {n}", "label": label} for label in ("negative", "positive") for n in range(6)]

    first = prepare(drawing(ready, rows), workers=1)
    again = prepare(drawing(ready, rows), workers=1)
    other = prepare(drawing(ready, rows[1:]), workers=1)

    assert list(first.opening.prompts) == ["small"]
    shown = first.opening.prompts["small"]["sentiment"].examples
    assert shown is not None
    assert sorted(one.label for one in shown) == ["negative"] * 4 + ["positive"] * 4
    assert {one.text for one in shown} <= {row["text"] for row in rows}
    assert first.ending.manifest["job_digest"] == again.ending.manifest["job_digest"]
    assert first.ending.manifest["job_digest"] != other.ending.manifest["job_digest"]


def test_examples_of_another_file_are_part_of_the_prompt(ready: World) -> None:
    """Answers that were given without them do not count."""
    rows = [{"text": f"{label} {n}", "label": label} for label in ("negative", "positive") for n in range(6)]

    with_them = prepare(drawing(ready, rows), workers=1).ending.manifest["answers"]
    without = prepare(ready.job(tasks=[SENTIMENT]), workers=1).ending.manifest["answers"]

    assert with_them["small"] != without["small"]
