"""What goes over the wire to an OpenAI-compatible endpoint: parameters, answers, errors and waits.

Pure functions and frozen values; the calls themselves are made by `transforms.llm_client`.
"""

from __future__ import annotations

import email.utils
import json
import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from router.llm_prompt import answer_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.job import Task

BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 30.0
_REFUSALS = (400, 422)
_SERVER_ERROR = 500
_NEGOTIABLE = (
    "response_format",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "reasoning_effort",
    "logprobs",
    "tool_choice",
)
_TOO_LONG = re.compile(
    r"context.?(length|window|size)|too (large|long|many)|limit was reached", re.IGNORECASE
)
_MODERATED = re.compile(r"content.?(filter|policy|management)|moderation|flagged", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Dialect:
    """Which parameters an endpoint takes: the first of each kind is sent, nothing where none is left."""

    answer_formats: tuple[str, ...] = ("json_schema", "json_object")
    """OpenAI, vLLM, Ollama and llama.cpp take the first, llama_cpp.server only the second, with a schema."""
    token_bounds: tuple[str, ...] = ("max_tokens", "max_completion_tokens")
    temperatures: tuple[float, ...] = (0.0,)
    efforts: tuple[str, ...] = ()
    logprobs: bool = True
    """Whether it can say how probable its tokens were."""
    tool_choices: tuple[str, ...] = ("required", "auto")
    """How it is told to call a tool; where it takes neither it is left to it."""

    def parameters(self, task: Task, max_output_tokens: int, *, confidence: bool = False) -> dict[str, Any]:
        """Return the request's parameters but messages and model; with `confidence`, ask for it too."""
        parameters = self.bounded(max_output_tokens, "annotation", answer_schema(task))
        if confidence and self.logprobs:
            parameters["logprobs"] = True
        return parameters

    def bounded(
        self, max_output_tokens: int, name: str = "", schema: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the parameters of any request: how long the answer may be, and what JSON it is to be."""
        parameters: dict[str, Any] = {self.token_bounds[0]: max_output_tokens}
        if self.temperatures:
            parameters["temperature"] = self.temperatures[0]
        if self.efforts:
            parameters["reasoning_effort"] = self.efforts[0]
        if self.answer_formats and schema is not None:
            parameters["response_format"] = {
                "json_schema": {
                    "type": "json_schema",
                    "json_schema": {"name": name, "strict": True, "schema": schema},
                },
                "json_object": {"type": "json_object", "schema": schema},
            }[self.answer_formats[0]]
        return parameters

    def without(self, parameter: str) -> Dialect | None:
        """Return the dialect for an endpoint that refused a parameter; None where nothing is left to give up.

        The bound on the answer's length is renamed but never dropped, because it bounds what a call may cost.
        """
        if parameter == "response_format" and self.answer_formats:
            return replace(self, answer_formats=self.answer_formats[1:])
        if parameter == self.token_bounds[0] and len(self.token_bounds) > 1:
            return replace(self, token_bounds=self.token_bounds[1:])
        if parameter == "temperature" and self.temperatures:
            # Only reasoning models refuse a temperature; unasked, they spend the whole bound on thinking.
            return replace(self, temperatures=(), efforts=("minimal", "low"))
        if parameter == "reasoning_effort" and self.efforts:
            return replace(self, efforts=self.efforts[1:])
        return self._without_extra(parameter)

    def _without_extra(self, parameter: str) -> Dialect | None:
        if parameter == "logprobs" and self.logprobs:
            return replace(self, logprobs=False)
        if parameter == "tool_choice" and self.tool_choices:
            return replace(self, tool_choices=self.tool_choices[1:])
        return None


@dataclass(frozen=True, slots=True)
class Tokens:
    """The usage that a response reports."""

    input: int
    output: int
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """What a response of status 200 holds."""

    content: str | None
    """The model's text, or as much of the response as may explain why there is none."""
    problem: str
    """Why the content is not a finished answer; empty where it is."""
    tokens: Tokens | None
    """None where the response does not report its usage."""
    logprobs: tuple[tuple[str, float], ...] = ()
    """The tokens of the content with the logarithms of their probabilities; empty where it tells none."""


def read_completion(body: bytes) -> Completion:
    """Read a chat completion, trusting nothing about its shape."""
    text = body.decode("utf-8", "replace")
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError):
        return Completion(text, "the response is not JSON", None)
    if not isinstance(payload, dict):
        return Completion(text, "the response is not a JSON object", None)
    tokens = _read_tokens(payload.get("usage"))
    choices = payload.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        return Completion(text, "the response has no choice with a message", tokens)
    content, problem = _read_message(message, choice.get("finish_reason"), tokens)
    return Completion(text if content is None else content, problem, tokens, _read_logprobs(choice))


def _read_logprobs(choice: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    told = choice.get("logprobs")
    tokens = told.get("content") if isinstance(told, dict) else None
    pairs = []
    for one in tokens if isinstance(tokens, list) else ():
        token, logprob = (one.get("token"), one.get("logprob")) if isinstance(one, dict) else (None, None)
        if not isinstance(token, str) or isinstance(logprob, bool) or not isinstance(logprob, (int, float)):
            return ()
        pairs.append((token, float(logprob)))
    return tuple(pairs)


def _read_message(
    message: Mapping[str, Any], reason: object, tokens: Tokens | None
) -> tuple[str | None, str]:
    content, refusal = message.get("content"), message.get("refusal")
    content = content if isinstance(content, str) else None
    if isinstance(refusal, str) and refusal:
        return refusal, "the model refused to answer"
    if reason == "length":
        spent = f" ({tokens.reasoning} tokens went into reasoning)" if tokens and tokens.reasoning else ""
        return content, f"the answer was cut off at max_output_tokens{spent}: raise it"
    if reason == "content_filter":
        return content, "the provider's content filter stopped the answer"
    return content, "" if content is not None else "the message has no text"


def error_text(body: object) -> str:
    """Return what an error response says, in one line."""
    if isinstance(body, dict):
        inner = body.get("error", body)
        said = inner.get("message") or inner.get("detail") or inner if isinstance(inner, dict) else inner
    else:
        said = body
    if isinstance(said, list):
        said = "; ".join(_validation_error(item) for item in said)
    return " ".join(str(said or "").split())


def is_about_parameters(status: int, said: str) -> bool:
    """Tell whether an error may refuse a parameter: 400 and 422, and what llama_cpp.server says with 500."""
    if status in _REFUSALS:
        return True
    return status == _SERVER_ERROR and ("validation error" in said or "logprobs is not supported" in said)


def refused_parameter(said: str, named: str | None, sent: Mapping[str, Any]) -> str | None:
    """Tell which parameter an error refuses; None where it is about something else.

    Args:
        said: The error's text.
        named: The error's `param`, where the endpoint fills it.
        sent: The request's parameters: what was not sent cannot have been refused.

    """
    if _TOO_LONG.search(said):
        return None
    if named:
        name = re.split(r"[.\[]", named)[0]
        return name if name in _NEGOTIABLE and name in sent else None
    at = {name: said.find(name) for name in _NEGOTIABLE if name in sent and name in said}
    # "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'": the first one named is the culprit.
    return min(at, key=lambda name: at[name]) if at else None


def is_moderation(said: str) -> bool:
    """Tell whether an error is about the text's content, so that it concerns one record and not the job."""
    return bool(_MODERATED.search(said))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return how many seconds the endpoint asks to wait; None where it does not say.

    Args:
        headers: The response's headers, with case-insensitive or lower-case names.
        now: Seconds since the epoch, which an HTTP date is compared with.

    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    date = email.utils.parsedate_tz(headers.get("retry-after", ""))
    if date is None:
        return None
    try:
        return max(0.0, email.utils.mktime_tz(date) - now)
    except (OverflowError, ValueError):
        return None


def backoff(retries: int, jitter: float) -> float:
    """Return the seconds before the next try: exponential with full jitter.

    Args:
        retries: Retries made so far.
        jitter: A uniform draw from [0, 1).

    """
    # The exponent is bounded, because a float overflows long before a patient user's max_retries does.
    return float(jitter * min(MAX_BACKOFF_SECONDS, BACKOFF_SECONDS * 2 ** min(retries, 10)))


def estimated_tokens(characters: int) -> int:
    """Estimate tokens from characters where a response does not report its usage: a quarter, rounded up."""
    return -(-characters // 4)


def _read_tokens(usage: object) -> Tokens | None:
    if not isinstance(usage, dict):
        return None
    given, made = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if given is None or made is None:
        return None
    cached = _detail(usage, "prompt_tokens_details", "cached_tokens")
    reasoning = _detail(usage, "completion_tokens_details", "reasoning_tokens")
    return Tokens(given, made, min(cached, given), reasoning)


def _detail(usage: Mapping[str, Any], group: str, name: str) -> int:
    details = usage.get(group)
    return (_count(details.get(name)) or 0) if isinstance(details, dict) else 0


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _validation_error(item: object) -> str:
    if not isinstance(item, dict):
        return str(item)
    # FastAPI echoes the input beside the message; only the place and the message are about the parameters.
    place = ".".join(str(part) for part in item.get("loc", ()))
    return f"{place}: {item.get('msg', '')}"
