"""Jobs whose rules look at what the real router finds; the models are fakes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pipelines.prepare import prepare
from router import findings
from router.job_loading import JobError
from transforms.route_records import RouterError

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Sequence

    from router.job import Job
    from tests.pipelines.jobs import World

CARD = "My card payment was declined and the bank has charged me a fee on my account. =positive:0.9"
FILM = "The film has a brilliant cast, and the music of this movie is lovely. =positive:0.9"
CODE = "Write a Python function that reverses a linked list. =positive:0.9"
FRENCH = "Translate this sentence into French: the cat sleeps on the sofa. =positive:0.9"


def routed(world: World, rules: list[dict[str, Any]], **changes: Any) -> dict[str, tuple[Any, Any, Any]]:
    """By id: model, rule, and the reason given."""
    routing = {"default": "small", "rules": rules, "gate": {"min_confidence": 0.8}}
    found = world.run(**{"routing": routing, **changes}).by_id()
    return {
        name: (one["annotation"]["model"], one["route"]["rule"], one["annotation"]["reason"])
        for name, one in found.items()
    }


def test_rules_choose_by_domain_and_complexity(world: World) -> None:
    """The reason says which rule, and which values met it."""
    world.write_lines([{"id": "card", "text": CARD}, {"id": "film", "text": FILM}])

    found = routed(
        world,
        [
            {"when": {"domains": ["finance"]}, "use": "large"},
            {"when": {"complexity_above": 0.99}, "use": "large"},
        ],
    )

    assert found["card"] == ("large", 0, "rule 0 (domain finance); confidence 0.900 at least 0.8")
    assert found["film"][:2] == ("small", None)


def test_every_record_has_a_domain_and_a_complexity(world: World) -> None:
    """Also where no rule asks for them; the task is the job's."""
    world.write_lines([{"id": "card", "text": CARD}, {"id": "film", "text": FILM}])
    found = world.run().by_id()

    assert {name: one["route"]["domain"] for name, one in found.items()} == {
        "card": "finance",
        "film": "entertainment",
    }
    assert all(0.0 < one["route"]["complexity"] < 1.0 for one in found.values())
    assert {one["route"]["task"] for one in found.values()} == {"sentiment"}


def test_a_second_run_reads_no_text_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the router found is in the journal, and comes out the same."""
    world.write_lines([{"id": "card", "text": CARD}, {"id": "film", "text": FILM}])
    first = {name: one["route"] for name, one in world.run().by_id().items()}

    def refuse(*_: Any) -> None:
        raise AssertionError("a text was read again")

    monkeypatch.setattr("router.findings.view_texts", refuse)
    monkeypatch.setattr("router.findings.identify_language", refuse)
    again = world.run(routing={"default": "small", "gate": {"min_confidence": 0.7}}).by_id()

    assert {name: one["route"] for name, one in again.items()} == first
    assert first["card"]["domain"] == "finance"


def test_what_rules_need_is_found_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are counted and drawn by what the rules choose; the main pass finds that in the journal."""
    seen: list[str] = []
    look = findings.view_texts

    def noting(texts: Sequence[str], encode: Any) -> Any:
        seen.extend(texts)
        return look(texts, encode)

    monkeypatch.setattr("router.findings.view_texts", noting)
    world.write_lines([{"id": "card", "text": CARD}, {"id": "film", "text": FILM}])
    found = routed(world, [{"when": {"domains": ["finance"]}, "use": "large"}])

    assert found["card"][0] == "large"
    assert sorted(seen) == sorted([CARD, FILM])


def test_a_job_may_leave_them_out(world: World) -> None:
    """`find: needed` costs nothing where no rule asks."""
    world.write_lines([{"id": "card", "text": CARD}])
    [one] = world.run(router={"find": "needed"}).annotations

    assert (one["route"]["domain"], one["route"]["complexity"]) == (None, None)


def test_rules_choose_by_what_a_prompt_asks_for(world: World) -> None:
    """Tasks that the router knows and the job does not have; the route names what was found."""
    world.write_lines([{"id": "code", "text": CODE}, {"id": "french", "text": FRENCH}])
    routing = {
        "default": "small",
        "rules": [{"when": {"tasks": ["code", "math"]}, "use": "large"}],
        "gate": {"min_confidence": 0.8},
    }
    found = world.run(routing=routing).by_id()

    assert {name: (one["annotation"]["model"], one["route"]["task"]) for name, one in found.items()} == {
        "code": ("large", "code"),
        "french": ("small", "translation"),
    }
    assert {one["annotation"]["task"] for one in found.values()} == {"sentiment"}


