"""The job file as typed, frozen models that refuse unknown keys (README, "The job file")."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from router import job_checks
from router.job_checks import (
    is_number,
    listed_or_source,
    not_secret,
    one_or_many,
    switch_or_settings,
    word_or_number,
)
from router.number_formats import NumberFormat
from router.rule_checks import rule_problems

Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False), BeforeValidator(is_number)]
OpenFraction = Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False), BeforeValidator(is_number)]
Name = Annotated[str, Field(min_length=1)]
Usd = Annotated[Decimal, Field(ge=0, allow_inf_nan=False), BeforeValidator(is_number)]
Seconds = Annotated[float, Field(gt=0.0, allow_inf_nan=False), BeforeValidator(is_number)]
Count = Annotated[int, Field(gt=0), BeforeValidator(is_number)]
CountOrZero = Annotated[int, Field(ge=0), BeforeValidator(is_number)]
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), AfterValidator(not_secret)]
LanguageCode = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
NotEmpty = Field(min_length=1)


class _Strict(BaseModel):
    # An input can hold a pasted key, so pydantic's own messages must not repeat it.
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )


class Input(_Strict):
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


class Output(_Strict):
    """Where the annotated records go."""

    path: Name
    """The folder to write, as a path or an fsspec URL."""
    format: Literal["parquet", "jsonl"] = "parquet"


class Label(_Strict):
    """One label of a task."""

    name: Name
    description: str | None = None
    """What the label means, in a few words that the models get to read."""


class Example(_Strict):
    """A text with its label (or labels), shown to the models in the prompt."""

    text: Name
    label: Annotated[
        Annotated[str, Tag("one")] | Annotated[tuple[str, ...], Tag("many")], Discriminator(one_or_many)
    ]
    """The right label from the task's list; a list of labels where the task is multi_label."""


class ExampleSource(_Strict):
    """Labelled rows from which the examples are drawn, in a file of their own."""

    model_config = ConfigDict(serialize_by_alias=True)

    path: Annotated[Name, Field(alias="from")]
    """The rows: whatever `input.path` may be."""
    text: Name = "text"
    """The column with the text."""
    label: Name = "label"
    """The column with the right label."""


class Task(_Strict):
    """What is asked about a text."""

    name: Name
    """The task's name, which records and rules refer to."""
    kind: Literal["single_label", "multi_label"] = "single_label"
    """Whether a text has exactly one label or any number of them."""
    instruction: Name
    """What to do, as one would tell a person."""
    labels: Annotated[tuple[Label, ...], NotEmpty]
    """The labels to choose from."""
    examples: Annotated[
        Annotated[tuple[Example, ...], Tag("listed")] | Annotated[ExampleSource, Tag("source")],
        Discriminator(listed_or_source),
    ] = ()
    """Texts with the right label, or where to draw them from; a few of them help small models more than
    anything else."""

    @property
    def shown(self) -> tuple[Example, ...]:
        """The examples that stand in the prompt; of a source, none were drawn yet."""
        return self.examples if isinstance(self.examples, tuple) else ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the labels, in the file's order."""
        return tuple(label.name for label in self.labels)

    @model_validator(mode="after")
    def _labels_fit(self) -> Task:
        job_checks.refuse(job_checks.task_problems(self))
        return self


class Prompt(_Strict):
    """How a local model is asked; what is left out comes from the catalogue (configs/models.yaml)."""

    form: Literal["plain", "chat"] | None = None
    """Plain text to be continued, or the turns of the model's chat template."""
    opening: str | None = None
    """Text that opens the model's answer, before the label; `{task}` stands for the task's name."""


class LlamaCppModel(_Strict):
    """A GGUF model that runs inside the worker."""

    engine: Literal["llama_cpp"]
    source: Name
    """The model: a path or fsspec URL of a GGUF file, hf://REPO/FILE.gguf, or pypi://PACKAGE."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    """The file's SHA-256 as 64 hexadecimal digits; it is checked before the model is used."""
    format: NumberFormat | None = None
    """The number format to use the model in; it is made once, in the model cache. null: as the file is."""
    threads: Count | None = None
    """CPU threads of one worker process."""
    usd_per_hour: Usd | None = None
    """What an hour of the worker costs, in US dollars."""
    context: Annotated[Count, Field(ge=256)] | None = None
    """Tokens that prompt and text may take together."""
    pack: Annotated[
        Annotated[Literal["auto", "off"], Tag("word")] | Annotated[Count, Field(ge=2, le=64), Tag("number")],
        Discriminator(word_or_number),
    ] = "auto"
    """The most records that are evaluated together, or off; auto takes it from the catalogue."""
    prompt: Prompt = Prompt()


