"""RunInference on an agent: works that wait for the judge get its judgement."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from apache_beam.metrics.metric import Metrics
from apache_beam.ml.inference.base import RemoteModelHandler

from router import judge_prompt
from router.identity import text_key
from router.journal import facts_digest
from router.judgement import Judgement, as_answer, of_answer
from router.names import JUDGE
from router.records import Failure, Usage, Work
from router.spending import Spending
from transforms.budget_ledger import BudgetLedger
from transforms.journal import Journal, JournalOf, JournalPlace
from transforms.judge_agent import judge_record
from transforms.judge_calls import Desk, JudgeCalls
from transforms.judge_other import OtherModel, OtherSession, SecondOpinion
from transforms.judge_sources import Sources
from transforms.judge_tools import Bench
from transforms.llm_client import LlmClient
from transforms.llm_handler import BudgetShare
from transforms.nearest_rows import VERSION as INDEX_VERSION
from transforms.one_at_a_time import OneAtATime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from router.job import Judge, OpenAIModel, Task
    from router.prices import TokenPrice
    from router.retrieval import Retrieval

_MICRO = Decimal(1_000_000)
_KEY_BYTES = 16


@dataclasses.dataclass(frozen=True)
class JudgeJob:
    """What a judge is: plain data, from which a worker opens it."""

    judge: Judge
    model: OpenAIModel
    price: TokenPrice
    tasks: Mapping[str, Task]
    place: JournalPlace
    retrievals: Mapping[str, Retrieval]
    """What it may search, by task."""
    budget: BudgetShare | None = None
    other: OtherModel | None = None
    """The model that gives second opinions."""

    @property
    def steps(self) -> JournalOf:
        """The journal of its requests: what decides their answers, apart from all that is sent."""
        facts = {
            "judge": "steps",
            "base_url": self.model.base_url,
            "model": self.model.model,
            "max_output_tokens": str(self.judge.max_output_tokens),
            "tool_calls": self.judge.tool_calls,
        }
        return self._journal({name: facts | {"task": name} for name in self.tasks})

    @property
    def verdicts(self) -> JournalOf:
        """The journal of its verdicts: what decides them, apart from the text and what the models said."""
        settings = self.judge.model_dump(mode="json", exclude={"when"})
        facts = {
            "judge": "verdicts",
            "settings": settings,
            "base_url": self.model.base_url,
            "model": self.model.model,
            "references": {name: one.facts(INDEX_VERSION) for name, one in sorted(self.retrievals.items())},
            "other": None if self.other is None else self.other.fingerprints,
            "prompt": judge_prompt.VERSION,
        }
        return self._journal(
            {name: facts | {"task": task.model_dump(mode="json")} for name, task in self.tasks.items()}
        )

    def _journal(self, facts: Mapping[str, Mapping[str, Any]]) -> JournalOf:
        return JournalOf(self.place, "llm", JUDGE, {name: facts_digest(one) for name, one in facts.items()})


@dataclasses.dataclass(frozen=True)
class JudgeSession:
    """What the judges of a worker process share."""

    desk: Desk
    verdicts: Journal
    sources: Sources
    other: OtherSession | None
    asking: OneAtATime = dataclasses.field(default_factory=OneAtATime)


class JudgeHandler(RemoteModelHandler[Work, Work, JudgeSession]):
    """Puts a judgement on each `Work` that waits for one."""

    def __init__(self, job: JudgeJob) -> None:
        """Take plain data only; clients, journals and indexes are opened in the worker."""
        super().__init__(namespace=f"tekizai.{JUDGE}", num_retries=0, retry_filter=_never)
        self._job = job

    @property
    def job(self) -> JudgeJob:
        """What the judge is."""
        return self._job

    def create_client(self) -> JudgeSession:
        """Open all that is shared. Raises `LlmStop` where the worker's environment lacks a key."""
        job = self._job
        spending: Spending | BudgetLedger = Spending(job.budget.limit if job.budget else None)
        if job.budget is not None and job.budget.ledger is not None:
            spending = BudgetLedger(job.budget.ledger)
        desk = Desk(
            job.judge,
            job.price,
            LlmClient(job.model, job.price),
            spending,
            Journal(job.steps),
            job.steps.fingerprints,
        )
        other = None if job.other is None else job.other.open()
        return JudgeSession(desk, Journal(job.verdicts), Sources(job.retrievals), other)

    def request(
        self, batch: Sequence[Work], model: JudgeSession, inference_args: Mapping[str, Any] | None = None
    ) -> list[Work]:
        """Judge each record once; return as many as came, in their order."""
        self.validate_inference_args(inference_args)
        judgements = model.desk.client.calls.each(lambda work: self._judgement(work, model), batch)
        for one in judgements:
            self._count(one)
        return [
            dataclasses.replace(work, ask=None, judgement=judgement)
            for work, judgement in zip(batch, judgements, strict=True)
        ]

    def _judgement(self, work: Work, session: JudgeSession) -> Judgement:
        """The judgement of the journal, or of an agent."""
        task, text = work.record.task, work.record.text
        key = verdict_key(work)
        # A bundle that a runner repeats meanwhile in this process finds the first one's verdict.
        with session.asking.holding((task, key)):
            known = session.verdicts.find(task, key)
            found = None if known is None else of_answer(known)
            if found is None:
                found = self._judge(work, text_key(text, task), session)
                if found.failure in (None, Failure.UNUSABLE):
                    session.verdicts.keep(task, key, as_answer(found, JUDGE))
            return found

    def _judge(self, work: Work, key: bytes, session: JudgeSession) -> Judgement:
        dispute = work.dispute
        if dispute is None:
            raise ValueError(f"record {work.record.id!r} waits for the judge without a dispute")
        calls = JudgeCalls(session.desk, work.record.task, key)
        other = None if session.other is None else SecondOpinion(session.other, work, calls)
        bench = Bench(
            self._job.tasks[work.record.task],
            work.record,
            dispute,
            session.sources,
            other,
        )
        found = judge_record(bench, self._job.judge, calls)
        own = sum((one.usage for one in calls.sent), Usage())
        spent = {JUDGE: own} if calls.sent else {}
        if other is not None and other.said is not None:
            spent[other.other.name] = other.said.usage
        return dataclasses.replace(
            found, calls={name: used for name, used in spent.items() if used != Usage()}
        )

    def validate_inference_args(self, inference_args: Mapping[str, Any] | None) -> None:
        """Refuse inference_args: everything that shapes a call is in the job file."""
        if inference_args:
            raise ValueError(f"JudgeHandler takes no inference_args, got {sorted(inference_args)}")

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """Batch as many records as are judged at once."""
        return {"min_batch_size": self._job.model.concurrency, "max_batch_size": self._job.model.concurrency}

    def get_metrics_namespace(self) -> str:
        """Namespace of the judge's metrics."""
        return f"tekizai.{JUDGE}"

    def get_num_bytes(self, batch: Sequence[Work]) -> int:
        """Bytes of text in a batch; the default would pickle all of it to find out."""
        return sum(len(work.record.text.encode("utf-8", "replace")) for work in batch)

    def _count(self, judgement: Judgement) -> None:
        namespace = self.get_metrics_namespace()
        usd = sum((used.usd for used in judgement.calls.values()), Decimal(0))
        micro_usd = int((usd * _MICRO).to_integral_value(ROUND_HALF_UP))
        Metrics.counter(namespace, "judge_records").inc()
        Metrics.counter(namespace, "judge_steps").inc(len(judgement.steps))
        Metrics.counter(namespace, "judge_cost_micro_usd").inc(micro_usd)


def verdict_key(work: Work) -> bytes:
    """The name of a verdict in the journal: 16 bytes of text, task, and what the models said."""
    views = () if work.dispute is None else work.dispute.views
    # Probabilities differ in their last digits from machine to machine, and that decides nothing.
    said = [
        (view.model, view.labels, None if view.confidence is None else round(view.confidence, 2))
        for view in views
    ]
    data = json.dumps(said, ensure_ascii=True).encode()
    key = text_key(work.record.text, work.record.task)
    return hashlib.blake2b(key + data, digest_size=_KEY_BYTES).digest()


def _never(error: Exception) -> bool:  # noqa: ARG001 - the base class passes it
    return False
