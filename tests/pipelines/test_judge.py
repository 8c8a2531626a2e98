"""Jobs whose disputes go to a judge, from end to end against a scripted server."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.fake_llm_server import FakeLlmServer
from tests.pipelines.judged_jobs import (
    A_CALL,
    A_LOCAL_CALL,
    AGREED,
    DISPUTED,
    KEPT,
    calling,
    judged_job,
    verdict,
)

if TYPE_CHECKING:
    from tests.pipelines.jobs import World, Written


@pytest.fixture
def rows(world: World) -> World:
    """One record of each kind, and a copy of the disputed one."""
    texts = {"kept": KEPT, "agreed": AGREED, "disputed": DISPUTED, "copy": DISPUTED}
    world.write_lines([{"id": name, "text": text} for name, text in texts.items()])
    return world


def usd_of(written: Written, name: str) -> dict[str, Decimal]:
    """What each model cost on a record."""
    calls = written.by_id()[name]["usage"]["calls"]
    return {call["model"]: Decimal(str(call["usd"])) for call in calls}


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_the_judge_settles_a_dispute(rows: World, form: str) -> None:
    """It looks at the opinions, then sides with the small model: two calls, on that record's account only."""
    with FakeLlmServer() as server:
        server.script += [calling("opinions", {}), verdict("positive", "the text is glad")]
        written = rows.run(output={"path": str(rows.output), "format": form}, **judged_job(rows, server))

    assert written.labels() == dict.fromkeys(("kept", "agreed", "disputed", "copy"), "positive")
    assert written.statuses() == {
        "kept": "kept",
        "agreed": "escalated",
        "disputed": "judged",
        "copy": "duplicate",
    }
    said = written.by_id()["disputed"]["annotation"]
    assert (said["model"], said["confidence"]) == ("judge", None)
    assert said["reason"] == (
        "small said positive with confidence 0.850, large negative; "
        "the judge decided positive: the text is glad"
    )
    assert usd_of(written, "disputed") == {
        "small": A_LOCAL_CALL,
        "large": A_LOCAL_CALL,
        "judge": 2 * A_CALL,
    }
    assert server.billed == 2
