"""The job file as typed, frozen models that refuse unknown keys (README, "The job file")."""

from __future__ import annotations

import operator
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from router import job_checks, job_generation
from router.adapter_checks import adapter_problems
from router.adapters import ModelsByName, names_of
from router.job_adapters import Adapter
from router.job_base import LATER, Count, Fraction, Name, NotEmpty, Seconds, Sha256, Strict
from router.job_checks import is_number
from router.job_judge import Judge, JudgeWhen, judge_problems
from router.job_models import BatchSettings, LlamaCppModel, Model, OpenAIModel, Price, Prompt
from router.job_routing import Gate, Routing, Rule, When
from router.job_tasks import ContextSource, Example, ExampleSource, Label, Task
from router.retrieval_checks import retrieval_problems
from router.rule_checks import rule_problems

__all__ = [
    "Adapter",
    "Audit",
    "BatchSettings",
    "Budget",
    "Calibration",
    "ContextSource",
    "DomainDescription",
    "Example",
    "ExampleSource",
    "Gate",
    "Input",
    "Job",
    "JournalSettings",
    "Judge",
    "JudgeWhen",
    "Label",
    "Limits",
    "LlamaCppModel",
    "Model",
    "OpenAIModel",
    "Output",
    "Pilot",
    "Price",
    "Prompt",
    "RouterSettings",
    "Routing",
    "Rule",
    "Task",
    "UsedPack",
    "When",
]


class Input(Strict):
    """Where the records are and what their columns are called."""

    path: Name
    """The records: an fsspec URL or glob (.jsonl, .jsonl.gz, .jsonl.zst, .parquet), or hf://datasets/OWNER/NAME."""
    text: Name = "text"
    """The column that holds the text to label."""
    id: Name | None = None
    """The column that holds each record's id; null makes ids from the content."""
    task: Name | None = None
    """The column that names each record's task; null where there are several tasks: the router sorts."""
    gold: Name | None = None
    """The column that holds the true label, for calibration and evaluation."""


class Output(Strict):
    """Where the annotated records go."""

    path: Name
    """The folder to write, as a path or an fsspec URL."""
    format: Literal["parquet", "jsonl"] = "parquet"


class Budget(Strict):
    """How much the job may spend on hosted models, interrupted and continued runs together."""

    max_usd: Annotated[Decimal, Field(gt=0, allow_inf_nan=False), BeforeValidator(is_number)]
    """US dollars that calls to hosted models may cost in all, above 0."""
    workers: Count | None = None
    """On other runners than the local one: how many worker processes there can be; each gets its part."""


class Limits(Strict):
    """What is too much."""

    max_characters: Count = 100_000
    """Longer texts become dead letters."""
    max_dead_letter_fraction: Fraction = 0.05
    """With more dead letters than this the command ends with exit code 3."""


class DomainDescription(Strict):
    """A domain of your own, found by how near a text is to what it is about."""

    name: Name
    description: str | None = None
    """What belongs to it: a few words, or a list of things with commas."""


class RouterSettings(Strict):
    """How language, task, domain and complexity of the records are found."""

    heads: Name | None = None
    """The folder that `tekizai router train` left; null: what ships with Tekizai."""
    encoder: Name | None = None
    """Another encoder, by the name or path that `tekizai router train --encoder` was given."""
    domains: Annotated[tuple[DomainDescription, ...], Field(min_length=2)] | None = None
    """Domains of your own, told apart by their descriptions; null: those that the heads know."""
    find: Literal["all", "needed"] = "all"
    """`needed`: only what a rule or the gate asks for; `all`: domain and complexity of every record too."""


class JournalSettings(Strict):
    """How soon answers are written where nothing can be appended (object stores); on disks it is at once."""

    flush_records: Count = 100
    """Write after so many answers."""
    flush_seconds: Seconds = 10.0
    """Write at the latest after so many seconds."""


class Pilot(Strict):
    """How many records the oracle answers before the main pass; what is left out, the program chooses."""

    train: Count | None = None
    """Records from which the prompt, the head and the confidence are learned."""
    certify: Count | None = None
    """Records that certify the gate."""
    compared: Count | None = LATER
    """So many records, the first that the pilot takes, have chosen the models (`tekizai models compare`): all
    of them train, whatever `train` says, and none certifies what it helped to choose."""
    adapters: Annotated[tuple[Sha256, ...], Field(exclude_if=operator.not_)] = ()
    """SHA-256 of the adapters of all models that were compared: they settle the order of the pilot."""


