"""What is asked about a text: the `tasks` of a job file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from router import job_checks
from router.job_base import LATER, Count, CountOrZero, Name, NotEmpty, Strict, is_none
from router.job_checks import is_number, listed_or_source, one_or_many, read_schema
from router.job_generation import GENERATE, MAX_TOKENS, file_problems, kept_keys

_MOST_SHOWN = 32
_Models = Annotated[tuple[Name, ...], NotEmpty] | None


class Label(Strict):
    """One label of a task."""

    name: Name
    description: str | None = None
    """What the label means, in a few words that the models get to read."""


class Example(Strict):
    """A text with its label (or labels) or its answer, shown to the models in the prompt."""

    text: Name
    label: Annotated[
        Annotated[str, Tag("one")] | Annotated[tuple[str, ...], Tag("many")], Discriminator(one_or_many)
    ] = ()
    """The right label from the task's list; a list of labels where the task is multi_label."""
    answer: Name | None = None
    """The right answer as text, where the task is generate: JSON in quotes where it has a schema."""

    @model_serializer(mode="wrap")
    def _as_given(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = dump(self)
        return {key: value for key, value in dumped.items() if key in self.model_fields_set}


class ExampleSource(Strict):
    """Labelled rows from which the examples are drawn, in a file of their own."""

    model_config = ConfigDict(serialize_by_alias=True)

    path: Annotated[Name, Field(alias="from")]
    """The rows: whatever `input.path` may be."""
    text: Name = "text"
    """The column with the text."""
    label: Name = "label"
    """The column with the right label."""
    k: Annotated[int, Field(ge=0, le=_MOST_SHOWN), BeforeValidator(is_number)] | None = LATER
    """How many rows to show with each record, those nearest to it (docs/retrieval.md); null: the same few
    with every record."""
    id: Name | None = LATER
    """The column with the rows' ids; null makes ids from the content. With `k` only."""
    models: Annotated[
        Annotated[tuple[Name, ...], NotEmpty] | None, Field(alias="for", exclude_if=is_none)
    ] = None
    """The models that are shown the nearest rows; null: hosted ones and routing.escalate_to. With `k`."""
    digest: Name | None = LATER
    """The digest that the rows must have (docs/retrieval.md says where it is found). With `k`."""


class ContextSource(Strict):
    """Guidelines and other knowledge, of which the passages nearest to a record are shown with it."""

    model_config = ConfigDict(serialize_by_alias=True)

    path: Annotated[Name, Field(alias="from")]
    """The passages: whatever `input.path` may be, or text files (.md, .txt), which are cut at headings."""
    k: Annotated[int, Field(ge=0, le=_MOST_SHOWN), BeforeValidator(is_number)] = 3
    """How many passages to show with each record."""
    text: Name = "text"
    """The column with a passage, where they are rows."""
    id: Name | None = None
    """The column with the passages' ids, where they are rows; null makes ids from the content."""
    models: Annotated[Annotated[tuple[Name, ...], NotEmpty] | None, Field(alias="for")] = None
    """The models that are shown passages; null: hosted ones and routing.escalate_to."""
    digest: Name | None = None
    """The digest that the passages must have (docs/retrieval.md says where it is found)."""


Schema = Annotated[
    dict[str, Any],
    BeforeValidator(read_schema),
    WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "string", "minLength": 1}]}),
]
"""A JSON Schema, or the path or URL of one, which is read with the job file."""

_AnswerLanguage = Annotated[str, WithJsonSchema({"type": "string", "pattern": "^([a-z]{2,3}|same)$"})]
"""Which codes there are is told when a file is read, with the one that was meant (`file_problems`)."""


class Task(Strict):
    """What is asked about a text."""

    model_config = ConfigDict(serialize_by_alias=True)

    name: Name
    """The task's name, which records and rules refer to."""
    kind: Literal["single_label", "multi_label", "generate"] = "single_label"
    """Whether a text has exactly one label, any number of them, or an answer that the model writes."""
    instruction: Name
    """What to do, as one would tell a person."""
    labels: tuple[Label, ...] = ()
    """The labels to choose from; none where the task is generate."""
    examples: Annotated[
        Annotated[tuple[Example, ...], Tag("listed")] | Annotated[ExampleSource, Tag("source")],
        Discriminator(listed_or_source),
    ] = ()
    """Texts with the right label, or where to draw them from; a few of them help small models more than
    anything else."""
    context: ContextSource | None = LATER
    """Passages that are shown with each record (docs/retrieval.md)."""

    max_tokens: Annotated[Count, Field(le=8192)] | None = None
    """generate: the most tokens of an answer; 256 where it is left out."""
    answer_schema: Annotated[Schema | None, Field(alias="schema")] = None
    """generate: the JSON Schema of the answers, or its path or URL; null: free text."""
    language: _AnswerLanguage | None = None
    """generate: the code of the language that answers must be in, or same for that of the text."""
    min_characters: CountOrZero | None = None
    """generate: shorter answers are not trusted."""
    max_characters: Count | None = None
    """generate: longer answers are not trusted."""
    check: Name | None = None
    """generate: what tells a right answer from a reference: exact, contains, or package.module:function."""
    samples: Annotated[int, Field(ge=1, le=2), BeforeValidator(is_number)] | None = None
    """generate: 2 lets local models answer twice, to see whether both agree; it takes twice as long."""

    @property
    def token_bound(self) -> int:
        """The most tokens of a written answer."""
        return self.max_tokens or MAX_TOKENS

    @property
    def shown(self) -> tuple[Example, ...]:
        """The examples that stand in the prompt; of a source, none were drawn yet."""
        return self.examples if isinstance(self.examples, tuple) else ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the labels, in the file's order."""
        return tuple(label.name for label in self.labels)

    @model_serializer(mode="wrap")
    def _of_its_kind(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return kept_keys(self.kind, dump(self))

    @model_validator(mode="after")
    def _labels_fit(self, info: ValidationInfo) -> Task:
        problems = job_checks.task_problems(self)
        # What was allowed once may stand in the manifests of finished jobs, which are still to be read.
        if info.context is not None and self.kind == GENERATE and not problems:
            problems = file_problems(self)
        job_checks.refuse(problems)
        return self
