"""Jobs that show the nearest rows and passages with each record: what is sent, recorded, paid and kept."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from pipelines.plan_estimates import estimated_calls, most_cost
from pipelines.prepare import prepare
from pipelines.references import References, told_of_sources
from router.prices import hosted_price
from router.records import Position, Record, Route, Work
from router.spending import worst_cost
from tests.fake_batch_server import FakeBatchServer
from tests.fake_llm_server import Behaviour, FakeLlmServer
from tests.pipelines.batch_jobs import PRICE
from tests.pipelines.gate_rows import hosted, rows, steered_label, target_job
from tests.pipelines.jobs import SENTIMENT
from tests.pipelines.test_commands import tekizai
from transforms.splits import InputError

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping

    from tests.pipelines.jobs import World, Written

POOL = [
    ("late", "The parcel came two weeks late.", "negative"),
    ("later", "It was delivered much too late.", "negative"),
    ("early", "The parcel came a day early.", "positive"),
    ("sound", "The sound of the speakers is great.", "positive"),
    ("noise", "The speakers make a terrible noise.", "negative"),
    ("own", "My parcel came late, one week!", "negative"),
]
GUIDE = """\
# Delivery
A parcel that came late is negative.

# Sound
Loud speakers are positive.
"""
SIGNS = ("negative", "positive")
RECORDS = [
    {"id": "r1", "text": "My parcel came late: one week."},
    {"id": "r2", "text": "The speakers sound great to me."},
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEKIZAI_CACHE", str(tmp_path / "cache"))


def write_pool(world: World, rows: list[tuple[str, str, str]] | None = None) -> None:
    """The records, the rows to retrieve, and the guide."""
    world.write_lines(RECORDS)
    rows = POOL if rows is None else rows
    world.write_lines([{"id": i, "text": t, "label": x} for i, t, x in rows], "pool.jsonl")
    (world.folder / "guide.md").write_text(GUIDE, encoding="utf-8")


def retrieving(world: World, server: FakeLlmServer | FakeBatchServer, **changes: Any) -> dict[str, Any]:
    """A job that asks the large model about everything, with two rows and one passage."""
    large = {"engine": "openai", "model": "m", "base_url": server.base_url, "price": PRICE}
    task = {
        **SENTIMENT,
        "examples": {"from": str(world.folder / "pool.jsonl"), "id": "id", "k": 2},
        "context": {"from": str(world.folder / "guide.md"), "k": 1},
    }
    routing = {"default": "large", "gate": {"min_confidence": 0.8}}
    return {
        "tasks": [task | changes.pop("task", {})],
        "models": {"large": large | changes.pop("large", {})},
        "routing": routing,
    } | changes


def shown_of(written: Written) -> dict[str, tuple[Any, Any]]:
    """Ids of examples and passages by record."""
    return {
        name: (row["annotation"]["examples"], row["annotation"]["passages"])
        for name, row in written.by_id().items()
    }


def test_the_nearest_rows_and_passages_are_sent_and_recorded(world: World) -> None:
    """Not the row that is the record itself in other words and signs; ids are the columns' and headings'."""
    write_pool(world)
    with FakeLlmServer() as server:
        written = world.run(**retrieving(world, server))

    assert shown_of(written) == {
        "r1": (["late", "early"], ["guide.md#Delivery/1"]),
        "r2": (["sound", "noise"], ["guide.md#Sound/1"]),
    }
    [request] = [one for one in server.requests if "one week." in one["messages"][-1]["content"]]
    assert [one["content"] for one in request["messages"][1:-1]] == [
        "The parcel came a day early.",
        '{"label": "positive"}',
        "The parcel came two weeks late.",
        '{"label": "negative"}',
    ]
    last = request["messages"][-1]["content"]
    assert "[1] Delivery\nA parcel that came late is negative.\n</reference-" in last
    assert server.requests[0]["messages"][0] == server.requests[1]["messages"][0]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_both_formats_have_the_ids_and_other_jobs_have_no_such_columns(world: World, kind: str) -> None:
    """A model that is shown nothing has nulls."""
    write_pool(world)
    output = {"path": str(world.output), "format": kind}
    with FakeLlmServer() as server:
        job = retrieving(world, server)
        small = world.job().models["small"].model_dump(mode="json", exclude_none=True)
        job["models"]["small"] = small
        job["routing"] = {"default": "small", "escalate_to": "large", "gate": {"min_confidence": 0.8}}
        world.write_lines([RECORDS[0], {"id": "sure", "text": "sure =positive:0.9"}])
        written = world.run(**job, output=output)
        plain = world.run_to(
            world.folder / "plain",
            tasks=[SENTIMENT],
            models=job["models"],
            routing=job["routing"],
            output={"path": str(world.folder / "plain"), "format": kind},
        )

    assert shown_of(written) == {
        "r1": (["late", "early"], ["guide.md#Delivery/1"]),
        "sure": (None, None),
    }
    assert all("examples" not in row["annotation"] for row in plain.annotations)
    if kind == "parquet":
        schema = pl.read_parquet(str(world.output / "annotations-*.parquet")).schema["annotation"]
        assert schema.fields[-2:] == [  # type: ignore[attr-defined]  # a struct has fields
            pl.Field("examples", pl.List(pl.String)),
            pl.Field("passages", pl.List(pl.String)),
        ]


def test_nothing_is_asked_again_until_a_row_changes(world: World) -> None:
    """A row that no record was shown changes what is nearest too, as far as anybody knows beforehand."""
    write_pool(world)
    with FakeLlmServer() as server:
        first = world.run(**retrieving(world, server))
        assert server.answered == 2
        second = world.run(**retrieving(world, server))
        assert server.answered == 2
        write_pool(world, [*POOL[:-1], ("own", "Another text.", "negative")])
        third = world.run(**retrieving(world, server))
        assert server.answered == 4
        (world.folder / "guide.md").write_text(GUIDE + "\nMore.", encoding="utf-8")
        world.run(**retrieving(world, server))
        assert server.answered == 6
        world.run(**retrieving(world, server, task={"context": None}))
        assert server.answered == 8

    assert shown_of(first) == shown_of(second) == shown_of(third)


def test_a_finished_output_is_not_finished_for_other_rows(world: World) -> None:
    """The job's digest has the rows in it, so that a run does not say that there is nothing to do."""
    digests = set()
    with FakeLlmServer() as server:
        for rows in (POOL, POOL, POOL[:-1]):
            write_pool(world, rows)
            plan = prepare(world.job(**retrieving(world, server)), workers=1)
            digests.add(plan.ending.manifest["job_digest"])

    assert len(digests) == 2