def test_records_are_sorted_into_tasks_where_no_column_names_them(world: World) -> None:
    """Tasks that the router knows by name; the answer is then to that task."""
    labels = [{"name": "negative"}, {"name": "positive"}]
    tasks = [{"name": name, "instruction": "Judge it.", "labels": labels} for name in ("code", "translation")]
    world.write_lines(
        [{"id": "code", "text": CODE}, {"id": "french", "text": FRENCH}, {"id": "again", "text": CODE}]
    )
    found = world.run(tasks=tasks).by_id()

    assert {name: one["annotation"]["task"] for name, one in found.items()} == {
        "code": "code",
        "french": "translation",
        "again": "code",
    }
    assert found["again"]["annotation"]["status"] == "duplicate"


def test_tasks_of_ones_own_are_told_apart_by_what_they_are_about(world: World) -> None:
    """By name, instruction and labels, without any rows."""
    tasks = [
        {
            "name": "film reviews",
            "instruction": "Judge the review of a movie.",
            "labels": [{"name": "dull"}, {"name": "moving"}],
        },
        {
            "name": "bank requests",
            "instruction": "Say what the bank's customer wants about cards, payments and accounts.",
            "labels": [{"name": "card"}, {"name": "fee"}],
        },
    ]
    world.write_lines([{"id": "card", "text": CARD}, {"id": "film", "text": FILM}])
    found = world.run(tasks=tasks).by_id()

    assert found["card"]["annotation"]["task"] == "bank requests"
    assert found["film"]["annotation"]["task"] == "film reviews"


def test_domains_of_ones_own_need_a_description_only(world: World) -> None:
    """They replace the shipped ones."""
    world.write_lines([{"id": "card", "text": CARD}, {"id": "film", "text": FILM}])
    domains = [
        {"name": "cinema", "description": "films, actors, movie music"},
        {"name": "payments", "description": "bank cards, fees, accounts"},
    ]
    found = world.run(
        router={"domains": domains},
        routing={
            "default": "small",
            "rules": [{"when": {"domains": ["payments"]}, "use": "large"}],
            "gate": {"min_confidence": 0.8},
        },
    ).by_id()

    assert found["card"]["route"]["domain"] == "payments"
    assert found["card"]["annotation"]["model"] == "large"
    assert found["film"]["route"]["domain"] == "cinema"


def test_two_processes_route_as_one_does(world: World) -> None:
    """Whatever is read with what: the findings are the same to the last digit."""
    texts = [CARD, FILM, CODE, FRENCH]
    rows = [{"id": f"{n}", "text": f"{n} {texts[n % 4]}"} for n in range(60)]
    world.write_lines(rows)
    rules = [{"when": {"domains": ["finance"]}, "use": "large"}]
    routing = {"default": "small", "rules": rules, "gate": {"min_confidence": 0.8}}
    one = world.run(routing=routing).by_id()
    options = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    other = world.run_to(
        world.folder / "other",
        options=options,
        workers=2,
        routing=routing,
        output={"path": str(world.folder / "other"), "format": "parquet"},
    ).by_id()

    assert {name: row["route"] for name, row in one.items()} == {
        name: row["route"] for name, row in other.items()
    }


def test_rules_that_can_never_match_are_refused(world: World) -> None:
    """With the place and the fix, before anything runs."""
    rules = [{"when": {"domains": ["law"]}, "use": "large"}, {"when": {"domains": ["law"]}, "use": "small"}]
    with pytest.raises(JobError, match=r"routing\.rules\[1\].* can never match: rule 0 before it"):
        world.job(routing={"default": "small", "rules": rules})
    with pytest.raises(JobError, match=r"routing\.rules\[0\]\.when\.domains\[0\].*did you mean finance"):
        world.job(routing={"default": "small", "rules": [{"when": {"domains": ["finanse"]}, "use": "large"}]})


def test_heads_that_are_not_there_are_said_at_once(world: World, tmp_path: pathlib.Path) -> None:
    """With the command that makes them."""
    world.write_lines([{"id": "card", "text": CARD}])
    job: Job = world.job(router={"heads": str(tmp_path / "none")})
    with pytest.raises(RouterError, match=r"router\.heads: .*none holds no router\.json"):
        prepare(job, workers=1)
    job = world.job(router={"encoder": "intfloat/multilingual-e5-small"})
    with pytest.raises(RouterError, match="is not exported yet; run `tekizai router train --encoder"):
        prepare(job, workers=1)
