"""What was asked of a hosted model in batches, answered and paid: its journal, budget and notes together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from router import batch_notes
from router.batch_notes import custom_id
from router.identity import text_key
from router.journal import call_name, is_final
from router.spending import Spending, worst_cost
from transforms.batch_journal import BatchJournal
from transforms.batch_results import Question
from transforms.budget_ledger import BudgetLedger
from transforms.journal import Journal, JournalOf
from transforms.llm_reading import with_language
from transforms.retriever import Retriever

if TYPE_CHECKING:
    from router.job import OpenAIModel, Task
    from router.prices import TokenPrice
    from router.records import Answer, Work
    from router.retrieval import Retrieval
    from transforms.llm_handler import BudgetShare

_IN_A_BATCH = b"batch"
"""Ends the names of such calls: a lost single call may have been billed, one in a batch is found again."""


@dataclass(frozen=True)
class LlmBatches:
    """A hosted model that is asked by the provider's batches: plain data, from which a worker opens it."""

    name: str
    """The model's name in the job file, which its answers carry."""
    model: OpenAIModel
    price: TokenPrice
    """Of batches."""
    tasks: Mapping[str, Task]
    journal: JournalOf
    budget: BudgetShare | None = None
    retrieval: Mapping[str, Retrieval] = field(default_factory=dict)
    """What is found for each record and shown with it, by task."""


class Books:
    """The books of one model in the one process that asks it. Close them."""

    def __init__(self, asked: LlmBatches) -> None:
        """Open them. Raises `OSError` where the journal cannot be read."""
        self._asked = asked
        self._prints = asked.journal.fingerprints
        self._tasks = {print_: asked.tasks[task] for task, print_ in self._prints.items()}
        self.journal = Journal(asked.journal)
        self.notes = BatchJournal(asked.journal.place.url, asked.model)
        self._retriever = Retriever(asked.retrieval)
        budget = asked.budget
        self._spending: Spending | BudgetLedger = Spending(None if budget is None else budget.limit)
        if budget is not None and budget.ledger is not None:
            self._spending = BudgetLedger(budget.ledger)

    def close(self) -> None:
        """Write what is held back and close all; closing twice is harmless."""
        self.journal.close()
        self.notes.close()
        self._spending.close()

    def question(self, work: Work) -> Question:
        """The question that a record asks."""
        record = work.record
        key = text_key(record.text, record.task)
        name = custom_id(self._prints[record.task], key)
        task, context = self._asked.tasks[record.task], self._asked.model.context
        question = Question(name, task, key, record.text, record.id)
        if self._retriever.retrieves(task.name):
            question.find = lambda: self._retriever.fitting(task, record, context)
        return question

    def orphan(self, name: str) -> Question | None:
        """A question that no record asks any more; None where its answer would not count either."""
        parts = batch_notes.question_of(name)
        task = None if parts is None else self._tasks.get(parts[0])
        return None if parts is None or task is None else Question(name, task, parts[1], "")

    def known(self, question: Question) -> Answer | None:
        """The final answer of the journal; what was held for it is given back."""
        answer = self.journal.find(question.task.name, question.key)
        if answer is not None:
            # A process that died between the two has counted it in the journal and held its worst case.
            self._spending.release(self._call(question), Decimal(0))
            return with_language(answer, question.text) if question.text else answer
        return None

    def worst(self, question: Question) -> Decimal:
        """The most that the question may cost."""
        return worst_cost(
            question.task,
            question.text,
            self._asked.price,
            self._asked.model.max_output_tokens,
            question.found,
        )

    def hold(self, question: Question, *, sent: bool = False) -> bool:
        """Set the worst case aside; False where the budget does not allow it. `sent`: it is under way."""
        return self._spending.hold(self._call(question), self.worst(question), sent=sent)

    def keep(self, question: Question, answer: Answer) -> Answer:
        """Journal an answer or a failure and settle its account; returns it with all that was ever paid.

        It is safe from the machine's end after `commit` only. Raises `JournalError`.
        """
        wasted = question.first is not None and not is_final(answer)
        kept = self.journal.keep(question.task.name, question.key, answer, at_once=wasted)
        self._spending.release(self._call(question), answer.usage.usd)
        if wasted:
            self.notes.write(batch_notes.settled(question.first_of, [question.id]))
        return kept

    def commit(self) -> None:
        """Wait until the journal is safe. Raises `JournalError`."""
        self.journal.sync()

    def release(self, questions: Iterable[Question]) -> None:
        """Give back what is held for questions that were not asked and will not be."""
        for question in questions:
            self._spending.release(self._call(question), Decimal(0))

    def _call(self, question: Question) -> bytes:
        return call_name(self._prints[question.task.name], question.key) + _IN_A_BATCH
