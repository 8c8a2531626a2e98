"""What a line of a batch's results means for its question: an answer, another try, or the end of the job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from router.batch_notes import FirstAnswer
from router.llm_prompt import messages, output_bound, reminder
from router.records import Answer, Failure, Usage
from router.retrieval import NOTHING_FOUND
from transforms import llm_wire
from transforms.llm_network import ErrorStatus
from transforms.llm_reading import told_answer
from transforms.llm_trouble import trouble_of

if TYPE_CHECKING:
    from router.job import OpenAIModel, Task
    from router.records import Shown
    from router.retrieval import Found
    from transforms.batch_wire import ResultLine
    from transforms.llm_reading import Reader

_GOOD = 200


@dataclass(slots=True)
class Question:
    """A text that is to be labelled under a task, and how far that is."""

    id: str
    """Its custom id."""
    task: Task
    key: bytes
    """The text's key."""
    text: str
    record: str = ""
    """Id of a record that asks it, for messages."""
    tries: int = 0
    """Times that it came back without an answer."""
    first: FirstAnswer | None = None
    """An earlier answer that could not be used; then this is the second and last time that it is asked."""
    first_of: str = ""
    """The batch of that answer."""
    find: Callable[[], Found] | None = None
    """Gives what is shown with the text; None where nothing is retrieved, or is not known any more."""
    _found: Found | None = None

    @property
    def found(self) -> Found:
        """What is shown with the text; it is looked for when it is needed first."""
        if self._found is None:
            self._found = NOTHING_FOUND if self.find is None else self.find()
        return self._found

    @property
    def shown(self) -> Shown | None:
        """The ids of what is shown; None where nothing is retrieved."""
        return None if self.find is None else self.found.shown

    @property
    def chat(self) -> list[dict[str, str]]:
        """The messages to send."""
        chat, first = messages(self.task, self.text, self.found), self.first
        return chat if first is None else [*chat, *reminder(first.raw, self.task, first.detail)]

    @property
    def spent(self) -> Usage:
        """What was paid for it without an answer."""
        return Usage() if self.first is None else self.first.usage


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a question; exactly one field says something."""

    answer: Answer | None = None
    """The final answer, or a failure that another try would not mend."""
    first: FirstAnswer | None = None
    """An answer that cannot be used: ask once more, with the reminder."""
    refused: str = ""
    """The model does not take this parameter: ask without it."""
    again: str = ""
    """Why there is no answer, which may be another time."""
    stop: str = ""
    """Why the job must stop."""


@dataclass(frozen=True, slots=True)
class Judge:
    """How the results of a model are judged."""

    name: str
    """The model's name in the job file, which its answers carry."""
    model: OpenAIModel
    reader: Reader
    now: Callable[[], float]

    def body(self, question: Question, dialect: llm_wire.Dialect) -> dict[str, Any]:
        """The request that asks a question."""
        parameters = dialect.parameters(question.task, self._bound(question))
        return {"model": self.model.model, "messages": question.chat, **parameters}

    def outcome(self, question: Question, line: ResultLine, dialect: llm_wire.Dialect) -> Outcome:
        """Judge a result; `dialect` is what the question was asked in."""
        if line.status == _GOOD:
            return self._read(question, line.body)
        if line.status is None:
            return Outcome(again=f"{line.code or 'error'}: {self.reader.clean(line.said)}")
        if llm_wire.is_about_parameters(line.status, line.said):
            sent = dialect.parameters(question.task, self._bound(question))
            refused = llm_wire.refused_parameter(line.said, line.parameter, sent)
            if refused is not None and dialect.without(refused) is not None:
                return Outcome(refused=refused)
        error = ErrorStatus(line.status, line.said, line.code, line.parameter, {})
        trouble = trouble_of(error, self.model, self.now(), self.reader.clean)
        if trouble.failure is None:
            return Outcome(stop=trouble.detail)
        if trouble.retry:
            return Outcome(again=trouble.detail)
        return Outcome(answer=self.failed(question, trouble.failure, trouble.detail))

    def failed(self, question: Question, failure: Failure, detail: str) -> Answer:
        """The answer to a question that got none."""
        first = question.first
        told = "; ".join(part for part in (detail, _told(first)) if part)
        raw = None if first is None else first.raw
        return Answer(self.name, question.spent.there(self.now()), failure=failure, detail=told, raw=raw)

    def _bound(self, question: Question) -> int:
        return output_bound(question.task, self.model.max_output_tokens)

    def _read(self, question: Question, body: bytes) -> Outcome:
        reading = self.reader.read(question.task, question.text, question.chat, body)
        first = question.first
        usage = (question.spent + reading.usage).there(self.now())
        notes = [_told(first), reading.note]
        if reading.labels is not None:
            detail = "; ".join(note for note in notes if note)
            answer = Answer(self.name, usage, labels=reading.labels, detail=detail, shown=question.shown)
            return Outcome(answer=told_answer(question.task, question.text, answer))
        if first is None:
            detail = "; ".join(note for note in (reading.detail, reading.note) if note)
            return Outcome(first=FirstAnswer(reading.usage, detail, reading.raw))
        answer = self.failed(question, Failure.UNUSABLE, reading.detail)
        final = replace(answer, usage=usage, raw=reading.raw or first.raw, shown=question.shown)
        return Outcome(answer=final)


def _told(first: FirstAnswer | None) -> str:
    return "" if first is None else f"the first answer could not be used: {first.detail}"
