"""Rows as Label Studio and Argilla export them."""

from __future__ import annotations

from typing import Any


def choice(*labels: str, question: str = "mood") -> dict[str, Any]:
    """What a person chose, in Label Studio."""
    return {
        "id": "k2Jq",
        "type": "choices",
        "from_name": question,
        "to_name": "text",
        "origin": "prediction",
        "value": {"choices": list(labels)},
    }


def annotation(
    *result: dict[str, Any], at: str = "2026-03-04T05:06:07.000000Z", **more: Any
) -> dict[str, Any]:
    """A person's work on a task of Label Studio."""
    return {
        "id": 5,
        "completed_by": 1,
        "result": list(result),
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2026-03-01T00:00:00.000000Z",
        "updated_at": at,
        **more,
    }


def task(*annotations: dict[str, Any], name: str = "r1", **data: Any) -> dict[str, Any]:
    """A task as Label Studio exports it."""
    return {
        "id": 12,
        "annotations": list(annotations),
        "file_upload": "1b2c3d4e-review.json",
        "drafts": [],
        "predictions": [9],
        "data": {"id": name, "text": "It hums.", "task": "mood", "labels": ["good"], **data},
        "meta": {},
        "created_at": "2026-03-01T00:00:00.000000Z",
        "project": 1,
    }


def response(value: Any, user: str = "a", **more: Any) -> dict[str, Any]:
    """A person's answer in Argilla."""
    return {"value": value, "user_id": user, **more}


def argilla(name: str = "r1", **changes: Any) -> dict[str, Any]:
    """A record as Argilla exports it."""
    return {
        "id": name,
        "fields": {"text": "It hums."},
        "metadata": {"task": "mood", "labels": ["good"]},
        "suggestions": {"mood": {"value": "good", "score": 0.4, "agent": "small"}},
        "responses": {"mood": [response("bad")]},
        "vectors": {},
        "status": "completed",
        "_server_id": "2f0c",
        **changes,
    }