class Calibration(Strict):
    """How the small models' scores become probabilities and a confidence."""

    label_free: bool = True
    """Without a target: whether scores are divided by their mean over a sample, which needs no labels."""
    sample: Count = 200
    """Without a target: how many records to take the mean over."""
    artefact: Name | None = None
    """The folder that `tekizai calibrate` or an earlier job's output left (OUTPUT/state/calibration); with it
    nothing is learned anew."""
    drift: Literal["warn", "widen", "refuse"] = "warn"
    """With an artefact: what to do where this input no longer looks like the one it was made on."""
    pilot: Pilot = Pilot()
    search_seconds: Annotated[float, Field(ge=0.0, allow_inf_nan=False), BeforeValidator(is_number)] = 180.0
    """With a target: how long to look for a better prompt, for each small model and task; 0: keep it."""
    corrections: Name | None = None
    """With `oracle: gold`: rows that people have corrected (docs/review.md); they count as gold labels."""


class Audit(Strict):
    """Trusted answers that the oracle is asked about all the same, so that its agreement can be observed."""

    fraction: Fraction
    """The share of trusted answers that is checked, drawn at random, such as 0.01."""


class UsedPack(Strict):
    """The pack that a task came from."""

    pack: Name
    """Its name."""
    source: Name
    """How the job file names it."""
    digest: Name
    """Of its pack.yaml and its head."""


class Job(Strict):
    """A whole job file."""

    name: Name
    """The job's name, for reports."""
    input: Input
    output: Output
    tasks: Annotated[tuple[Task, ...], NotEmpty]
    """What is asked about the texts."""
    models: Annotated[dict[Name, Model], NotEmpty, AfterValidator(ModelsByName)]
    """The models, each under a name of your choice."""
    machine: Name | None = None
    """The machine whose price local models' time has (configs/prices.yaml); null: the table's default."""
    limits: Limits = Limits()
    router: RouterSettings = RouterSettings()
    routing: Routing
    budget: Budget | None = None
    """How much the job may spend on hosted models; null: no limit."""
    calibration: Calibration = Calibration()
    audit: Audit | None = None
    """Check a share of the trusted answers; null: none."""
    journal: JournalSettings = JournalSettings()
    packs: Annotated[dict[Name, UsedPack], Field(default_factory=dict, exclude_if=operator.not_)]
    """By task: the pack it came from. Noted when the file is read (`router.pack_expansion`)."""

    # A check that joins sections stands on the last of them, so that it runs although another one is wrong.

    @property
    def used_models(self) -> tuple[str, ...]:
        """Names of the models that the routing can choose, in the order of the job file.

        A model with adapters is followed by its names with each (`router.adapters`).
        """
        named = {self.routing.default, self.routing.escalate_to, *(rule.use for rule in self.routing.rules)}
        used = [(name, model) for name, model in self.models.items() if name in named]
        return tuple(one for name, model in used for one in names_of(name, model))

    @property
    def opened_models(self) -> tuple[str, ...]:
        """Names of the models that a run opens: those of the routing, and whom a judge asks."""
        judge = self.routing.judge
        named = {*self.used_models, *(() if judge is None else (judge.model, judge.second_opinion))}
        everyone = (one for name, model in self.models.items() for one in names_of(name, model))
        return tuple(name for name in everyone if name in named)

    @field_validator("output")
    @classmethod
    def _output_fits(cls, output: Output, info: ValidationInfo) -> Output:
        job_checks.refuse(job_checks.output_problems(output, info.data.get("input")))
        return output

    @field_validator("tasks")
    @classmethod
    def _tasks_fit(cls, tasks: tuple[Task, ...]) -> tuple[Task, ...]:
        job_checks.refuse(job_checks.tasks_problems(tasks))
        return tasks

    @field_validator("routing")
    @classmethod
    def _routing_fits(cls, routing: Routing, info: ValidationInfo) -> Routing:
        known = (info.data.get(name) for name in ("input", "models"))
        problems = job_checks.routing_problems(routing, *known)
        rules = rule_problems(routing.rules, *(info.data.get(name) for name in ("tasks", "limits", "router")))
        written = job_generation.promise_problems(routing, info.data.get("tasks"))
        judge = judge_problems(routing, info.data.get("models"))
        job_checks.refuse([*problems, *rules, *judge, *written])
        return routing

    @field_validator("calibration")
    @classmethod
    def _calibration_fits(cls, calibration: Calibration, info: ValidationInfo) -> Calibration:
        problems = job_checks.calibration_problems(calibration, info.data.get("routing"))
        written = job_generation.corrections_problems(calibration, info.data.get("tasks"))
        job_checks.refuse([*problems, *written])
        return calibration

    @field_validator("audit")
    @classmethod
    def _audit_fits(cls, audit: Audit | None, info: ValidationInfo) -> Audit | None:
        problems = job_checks.audit_problems(audit, info.data.get("routing"))
        job_checks.refuse([*problems, *job_generation.audit_problems(audit, info.data.get("tasks"))])
        return audit

    @model_validator(mode="after")
    def _adapters_fit(self) -> Job:
        # They stand in one section, and whether they can be reached is said by four others.
        job_checks.refuse(adapter_problems(self))
        return self

    @model_validator(mode="after")
    def _retrieval_fits(self) -> Job:
        job_checks.refuse(retrieval_problems(self.tasks, self.models))
        return self
