"""The requests of one record's judge: from the journal where they were paid before, else within bounds."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from router.journal import call_name
from router.names import JUDGE
from router.prices import cost
from router.records import Answer, Failure, Usage
from transforms import judge_wire, llm_wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from router.job import Judge
    from router.prices import TokenPrice
    from router.spending import Spending
    from transforms.budget_ledger import BudgetLedger
    from transforms.journal import Journal
    from transforms.llm_client import LlmClient

_FRAME_TOKENS = 512
"""For what a provider adds around the messages."""


class CallRefusedError(RuntimeError):
    """A request was not made, or not answered: the judge ends without a verdict."""

    def __init__(self, failure: Failure, detail: str) -> None:
        """Say why."""
        super().__init__(detail)
        self.failure = failure


@dataclass(frozen=True)
class Desk:
    """What all judges of a worker process share."""

    judge: Judge
    price: TokenPrice
    client: LlmClient
    spending: Spending | BudgetLedger
    journal: Journal
    """Their requests and what came of them."""
    fingerprints: Mapping[str, str]
    """Of that journal, by task."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that was answered."""

    asked: str
    usage: Usage


@dataclass
class JudgeCalls:
    """The requests about one record; not for several threads."""

    desk: Desk
    task: str
    text_key: bytes
    spent: Decimal = Decimal(0)
    """Dollars that the record's judging has cost, other models included."""
    sent: list[Sent] = field(default_factory=list)
    tools: Sequence[Mapping[str, Any]] = ()
    """What the first request offered."""
    error: Exception | None = None
    """What ended it; the agent library shows its callers errors of its own."""

    def send(self, request: Mapping[str, Any]) -> bytes:
        """The body of the answer to an agent's request.

        Raises `CallRefusedError`, and what stops the job: `LlmStop`, `JournalError`, `LedgerError`.
        """
        try:
            return self._send(request)
        except Exception as error:
            self.error = error
            raise

    def afford(self, worst: Decimal) -> bool:
        """Whether so much more may be spent on this record."""
        return self.spent + worst <= self.desk.judge.max_usd

    def add(self, usd: Decimal) -> None:
        """Count what another model was paid."""
        self.spent += usd

    def _send(self, request: Mapping[str, Any]) -> bytes:
        self.tools = self.tools or request["tools"]
        key = judge_wire.step_key(self.text_key, request)
        answer = self.desk.journal.find(self.task, key)
        if answer is None:
            answer = self._pay(request, key)
        self.spent += answer.usage.usd
        sent = len(json.dumps(request["messages"], ensure_ascii=False))
        self.sent.append(Sent(f"{len(request['messages'])} messages, {sent} characters", answer.usage))
        in_json = self.desk.judge.tool_calls == "json"
        body = judge_wire.read_body((answer.raw or "").encode(), len(self.sent), in_json=in_json)
        if body is None:
            raise CallRefusedError(Failure.UNUSABLE, "the response is no completion of a chat")
        return body

    def _pay(self, request: Mapping[str, Any], key: bytes) -> Answer:
        desk, call = self.desk, call_name(self.desk.fingerprints[self.task], key)
        worst = self._worst(request)
        if not self.afford(worst):
            raise CallRefusedError(
                Failure.OVER_BUDGET,
                f"step {len(self.sent) + 1} may cost up to ${worst:f}, and ${self.spent:f} of "
                f"routing.judge.max_usd (${desk.judge.max_usd:f}) is spent",
            )
        if not desk.spending.reserve(call, worst):
            said = f"a step may cost up to ${worst:f}, which is more than is left of budget.max_usd"
            raise CallRefusedError(Failure.OVER_BUDGET, said)
        spent = Decimal(0)
        try:
            answer = self._ask(request)
            spent = answer.usage.usd
            # Kept before it is settled: a crash between the two costs nothing.
            return desk.journal.keep(self.task, key, answer)
        finally:
            desk.spending.settle(call, spent)

    def _ask(self, request: Mapping[str, Any]) -> Answer:
        desk, bound = self.desk, self.desk.judge.max_output_tokens
        in_json = desk.judge.tool_calls == "json"
        messages = self._messages(request)
        parameters = judge_wire.json_parameters if in_json else judge_wire.native_parameters
        done = desk.client.complete(messages, lambda dialect: parameters(request, dialect, bound))
        if done.body is None:
            raise CallRefusedError(done.failure or Failure.UNAVAILABLE, done.detail)
        usage = self._bill(done.body, messages)
        usage = dataclasses.replace(usage, seconds=done.seconds).there(time.time())
        return Answer(JUDGE, usage, raw=desk.client.clean(done.body.decode("utf-8", "replace")))

    def _bill(self, body: bytes, messages: list[dict[str, Any]]) -> Usage:
        completion = llm_wire.read_completion(body)
        tokens = completion.tokens
        if tokens is None:
            made = min(llm_wire.estimated_tokens(len(body)), self.desk.judge.max_output_tokens)
            tokens = llm_wire.Tokens(llm_wire.estimated_tokens(len(json.dumps(messages))), made)
        usd = cost(self.desk.price, tokens.input, tokens.cached, tokens.output)
        return Usage(tokens.input, tokens.cached, tokens.output, usd=usd)

    def _messages(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        return _messages(self.desk.judge, request, self.tools)

    def _worst(self, request: Mapping[str, Any]) -> Decimal:
        return worst_step(self.desk.judge, self.desk.price, request, self.tools)


def worst_step(
    judge: Judge, price: TokenPrice, request: Mapping[str, Any], tools: Sequence[Mapping[str, Any]]
) -> Decimal:
    """The most that a request can cost: no tokenizer makes more tokens than there are bytes.

    `tools` are what the first request about the record offered.
    """
    messages = _messages(judge, request, tools)
    sent = len(json.dumps([messages, request["tools"]], ensure_ascii=False).encode("utf-8", "replace"))
    return cost(price, sent + _FRAME_TOKENS, 0, judge.max_output_tokens)


def _messages(
    judge: Judge, request: Mapping[str, Any], tools: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    if judge.tool_calls == "json":
        return judge_wire.json_messages(request, tools)
    return judge_wire.plain_messages(request["messages"])
