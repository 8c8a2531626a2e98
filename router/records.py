"""What travels through a job: records, the answers models gave, and what was refused.

Every type is frozen. A stage returns a new value (`dataclasses.replace`) and never edits one in place.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from router.generated import Generated
    from router.judgement import Dispute, Judged, Judgement

MONEY_QUANTUM = Decimal("0.000000000001")
"""Costs are kept to 1e-12 dollars, so that sums over records are exact and fit in decimal128."""


def write_money(value: Decimal) -> str:
    """A sum as plain decimal text with at least six places: never an exponent, nothing cut off."""
    text = f"{value.normalize():f}"
    whole, _, places = text.partition(".")
    return f"{whole}.{places.ljust(6, '0')}"


class Reason(str, enum.Enum):
    """Why a record became a dead letter: the closed list that users may rely on."""

    INVALID_JSON = "invalid_json"
    NOT_AN_OBJECT = "not_an_object"
    INVALID_UTF8 = "invalid_utf8"
    MISSING_TEXT = "missing_text"
    TEXT_NOT_STRING = "text_not_string"
    EMPTY_TEXT = "empty_text"
    TEXT_TOO_LONG = "text_too_long"
    MISSING_ID = "missing_id"
    DUPLICATE_ID = "duplicate_id"
    UNKNOWN_TASK = "unknown_task"
    CORRUPT_DATA = "corrupt_data"
    MODEL_ERROR = "model_error"
    LLM_UNUSABLE = "llm_unusable"
    LLM_UNAVAILABLE = "llm_unavailable"
    OVER_BUDGET = "over_budget"


class Status(str, enum.Enum):
    """How an annotation came about; the values of `annotation.status`."""

    KEPT = "kept"
    ESCALATED = "escalated"
    ROUTED = "routed"
    DUPLICATE = "duplicate"
    OVER_BUDGET = "over_budget"
    LLM_UNAVAILABLE = "llm_unavailable"
    LLM_UNUSABLE = "llm_unusable"
    JUDGED = "judged"
    NEEDS_HUMAN = "needs_human"


JUDGE_STATUSES = (Status.JUDGED, Status.NEEDS_HUMAN)
"""Those that only jobs with a judge have."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a record stands in the input; unique and ordered within a job."""

    file: int
    """Ordinal of the file in the sorted list of input files."""
    offset: int
    """Byte offset of the line (JSONL, after decompression) or row number in the file (Parquet, datasets)."""


@dataclass(frozen=True, slots=True)
class Record:
    """A validated record: it has an id, a text and a known task."""

    position: Position
    id: str
    text: str
    task: str
    gold: str | None
    payload: bytes
    """The whole input row, carried to the output unchanged: the raw JSON line without its line end, or a
    one-row Arrow record batch in IPC format (schema apart)."""


