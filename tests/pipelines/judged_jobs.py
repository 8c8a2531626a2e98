"""Jobs with a judge: two fake local models that dispute, and a scripted server for the agent."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.fake_llm_server import Behaviour

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.fake_llm_server import FakeLlmServer
    from tests.pipelines.jobs import World

PRICE = {"input_usd_per_million_tokens": "1", "output_usd_per_million_tokens": "2"}
A_CALL = Decimal("0.00011")
"""100 prompt and 5 completion tokens at these prices."""
A_LOCAL_CALL = Decimal("0.0005")

DISPUTED = "small=positive:0.85 large=negative:0.9"
"""The small model is sure of one label, but below the gate; the large one says the other."""
AGREED = "small=positive:0.85 large=positive:0.9"
KEPT = "small=positive:0.95"


def calling(tool: str, arguments: Mapping[str, Any] | str, name: str = "call1") -> Behaviour:
    """The server has the model call a tool."""
    given = arguments if isinstance(arguments, str) else json.dumps(arguments)
    call = {"id": name, "type": "function", "function": {"name": tool, "arguments": given}}
    return Behaviour(message={"content": None, "tool_calls": [call]}, finish_reason="tool_calls")


def verdict(label: str, why: str = "it says so") -> Behaviour:
    """The server has the model settle the dispute."""
    return calling("verdict", {"why": why, "label": label}, name="call9")


def needs_human(why: str = "it can mean both") -> Behaviour:
    """The server has the model leave it to a person."""
    return calling("needs_human", {"why": why}, name="call9")


def told(content: str, probability: float) -> Behaviour:
    """A completion that tells how probable it was as a whole."""
    key, label = content.split(":")
    tokens = [{"token": f"{key}:", "logprob": 0.0}, {"token": label, "logprob": math.log(probability)}]
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "finish_reason": "stop", "message": message, "logprobs": {"content": tokens}}
    usage = {"prompt_tokens": 100, "completion_tokens": 5}
    return Behaviour(body=json.dumps({"choices": [choice], "usage": usage}).encode())


def judged_job(world: World, server: FakeLlmServer, **judge: Any) -> dict[str, Any]:
    """Changes to the job: the gate asks the large model below .9, and disputes go to the judge."""
    models = world.job().model_dump(mode="json", exclude_none=True)["models"]
    model = {"engine": "openai", "model": "m", "base_url": server.base_url, "price": PRICE}
    models["agent"] = {**model, "concurrency": 1, "max_retries": 0, **judge.pop("fields", {})}
    settings = {"model": "agent", "when": {"disagree_above": 0.8}, "max_usd": "0.1", **judge}
    routing = {
        "default": "small",
        "escalate_to": "large",
        "gate": {"min_confidence": 0.9},
        "judge": settings,
    }
    return {"models": models, "routing": routing}
