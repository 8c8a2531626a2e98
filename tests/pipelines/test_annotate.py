"""Whole jobs on Beam's local runner, with fake models where a model would only take time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.pipelines.jobs import World


def row(number: int, text: str) -> dict[str, str]:
    """An input row."""
    return {"id": f"r{number}", "text": text}


def test_trusted_answers_are_kept_and_others_escalated(world: World) -> None:
    """The small model's answer stands from .8 on; below it the large model's does."""
    world.write_lines(
        [
            row(1, "good =positive:0.9"),
            row(2, "just =positive:0.8"),
            row(3, "hm small=positive:0.79 large=negative:0.7"),
        ]
    )

    written = world.run()

    assert written.labels() == {"r1": "positive", "r2": "positive", "r3": "negative"}
    assert written.statuses() == {"r1": "kept", "r2": "kept", "r3": "escalated"}
    assert [written.by_id()[name]["annotation"]["model"] for name in ("r1", "r3")] == ["small", "large"]
