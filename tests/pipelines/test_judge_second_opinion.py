"""What another model says in a dispute: its money is bounded and counted once, its silence is not final."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from pipelines.output_folder import waiting_records
from tests.fake_llm_server import Behaviour, FakeLlmServer, failing
from tests.pipelines.judged_jobs import DISPUTED, calling, judged_job, verdict

if TYPE_CHECKING:
    from typing import Any

    from tests.pipelines.jobs import World, Written

pytest.importorskip("pydantic_ai", reason="the agent library has no version for this Python")

NEGATIVE = '{"label": "negative"}'


@pytest.fixture(autouse=True)
def _own_cache(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEKIZAI_CACHE", str(world.folder / "cache"))


@pytest.fixture
def dispute(world: World) -> World:
    """One disputed record."""
    world.write_lines([{"id": "r0", "text": DISPUTED}])
    return world


def asking(world: World, server: FakeLlmServer, third: FakeLlmServer, **judge: Any) -> dict[str, Any]:
    """The job, whose judge may ask a hosted model at the server `third`."""
    changes = judged_job(world, server, second_opinion="third", **judge)
    changes["models"]["third"] = {**changes["models"]["agent"], "base_url": third.base_url}
    # Only models that rules or the gate may choose are shown what is retrieved.
    changes["routing"]["rules"] = [{"when": {"characters_above": 5000}, "use": "third"}]
    return changes


def said(written: Written) -> dict[str, Any]:
    """The annotation of the record."""
    found: dict[str, Any] = written.by_id()["r0"]["annotation"]
    return found


@pytest.mark.parametrize(("rows", "asked"), [(1, 1), (32, 0)])
def test_what_the_other_model_is_shown_counts_in_its_worst_case(
    dispute: World, rows: int, asked: int
) -> None:
    """32 rows of 512 bytes in two questions may cost $0.033, which is more than the record's $0.03."""
    texts = [hashlib.shake_128(bytes([number])).hexdigest(256) for number in range(rows)]
    source = dispute.write_lines([{"text": text, "label": "positive"} for text in texts], name="rows.jsonl")
    task = {
        "name": "sentiment",
        "instruction": "Classify the sentiment.",
        "labels": [{"name": "negative"}, {"name": "positive"}],
        "examples": {"from": str(source), "k": rows, "for": ["third"]},
    }
    dispute.write_lines([{"id": "r0", "text": DISPUTED}])
    with FakeLlmServer() as server, FakeLlmServer(answer=lambda _: NEGATIVE) as third:
        server.script += [calling("second_opinion", {}), verdict("positive")]
        written = dispute.run(tasks=[task], **asking(dispute, server, third, max_usd="0.03"))
        assert len(third.requests) == asked

    result = said(written)["judge"]["steps"][0]["tools"][0]["result"]
    assert ("may cost more than is left for this record" in result) == (not asked)
    assert said(written)["status"] == "judged"


def test_a_second_opinion_that_fails_is_asked_for_again(dispute: World) -> None:
    """No verdict is kept that was given without it; the step before it is not paid twice."""
    with FakeLlmServer() as server, FakeLlmServer(behave=lambda _: failing(503)) as third:
        server.script += [calling("second_opinion", {}), verdict("positive")]
        changes = asking(dispute, server, third)
        first = dispute.run(**changes)
        assert (said(first)["status"], said(first)["label"]) == ("escalated", "negative")
        assert "third gave no answer" in said(first)["reason"]
        assert waiting_records(first.summary) == 1
        assert server.billed == 1
        third.behave = lambda _: Behaviour(answer=NEGATIVE)
        second = dispute.run(**changes)

    assert said(second)["status"] == "judged"
    assert server.billed == 2
    tools = said(second)["judge"]["steps"][0]["tools"]
    assert tools[0]["result"] == "third said negative"