class Price(_Strict):
    """What a hosted model costs."""

    input_usd_per_million_tokens: Usd
    """US dollars for a million prompt tokens."""
    output_usd_per_million_tokens: Usd
    """US dollars for a million answer tokens."""
    cached_input_usd_per_million_tokens: Usd | None = None
    """US dollars for a million prompt tokens that the endpoint had in its cache."""
    batch_discount: Annotated[Decimal, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(is_number)] = (
        Decimal("0.5")
    )
    """With `batch`: the fraction of these prices that the provider takes off for batches, such as 0.5."""


class BatchSettings(_Strict):
    """How large the files of the provider's batch endpoint may be, and how long to wait for their answers."""

    max_requests: Annotated[Count, Field(le=50_000)] = 50_000
    """Requests in one file; OpenAI takes up to 50000."""
    max_megabytes: Annotated[Seconds, Field(le=200.0)] = 200.0
    """Megabytes (1,000,000 bytes) of one file; OpenAI takes up to 200."""
    poll_seconds: Seconds = 15.0
    """How long to wait before the first look at a batch; later looks are up to five minutes apart."""
    max_wait_hours: Seconds = 26.0
    """How long to wait for one batch before it is cancelled; OpenAI's own window is 24 hours."""


class OpenAIModel(_Strict):
    """A model behind an OpenAI-compatible endpoint."""

    engine: Literal["openai"]
    model: Name
    """The model's name at the endpoint."""
    base_url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """The endpoint's http:// or https:// address, such as http://127.0.0.1:8081/v1; null is OpenAI's own."""
    api_key_env: EnvironmentName | None = None
    """The NAME of the environment variable that holds the key, as in OPENAI_API_KEY; never the key itself."""
    price: Price | None = None
    concurrency: Count = 8
    """Requests that one worker process keeps open."""
    timeout_seconds: Seconds = 60.0
    """How long to wait for one answer."""
    max_output_tokens: Count = 64
    """The longest answer that is paid for."""
    max_retries: CountOrZero = 5
    """How often a failed request is repeated."""
    max_failures: Count = 10
    """Records in a row without an answer, retries included, after which the endpoint counts as dead."""
    when_dead: Literal["keep", "stop"] = "keep"
    """Whether a dead endpoint leaves the small model's answers, to be asked again later, or stops the job."""
    batch: Annotated[
        Annotated[bool, Tag("switch")] | Annotated[BatchSettings, Tag("settings")],
        Discriminator(switch_or_settings),
    ] = False
    """Whether to use the provider's batch endpoint (docs/batch.md): true, or its settings."""

    @property
    def batching(self) -> BatchSettings | None:
        """How batches are made; None where each record is asked about at once."""
        if isinstance(self.batch, BatchSettings):
            return self.batch
        return BatchSettings() if self.batch else None


Model = Annotated[LlamaCppModel | OpenAIModel, Field(discriminator="engine")]


class When(_Strict):
    """The conditions of a rule; all that are given must hold."""

    languages: Annotated[tuple[LanguageCode, ...], NotEmpty] | None = None
    """Language codes of two or three lower-case letters, such as en; und where it cannot be told."""
    tasks: Annotated[tuple[str, ...], NotEmpty] | None = None
    """Names of the job's tasks, or of what the router finds that a text asks for (docs/router.md)."""
    domains: Annotated[tuple[str, ...], NotEmpty] | None = None
    """Names of domains (docs/router.md)."""
    complexity_above: Fraction | None = None
    """Met by texts whose estimated difficulty (0 to 1) is above this."""
    characters_above: CountOrZero | None = None
    """Met by texts with more characters than this."""

    @model_validator(mode="after")
    def _has_a_condition(self) -> When:
        job_checks.refuse(job_checks.when_problems(self))
        return self


class Rule(_Strict):
    """Which model takes the records that meet a condition."""

    when: When
    use: Name
    """The model that takes these records."""