def test_rows_may_be_pinned(world: World) -> None:
    """By the digest that the manifest of a run says; others are refused, and the digest they have is told."""
    write_pool(world)
    with FakeLlmServer() as server:
        job = retrieving(world, server)
        known = prepare(world.job(**job), workers=1).ending.manifest["references"]["examples of sentiment"]
        job["tasks"][0]["examples"]["digest"] = known
        prepare(world.job(**job), workers=1)
        write_pool(world, POOL[:-1])

        with pytest.raises(
            InputError, match=rf"tasks\.sentiment\.examples\.digest: .* and not {known}; look"
        ):
            prepare(world.job(**job), workers=1)


def test_a_job_that_broke_off_asks_only_for_the_rest(world: World) -> None:
    """What was answered is in the journal, with the ids of what was shown."""
    write_pool(world)
    world.write_lines([*RECORDS, *({"id": f"x{n}", "text": f"The parcel {n} is early."} for n in range(10))])

    def behave(request: Mapping[str, Any]) -> Behaviour:
        broken = "speakers" in request["messages"][-1]["content"].split("<text-")[-1] and not mended
        return Behaviour(status=401, body=b"{}") if broken else Behaviour()

    mended: list[bool] = []
    with FakeLlmServer(behave=behave) as server:
        job = retrieving(world, server, large={"concurrency": 1})
        with pytest.raises(Exception, match="401"):
            world.run(**job)
        before = server.answered
        mended.append(True)
        written = world.run(**job)

    assert before >= 1
    assert server.answered == 12
    assert len(written.annotations) == 12
    assert shown_of(written)["r1"] == (["late", "early"], ["guide.md#Delivery/1"])


