"""What an LLM's completion says about a text, and what it cost: the same for single calls and batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from router.answer_prompt import hosted_answer
from router.job_generation import GENERATE
from router.language import UNDETERMINED, identify_language
from router.llm_prompt import output_bound, read_answer
from router.prices import TokenPrice, cost
from router.records import Answer, Usage
from router.token_confidence import label_confidence
from transforms import llm_wire

if TYPE_CHECKING:
    from router.job import Task

MAX_RAW_CHARACTERS = 4000
_ESTIMATED = "the endpoint did not report its usage: tokens are estimated from characters"


@dataclass(frozen=True, slots=True)
class Reading:
    """A completion, read: labels, or why there are none; what it cost either way."""

    labels: tuple[str, ...] | None
    """Of a generate task, the answer alone."""
    usage: Usage
    """Its seconds are 0: they are the caller's to know."""
    detail: str = ""
    """Why it cannot be used; empty beside labels."""
    raw: str | None = None
    """The text that cannot be used, at most `MAX_RAW_CHARACTERS`; None beside labels."""
    note: str = ""
    """What else is to be known of it."""
    confidence: float | None = None
    """How sure the model was of its labels; None where it does not tell."""


@dataclass(frozen=True, slots=True)
class Reader:
    """How the completions of a model are read."""

    price: TokenPrice
    max_output_tokens: int
    clean: Callable[[str], str]
    """Takes out of foreign text what must not be kept."""

    def read(self, task: Task, text: str, chat: Sequence[Mapping[str, str]], body: bytes) -> Reading:
        """Read the body of a response of status 200 to a chat about a text, whatever its shape may be."""
        completion = llm_wire.read_completion(body)
        usage, note = self._bill(task, completion, chat)
        content = completion.content
        labels, why = None, completion.problem
        if task.kind == GENERATE:
            why = why.replace("max_output_tokens", f"max_tokens ({task.token_bound})")
            # What is written is kept, and so must hold neither the key nor half a character.
            content = None if content is None else self.clean(content)
        if not why and content is not None:
            labels, why = read_answer(task, content, text)
        if labels is not None:
            sure = label_confidence(completion.logprobs, content or "")
            return Reading(labels, usage, note=note, confidence=sure)
        raw = None if content is None else self.clean(content)[:MAX_RAW_CHARACTERS]
        return Reading(None, usage, why, raw, note)

    def _bill(
        self, task: Task, completion: llm_wire.Completion, chat: Sequence[Mapping[str, str]]
    ) -> tuple[Usage, str]:
        tokens, note = completion.tokens, ""
        if tokens is None:
            made = llm_wire.estimated_tokens(len(completion.content or ""))
            tokens = llm_wire.Tokens(
                input=llm_wire.estimated_tokens(sum(len(message["content"]) for message in chat)),
                output=min(made, output_bound(task, self.max_output_tokens)),
            )
            note = _ESTIMATED
        usd = cost(self.price, tokens.input, tokens.cached, tokens.output)
        return Usage(tokens.input, tokens.cached, tokens.output, usd=usd), note


def told_answer(task: Task, text: str, answer: Answer) -> Answer:
    """The answer as it is kept: of a generate task, what the model wrote in the place of labels."""
    if task.kind != GENERATE or answer.labels is None:
        return answer
    [said] = answer.labels
    return replace(answer, labels=None, generated=hosted_answer(said, text))


def with_language(answer: Answer, text: str) -> Answer:
    """The answer with the language of the text that it answers, where it was read without that text.

    That is so of a batch's answer to a record that no run asked about when it came.
    """
    written = answer.generated
    if written is None or written.asked_in != UNDETERMINED:
        return answer
    return replace(answer, generated=replace(written, asked_in=identify_language(text)))


def without_key(text: str, key: str | None) -> str:
    """Take the key out of foreign text, also as JSON spells it, and what UTF-8 cannot carry."""
    if key is not None:
        quoted = json.dumps(key)[1:-1]
        for spelling in (quoted.replace("/", "\\/"), quoted, key):
            text = text.replace(spelling, "***")
    return text.encode("utf-8", "replace").decode("utf-8")