def text_bytes(record: Record) -> int:
    """How long a record's text is in UTF-8."""
    return len(record.text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An input row that could not be annotated."""

    position: Position
    id: str | None
    reason: Reason
    detail: str
    stage: str
    """The stage that refused it: read, validate, deduplicate, answer or escalate."""
    record: str | None
    """The row as JSON text, or the raw line where it does not parse; None where nothing could be read."""
    calls: Mapping[str, Usage] = field(default_factory=dict)
    """What models were asked about it all the same, by model: it is paid for, though nothing came of it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What answering cost.

    `input_tokens` counts every prompt token, `cached_tokens` those of them that were not evaluated again,
    because a cached prefix held them.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    usd: Decimal = Decimal(0)
    at: float | None = field(default=None, compare=False)
    """Unix time at which the answer was there, of a sum the last one's; None where it is not known."""

    def __add__(self, other: Usage) -> Usage:
        """Sum two usages field by field."""
        return Usage(
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
            self.seconds + other.seconds,
            self.usd + other.usd,
            max((one.at for one in (self, other) if one.at is not None), default=None),
        )

    def there(self, at: float) -> Usage:
        """The usage of an answer that came at this Unix time; what took nothing was none, and has no time."""
        return self if self == Usage() else replace(self, at=at)


@dataclass(frozen=True, slots=True)
class Route:
    """What was found out about a record and which model that chose."""

    language: str
    """ISO 639-1 code, or `und` where it cannot be told."""
    task: str
    model: str
    rule: int | None
    """Index of the rule that matched, None for the default."""
    domain: str | None = None
    complexity: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LabelScores:
    """Probabilities that a local model gave to the labels of the task, in the task's order."""

    probabilities: npt.NDArray[np.float64]
    """Shape (labels,). single_label: sums to 1. multi_label: each is its own yes-probability."""
    features: npt.NDArray[np.float32] | None = None
    """Shape (1024,): a fixed slice of the logits at the position before the answer."""
    parts: int = 1
    """How many pieces a text longer than the context was scored in."""
    embedding: npt.NDArray[np.float32] | None = None
    """Shape (384,): the sentence encoder's vector of the text, where a head looks at it."""


def as_kept(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """Features or vectors in the precision that a journal keeps, so that they are the same when read back."""
    return values.astype("<f2").astype("<f4")


class Failure(str, enum.Enum):
    """Why a model gave no answer for a record."""

    UNUSABLE = "unusable"
    """The LLM answered twice, but with nothing on the list of labels."""
    UNAVAILABLE = "unavailable"
    """The endpoint could not be reached or kept failing."""
    OVER_BUDGET = "over_budget"
    """The call was not made, because it could have crossed the budget."""
    ERROR = "error"
    """The local engine failed on this record."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Ids of what was found for a record and stood in its prompt, the most similar first."""

    examples: tuple[str, ...] = ()
    passages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What one model said about one record: scores, labels (remote ones), a written answer, or a failure."""

    model: str
    usage: Usage
    scores: LabelScores | None = None
    labels: tuple[str, ...] | None = None
    failure: Failure | None = None
    detail: str = ""
    raw: str | None = None
    """The text an LLM sent, kept where it could not be used."""
    spare: bool = False
    """Given while a prompt was searched for: it counts on the account only."""
    shown: Shown | None = None
    """None where the model is shown nothing that was retrieved."""
    confidence: float | None = None
    """How sure a hosted model was of its labels; None where that was not asked or not told."""
    generated: Generated | None = None
    """Of a generate task: what it wrote."""

    @property
    def weighed(self) -> bool:
        """Whether the model says how sure it is, so that a gate can judge the answer."""
        return self.scores is not None or (
            self.generated is not None and self.generated.log_probability is not None
        )


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """A record on its way, with its route and the answers given so far."""

    record: Record
    route: Route
    ask: str | None = None
    """The model that is to answer next; None where nothing is to be asked."""
    answers: tuple[Answer, ...] = ()
    pilot: tuple[Answer, ...] = ()
    """Answers from the calibration sample: used in place of asking again, and paid for by this record."""
    shared_key: bytes | None = None
    """The text's key where copies of the record wait for its outcome; None where there are none."""
    passed: tuple[Answer, ...] = ()
    """Answers that do not count, because the student was not sure enough: they are on the account only."""
    dispute: Dispute | None = None
    """Why a judge is asked; None where none is."""
    judgement: Judgement | None = None
    """What came of it."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """The final word on a record."""

    task: str
    labels: tuple[str, ...]
    """Exactly one for single_label; any number for multi_label; the answer alone for generate."""
    confidence: float | None
    """None where the model gave no probability."""
    scores: tuple[tuple[str, float], ...]
    """(label, probability), highest first; empty where the model gave none."""
    model: str
    status: Status
    reason: str
    parts: int = 1
    raw_answer: str | None = None
    checks: tuple[str, ...] | None = None
    """Of a written answer, the checks that it does not pass and why; None where labels were chosen."""
    shown: Shown | None = None
    """What was retrieved for the model that had the last word; None where it is shown nothing of that."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a model said that did not have the last word."""

    model: str
    labels: tuple[str, ...]
    confidence: float | None
    checks: tuple[str, ...] = ()
    """What a written answer did not pass."""


@dataclass(frozen=True, slots=True)
class Annotated:
    """A record with its annotation, route and account: one row of the output."""

    record: Record
    annotation: Annotation
    route: Route
    usage: Usage
    calls: Mapping[str, Usage] = field(default_factory=dict)
    """Usage by model; `usage` is its sum."""
    calibration_usd: Decimal = Decimal(0)
    """The part of `usage.usd` that went into answers used for calibration only."""
    overruled: Opinion | None = None
    """What the small model said, where a later model had the last word; None where it said nothing."""
    audit: bool | None = None
    """Whether oracle and small model agreed on a trusted answer that was checked; None where none was."""
    judged: Judged | None = None
    """How a judge settled it; None where none was asked."""