@pytest.mark.parametrize("k", [0, 1])
def test_none_are_shown_where_k_is_0(world: World, k: int) -> None:
    """So that both can be compared; without any retrieval there are no columns for it."""
    write_pool(world)
    with FakeLlmServer() as server:
        job = retrieving(world, server)
        job["tasks"][0]["examples"]["k"] = k
        job["tasks"][0]["context"] = None
        written = world.run(**job)

    assert {len(one["messages"]) for one in server.requests} == {2 + 2 * k}
    assert all(("examples" in row["annotation"]) == (k > 0) for row in written.annotations)


def test_a_row_with_the_records_id_is_not_shown(world: World) -> None:
    """Whatever its text is by now."""
    write_pool(world, [("r1", "The parcel came two weeks late.", "negative"), *POOL[1:]])
    with FakeLlmServer() as server:
        written = world.run(**retrieving(world, server))

    examples, _ = shown_of(written)["r1"]
    assert "r1" not in examples
    assert len(examples) == 2


def test_what_has_no_room_is_not_shown_and_not_recorded(world: World) -> None:
    """The large model's context holds the system message, the text, and little else."""
    write_pool(world)
    with FakeLlmServer() as server:
        written = world.run(**retrieving(world, server, large={"context": 330}))

    for request, row in zip(server.requests, written.annotations, strict=True):
        shown = row["annotation"]
        assert len(request["messages"]) == 2 + 2 * len(shown["examples"])
        assert len(shown["examples"]) + len(shown["passages"]) < 3


def test_the_budget_holds_with_longer_prompts(world: World) -> None:
    """A call's worst case has the rows and the passage in it: where only a bare one fits, none is made."""
    write_pool(world)
    with FakeLlmServer() as server:
        job = retrieving(world, server)
        bare = world.job(**retrieving(world, server, task={"examples": [], "context": None}))
        model = bare.models["large"]
        most = max(
            worst_cost(bare.tasks[0], one["text"], hosted_price(model), 64)  # type: ignore[arg-type]
            for one in RECORDS
        )
        over = world.run(**job, budget={"max_usd": str(most)})
        assert server.answered == 0
        enough = world.run(**job, budget={"max_usd": "1"})

    assert {letter["reason"] for letter in over.dead} == {"over_budget"}
    assert Decimal(enough.summary["cost_usd"]["total"]) <= 1
    assert server.answered == 2


def test_batches_hold_the_same_messages(world: World) -> None:
    """And a batch's answers have the ids too."""
    write_pool(world)
    with FakeLlmServer() as single:
        world.run_to(
            world.folder / "single",
            **retrieving(world, single),
            output={"path": str(world.folder / "single"), "format": "parquet"},
        )
    with FakeBatchServer() as server:
        job = retrieving(world, server, large={"batch": {"poll_seconds": 0.02}})
        written = world.run(**job)
        [batch] = server.batches
        sent = [line["body"]["messages"] for line in server.requests_in(batch)]

    def by_text(chats: list[Any]) -> list[Any]:
        return sorted(chats, key=json.dumps)

    assert by_text(sent) == by_text([one["messages"] for one in single.requests])
    assert shown_of(written)["r2"] == (["sound", "noise"], ["guide.md#Sound/1"])


