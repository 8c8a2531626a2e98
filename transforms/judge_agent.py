"""The agent that judges one record; the only module that knows the agent library (`pydantic-ai-slim`).

The library writes requests with tools, checks arguments, calls the tools and tells the model what was wrong.
It sends nothing itself: its requests go through `JudgeCalls`, which replays what was paid before and keeps
the bounds. So it needs neither keys nor a network, and there is nothing that it could report to anyone.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, create_model

from router.judge_prompt import instructions, question
from router.judgement import Judgement, Step, ToolUse
from router.records import Failure
from transforms.judge_calls import CallRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx2
    from pydantic_ai import Agent, ModelMessage, RunContext, ToolDefinition
    from pydantic_ai.models.openai import OpenAIChatModel

    from router.job import Judge, Task
    from transforms.judge_calls import JudgeCalls
    from transforms.judge_tools import Bench

VERDICT, NEEDS_HUMAN = "verdict", "needs_human"
_PACKAGE = "pydantic_ai"
_KEPT_CHARACTERS = 4000
_WHY = Annotated[str, Field(max_length=600, description="the reason, in one or two sentences")]


class JudgeLibraryError(ValueError):
    """The agent library is not installed."""


def check_library() -> None:
    """Raise `JudgeLibraryError` unless the agent library is installed."""
    if importlib.util.find_spec(_PACKAGE) is None:
        raise JudgeLibraryError(
            "routing.judge: needs the agent library; `pip install pydantic-ai-slim` (Python 3.11 or newer), "
            "or leave the judge out"
        )


class NeedsHuman(BaseModel):
    """Leave the record to a person."""

    why: _WHY


class _Verdict(BaseModel):
    """Settle the dispute."""

    why: _WHY


def judge_record(bench: Bench, judge: Judge, calls: JudgeCalls) -> Judgement:
    """Have one record judged; what it cost other models is not in the judgement's `calls` yet.

    Raises what stops the job: `LlmStop`, `JournalError`, `LedgerError`.
    """
    from pydantic_ai import capture_run_messages  # noqa: PLC0415 - half a second, and few jobs have a judge

    reason, labels, failure = "", None, None
    with capture_run_messages() as messages:
        try:
            # A loop of its own: the threads of a worker have none, and calls block until they are answered.
            reason, labels = asyncio.run(_run(bench, judge, calls.send))
        # Whether a request that failed comes out as it was or as the library's own error is up to both.
        except Exception as error:
            why_none = _why_none(calls.error or error, judge)
            if why_none is None:
                if calls.error is not None:
                    raise calls.error from error
                raise
            reason, failure = why_none
    return Judgement(reason, labels, failure, _steps(messages, calls))


def _why_none(error: Exception, judge: Judge) -> tuple[str, Failure] | None:
    """Why there is no verdict; None where the error is about more than this record."""
    from pydantic_ai.exceptions import AgentRunError, UsageLimitExceeded  # noqa: PLC0415 - see `judge_record`

    if isinstance(error, CallRefusedError):
        return str(error), error.failure
    if isinstance(error, UsageLimitExceeded):
        return f"no verdict within routing.judge.max_steps ({judge.max_steps})", Failure.UNUSABLE
    if isinstance(error, AgentRunError):
        return " ".join(str(error).split()), Failure.UNUSABLE
    return None


def first_request(bench: Bench, judge: Judge) -> Mapping[str, Any]:
    """What the agent would send first about a record; nothing is asked."""
    drafts: list[Mapping[str, Any]] = []

    def look(request: Mapping[str, Any]) -> bytes:
        drafts.append(request)
        raise CallRefusedError(Failure.ERROR, "this is a draft")

    # A thread of its own: the caller's may have a loop already, as a notebook's has.
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(asyncio.run, _run(bench, judge, look)).exception()
    if not drafts:
        raise RuntimeError("the agent library sent no request") from ended
    return drafts[0]


async def _run(
    bench: Bench, judge: Judge, send: Callable[[Mapping[str, Any]], bytes]
) -> tuple[str, tuple[str, ...] | None]:
    from pydantic_ai import UsageLimits  # noqa: PLC0415 - see `judge_record`

    agent = _agent(bench, judge)
    async with _client(send) as client:
        result = await agent.run(
            question(bench.record.text, bench.dispute),
            model=_model(client, native=judge.tool_calls == "native"),
            usage_limits=UsageLimits(request_limit=judge.max_steps),
        )
    found = result.output
    if isinstance(found, NeedsHuman):
        return found.why, None
    given = getattr(found, "labels", None)
    labels = (found.label,) if given is None else given
    return found.why, tuple(name for name in bench.task.label_names if name in labels)


def _agent(bench: Bench, judge: Judge) -> Agent[object, Any]:
    from pydantic_ai import Agent, Tool, ToolOutput  # noqa: PLC0415 - see `judge_record`

    async def where_it_helps(ctx: RunContext[object], tool: ToolDefinition) -> ToolDefinition | None:
        # What it would look up in the last step, it could not use any more.
        return None if ctx.run_step >= judge.max_steps or tool.name in bench.used_up else tool

    tools = [Tool(one, prepare=where_it_helps) for one in bench.tools(judge.tools)]
    verdict = ToolOutput(_verdict_of(bench.task), name=VERDICT)
    human = ToolOutput(NeedsHuman, name=NEEDS_HUMAN)
    return Agent(
        output_type=[verdict, human],
        instructions=instructions(bench.task),
        tools=tools,
        # A bad argument costs a step, and the steps are bounded.
        retries=judge.max_steps,
    )


def _verdict_of(task: Task) -> type[BaseModel]:
    """What a verdict holds: the reason first, because what a model writes first guides the rest."""
    names = task.label_names

    def known(value: str) -> str:
        if value not in names:
            raise ValueError(f"{value!r} is not on the list; give one of {', '.join(names)}")
        return value

    label = Annotated[str, Field(json_schema_extra={"enum": list(names)}), AfterValidator(known)]
    if task.kind == "multi_label":
        return create_model("Verdict", __base__=_Verdict, labels=(list[label], ...))
    return create_model("Verdict", __base__=_Verdict, label=(label, ...))


def _model(client: Any, *, native: bool) -> OpenAIChatModel:  # noqa: ANN401 - an AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415 - see `judge_record`
    from pydantic_ai.profiles.openai import OpenAIModelProfile  # noqa: PLC0415
    from pydantic_ai.providers.openai import OpenAIProvider  # noqa: PLC0415

    profile = OpenAIModelProfile(openai_supports_strict_tool_definition=native)
    # The name decides nothing here: the request gets that of the job file when it is sent.
    return OpenAIChatModel("judge", provider=OpenAIProvider(openai_client=client), profile=profile)


def _client(send: Callable[[Mapping[str, Any]], bytes]) -> Any:  # noqa: ANN401 - an AsyncOpenAI
    """A client of the `openai` package whose requests never leave the process."""
    import httpx2  # noqa: PLC0415 - see `judge_record`
    import openai  # noqa: PLC0415

    class Transport(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            body = send(json.loads(await request.aread()))
            return httpx2.Response(200, content=body, headers={"content-type": "application/json"})

    http = httpx2.AsyncClient(transport=Transport())
    return openai.AsyncOpenAI(
        api_key="not-needed", base_url="http://judge.invalid/v1", max_retries=0, http_client=http
    )


def _steps(messages: Sequence[ModelMessage], calls: JudgeCalls) -> tuple[Step, ...]:
    """The conversation, one step for each request that was answered."""
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart  # noqa: PLC0415

    told = [
        (message, _results(messages[place + 1 : place + 2]))
        for place, message in enumerate(messages)
        if isinstance(message, ModelResponse)
    ]
    steps = []
    for number, sent in enumerate(calls.sent):
        # An answer that the library could not read is in no message.
        parts, results = (told[number][0].parts, told[number][1]) if number < len(told) else ((), {})
        said = "".join(part.content for part in parts if isinstance(part, TextPart))
        uses = tuple(
            ToolUse(
                part.tool_name,
                part.args if isinstance(part.args, str) else json.dumps(part.args or {}, ensure_ascii=False),
                *results.get(part.tool_call_id, ("", True)),
            )
            for part in parts
            if isinstance(part, ToolCallPart)
        )
        steps.append(Step(sent.asked, said[:_KEPT_CHARACTERS], uses, sent.usage))
    return tuple(steps)


def _results(messages: Sequence[ModelMessage]) -> dict[str, tuple[str, bool]]:
    """What each call was told, and whether its arguments were valid, by the call's id."""
    from pydantic_ai.messages import ToolReturnPart  # noqa: PLC0415

    return {
        part.tool_call_id: (part.model_response_str()[:_KEPT_CHARACTERS], part.outcome == "success")
        for message in messages
        for part in message.parts
        if isinstance(part, ToolReturnPart)
    }
