"""Who answers what, and when an answer is trusted: the `routing` of a job file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, SerializerFunctionWrapHandler, model_serializer, model_validator

from router import job_checks
from router.job_base import CountOrZero, Fraction, LanguageCode, Name, NotEmpty, OpenFraction, Strict
from router.job_judge import Judge


class When(Strict):
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


class Rule(Strict):
    """Which model takes the records that meet a condition."""

    when: When
    use: Name
    """The model that takes these records."""


class Gate(Strict):
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


class Routing(Strict):
    """Which model answers what."""

    default: Name
    """The model that takes what no rule takes."""
    escalate_to: Name | None = None
    """The model that is asked where an answer is not trusted; null: never ask."""
    rules: tuple[Rule, ...] = ()
    """Rules that choose a model; the first one that matches wins."""
    gate: Gate = Gate(min_confidence=0.8)
    judge: Judge | None = None
    """Who settles disputes between small and large model (docs/judge.md); null: the large one is right."""

    @model_serializer(mode="wrap")
    def _without_judge(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As it was before there were judges, where there is none: digests of jobs stay the same."""
        data: dict[str, Any] = write(self)
        if self.judge is None:
            data.pop("judge", None)
        return data