def test_a_small_model_gets_them_where_it_is_asked_for(world: World) -> None:
    """Else it is shown the draw that is the same for all, and the large one is shown the nearest rows."""
    write_pool(world)
    small = world.job().models["small"].model_dump(mode="json", exclude_none=True)
    with FakeLlmServer() as server:
        job = retrieving(world, server)
        job["models"]["small"] = small
        job["routing"] = {"default": "small", "escalate_to": "large", "gate": {"min_confidence": 0.8}}
        usual = prepare(world.job(**job), workers=1).opening
        job["tasks"][0]["examples"]["for"] = ["small"]
        chosen = prepare(world.job(**job), workers=1).opening
        written = world.run(**job)

    [drawn] = usual.prompts["small"].values()
    assert drawn.examples is not None
    assert len(drawn.examples) == 6
    assert list(usual.references.by_model) == ["large"]
    [none] = chosen.prompts["small"].values()
    assert none.examples == ()
    assert chosen.references.by_model["small"]["sentiment"].passages is None
    assert chosen.references.by_model["large"]["sentiment"].examples is None
    assert shown_of(written) == {
        "r1": ([], ["guide.md#Delivery/1"]),
        "r2": ([], ["guide.md#Sound/1"]),
    }


def test_the_plan_reckons_with_what_is_shown(world: World) -> None:
    """Estimates and the worst case of calls grow with the prompts."""
    write_pool(world)
    record = Record(Position(0, 0), "r1", RECORDS[0]["text"], "sentiment", None, b"")
    work = [Work(record, Route("en", "sentiment", "large", None))]
    with FakeLlmServer() as server:
        bare = prepare(
            world.job(**retrieving(world, server, task={"examples": [], "context": None})), workers=1
        )
        shown = prepare(world.job(**retrieving(world, server)), workers=1)

    assert estimated_calls(shown, "large", work).usd[0] > estimated_calls(bare, "large", work).usd[0]
    some, none = most_cost(shown, "large", work), most_cost(bare, "large", work)
    assert some is not None
    assert none is not None
    assert some > none


def test_workers_elsewhere_find_the_rows_in_the_output(world: World) -> None:
    """Their machine has no file of this one: the rows lie in the state folder, under their digest."""
    write_pool(world)
    with FakeLlmServer() as server:
        plan = prepare(world.job(**retrieving(world, server)), workers=1, local=False)
    retrieval = plan.opening.references.by_model["large"]["sentiment"]
    assert retrieval.examples is not None
    url = f"{world.output}/state/references/{retrieval.examples.digest}.jsonl"

    assert retrieval.examples.url == url
    assert not (world.output / "state" / "references").exists()
    plan.opening.references.copy()
    copied = world.output / "state" / "references" / f"{retrieval.examples.digest}.jsonl"
    assert len(copied.read_text(encoding="utf-8").splitlines()) == 6


def test_a_certified_gate_works_with_them(world: World) -> None:
    """The pilot's answers are of the same prompts; of a small model's prompt only the form is searched."""
    world.write_lines(rows(300))
    world.write_lines(
        [{"id": f"p{n}", "text": f"An example {n}.", "label": SIGNS[n % 2]} for n in range(12)], "pool.jsonl"
    )
    examples = {"from": str(world.folder / "pool.jsonl"), "k": 2, "for": ["small", "large"]}
    with FakeLlmServer(steered_label) as server:
        job = target_job(
            tasks=[SENTIMENT | {"examples": examples}],
            models=hosted(world, server),
            calibration={"search_seconds": 5},
        )
        world.run(**job)
        asked = server.answered
        again = world.run(**job)

    assert server.answered == asked < 300
    assert again.summary["gate"]["certified"]
    shown = [row["annotation"]["examples"] for row in again.annotations]
    assert len(shown) == 300
    assert {len(ids) for ids in shown} == {2}
    stored = json.loads((world.output / "state/calibration/calibration.json").read_text(encoding="utf-8"))
    assert [model["prompt"]["examples"] for model in stored["models"]] == [[]]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_the_other_commands_read_such_an_output(world: World, kind: str) -> None:
    """The evaluation, the report and a second run."""
    write_pool(world)
    gold = [{**row, "gold": sign} for row, sign in zip(RECORDS, SIGNS, strict=True)]
    world.write_lines(gold)
    fields = {"path": str(world.folder / "in.jsonl"), "text": "text", "id": "id", "gold": "gold"}
    with FakeLlmServer() as server:
        job = retrieving(world, server, input=fields, output={"path": str(world.output), "format": kind})
        ran = tekizai("run", world.job_file(**job))
        evaluated = tekizai("evaluate", world.output, "--json")
        reported = tekizai("report", world.output)
        finished = tekizai("run", world.job_file(**job))
        planned = tekizai("check", world.job_file(**job))

    assert [one.exit_code for one in (ran, evaluated, reported, finished, planned)] == [0] * 5, ran.stderr
    assert "nothing to do" in finished.stderr
    assert '"accuracy"' in evaluated.stdout
    assert server.answered == 2