class Gate(_Strict):
    """When a small model's answer is trusted: a fixed confidence, or a promise to be certified."""

    min_confidence: Fraction | None = None
    """Trust answers with at least this confidence."""
    target: OpenFraction | None = None
    """The fraction of annotations that must agree with the oracle, such as 0.95; replaces min_confidence."""
    delta: OpenFraction | None = None
    """How likely the promise may fail; 0.05 where a target is given without it."""
    oracle: Literal["llm", "gold"] | None = None
    """What the annotations are to agree with; llm where a target is given without it."""
    per: Literal["language", "domain", "label", "task"] | None = None
    """Ask for the target in each of these, not only over all records together."""
    student: Annotated[Literal["auto", "off"], BeforeValidator(job_checks.off_or_other)] | None = None
    """Whether a linear head on the text may answer what it is sure of, without the small model; off where a
    target is given without it."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: object) -> object:
        return job_checks.complete_gate(data)

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Gate:
        job_checks.refuse(job_checks.gate_problems(self))
        return self


class Routing(_Strict):
    """Which model answers what."""

    default: Name
    """The model that takes what no rule takes."""
    escalate_to: Name | None = None
    """The model that is asked where an answer is not trusted; null: never ask."""
    rules: tuple[Rule, ...] = ()
    """Rules that choose a model; the first one that matches wins."""
    gate: Gate = Gate(min_confidence=0.8)


class Budget(_Strict):
    """How much the job may spend on hosted models, interrupted and continued runs together."""

    max_usd: Annotated[Decimal, Field(gt=0, allow_inf_nan=False), BeforeValidator(is_number)]
    """US dollars that calls to hosted models may cost in all, above 0."""
    workers: Count | None = None
    """On other runners than the local one: how many worker processes there can be; each gets its part."""


class Limits(_Strict):
    """What is too much."""

    max_characters: Count = 100_000
    """Longer texts become dead letters."""
    max_dead_letter_fraction: Fraction = 0.05
    """With more dead letters than this the command ends with exit code 3."""


class DomainDescription(_Strict):
    """A domain of your own, found by how near a text is to what it is about."""

    name: Name
    description: str | None = None
    """What belongs to it: a few words, or a list of things with commas."""


class RouterSettings(_Strict):
    """How language, task, domain and complexity of the records are found."""

    heads: Name | None = None
    """The folder that `tekizai router train` left; null: what ships with Tekizai."""
    encoder: Name | None = None
    """Another encoder, by the name or path that `tekizai router train --encoder` was given."""
    domains: Annotated[tuple[DomainDescription, ...], Field(min_length=2)] | None = None
    """Domains of your own, told apart by their descriptions; null: those that the heads know."""
    find: Literal["all", "needed"] = "all"
    """`needed`: only what a rule or the gate asks for; `all`: domain and complexity of every record too."""


class JournalSettings(_Strict):
    """How soon answers are written where nothing can be appended (object stores); on disks it is at once."""

    flush_records: Count = 100
    """Write after so many answers."""
    flush_seconds: Seconds = 10.0
    """Write at the latest after so many seconds."""


class Pilot(_Strict):
    """How many records the oracle answers before the main pass; what is left out, the program chooses."""

    train: Count | None = None
    """Records from which the prompt, the head and the confidence are learned."""
    certify: Count | None = None
    """Records that certify the gate."""


class Calibration(_Strict):
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


class Audit(_Strict):
    """Trusted answers that the oracle is asked about all the same, so that its agreement can be observed."""

    fraction: Fraction
    """The share of trusted answers that is checked, drawn at random, such as 0.01."""


class Job(_Strict):
    """A whole job file."""

    name: Name
    """The job's name, for reports."""
    input: Input
    output: Output
    tasks: Annotated[tuple[Task, ...], NotEmpty]
    """What is asked about the texts."""
    models: Annotated[dict[Name, Model], NotEmpty]
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

    # A check that joins sections stands on the last of them, so that it runs although another one is wrong.

    @property
    def used_models(self) -> tuple[str, ...]:
        """Names of the models that the routing can choose, in the order of the job file."""
        named = {self.routing.default, self.routing.escalate_to, *(rule.use for rule in self.routing.rules)}
        return tuple(name for name in self.models if name in named)

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
        job_checks.refuse([*problems, *rules])
        return routing

    @field_validator("calibration")
    @classmethod
    def _calibration_fits(cls, calibration: Calibration, info: ValidationInfo) -> Calibration:
        job_checks.refuse(job_checks.calibration_problems(calibration, info.data.get("routing")))
        return calibration

    @field_validator("audit")
    @classmethod
    def _audit_fits(cls, audit: Audit | None, info: ValidationInfo) -> Audit | None:
        job_checks.refuse(job_checks.audit_problems(audit, info.data.get("routing")))
        return audit
