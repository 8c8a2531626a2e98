"""The router's speed, at the smallest size."""

from __future__ import annotations

from transforms.bench_router import bench_router


def test_batches_and_single_texts_are_measured() -> None:
    """Texts of 10 and 20 characters: 15 on average; percentiles in their order."""
    told: list[str] = []

    found = bench_router(["a" * 10, "b" * 20], 2, told.append)

    times = found["one_at_a_time_milliseconds"]
    assert (found["texts"], found["mean_characters"], found["batch"]) == (2, 15.0, 64)
    assert 0 < times["p50"] <= times["p95"] <= times["p99"]
    assert found["records_per_second"]["low"] > 0
    assert found["language_alone_records_per_second"] > 0
    assert told == ["turn 1 of 2: in batches of 64", "turn 2 of 2: in batches of 64", "one at a time"]
