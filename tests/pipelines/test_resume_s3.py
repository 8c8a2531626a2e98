"""The journal on an object store, which cannot append: a run that failed there goes on there."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import polars as pl

from tests.fake_llm_server import Behaviour, FakeLlmServer, failing
from tests.pipelines.test_commands import lines, tekizai
from tests.pipelines.test_resume import ROWS, hosted, write_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.pipelines.jobs import World


def test_a_failed_run_on_s3_goes_on(world: World, bucket: Any, asked: list[str]) -> None:
    """Small objects hold the answers; nothing that was answered is asked for or paid again."""
    write_rows(world)
    dead = True

    def behave(_: Mapping[str, Any]) -> Behaviour:
        return failing(401, "expired") if dead and server.billed >= 7 else Behaviour()

    with FakeLlmServer(behave=behave) as server:
        job = world.job_file(
            models=hosted(world, server, concurrency=1),
            output={"path": "s3://data/out"},
            journal={"flush_records": 2, "flush_seconds": 0.2},
            budget={"max_usd": 5},
        )
        first = tekizai("run", job)
        left = [name.removeprefix("data/out/") for name in bucket.find("data/out")]
        dead = False
        second = tekizai("run", job)
        third = tekizai("run", job)

    assert (first.exit_code, second.exit_code, third.exit_code) == (1, 0, 0), second.stderr
    # What the router found is held back for a minute; what is lost of it costs no call.
    assert {name.split("-")[0] for name in left} - {"state/journal/route"} == {
        "state/journal/llm",
        "state/journal/slm",
        "state/manifest.json",
    }
    assert (server.billed, len(asked)) == (16, ROWS)
    told = re.fullmatch(
        r"continuing: (\d+) answers are in the journal and are not asked for again", lines(second)[0]
    )
    assert told is not None
    # Seven of the large model; how far the small one was by then is a matter of how records were batched.
    assert 7 < int(told[1]) <= 7 + ROWS
    assert "nothing to do" in lines(third)[0]
    bucket.invalidate_cache()
    names = bucket.find("data/out")
    with bucket.open(next(name for name in names if "annotations-" in name), "rb") as stream:
        assert pl.read_parquet(stream).height > 0
    summary = json.loads(bucket.cat_file("data/out/summary.json"))
    assert summary["records"]["annotated"] == ROWS
    assert not any("lock" in name or "parts" in name or "progress" in name for name in names)