def test_what_is_shown_to_no_model_is_told(world: World) -> None:
    """With small models only and no `for`, retrieval would change nothing in silence."""
    task = {"name": "sentiment", "instruction": "i", "labels": [{"name": "a"}, {"name": "b"}]}
    near = {"from": "rows.jsonl", "k": 2}
    alone = {"default": "small"}

    nothing = References()
    [line] = told_of_sources(world.job(tasks=[{**task, "examples": near}], routing=alone), nothing)

    assert line.startswith("tasks.sentiment.examples: shown to no model")
    assert line.endswith("name models in `for`, as in for: [small]")
    named = {**task, "examples": {**near, "for": ["small"]}}
    assert told_of_sources(world.job(tasks=[named], routing=alone), nothing) == []
    none = {**task, "examples": {**near, "k": 0}}
    assert told_of_sources(world.job(tasks=[none], routing=alone), nothing) == []


def test_rows_for_a_small_model_are_told_to_be_slow_where_they_spared_nothing(world: World) -> None:
    """Few labels and a target: eight, not nine; and not for the large model alone, or without k."""
    near = {"from": "rows.jsonl", "k": 2, "for": ["small"]}
    gate = {"default": "small", "escalate_to": "large", "gate": {"target": 0.9}}
    small = world.job().models["small"].model_dump(mode="json")
    models = {"small": small, "large": small}

    def told(examples: dict[str, Any], labels: int = 8, routing: dict[str, Any] = gate) -> list[str]:
        task = {"name": "topic", "instruction": "i", "labels": [{"name": f"l{n}"} for n in range(labels)]}
        job = world.job(tasks=[{**task, "examples": examples}], models=models, routing=routing)
        return told_of_sources(job, References())

    [line] = told(near)
    assert line.startswith("tasks.topic.examples.k: small takes two to ten times as long")
    assert "(leave out k)" in line
    assert told(near, labels=9) == []
    assert told({**near, "for": ["large"]}) == []
    assert told({"from": "rows.jsonl"}) == []
    assert told(near, routing={"default": "small", "escalate_to": "large"}) == []


@pytest.mark.parametrize(("k", "told"), [(2, False), (3, True)])
def test_more_than_the_source_has_is_told(world: World, k: int, told: bool) -> None:
    """Each record is then shown the same rows, all of them, as when nothing was searched for."""
    world.write_lines([{"id": "r0", "text": "small=positive:0.9"}])
    rows = world.write_lines(
        [{"text": "one", "label": "negative"}, {"text": "two", "label": "positive"}], "rows.jsonl"
    )
    passages = world.write_lines([{"text": "Be kind."}, {"text": "Be fair."}], "rules.jsonl")
    task = {
        **SENTIMENT,
        "examples": {"from": str(rows), "k": k, "for": ["small"]},
        "context": {"from": str(passages), "k": k, "for": ["small"]},
    }

    done = tekizai("check", world.job_file(tasks=[task]))

    assert done.exit_code == 0, done.stderr
    assert (f"tasks.sentiment.examples.k: {k} is more than there are to show" in done.stderr) == told
    assert (f"tasks.sentiment.context.k: {k} is more than there are to show" in done.stderr) == told
    assert (f"each record is shown all 2 of {rows}" in done.stderr) == told
