"""What a judge may look at: each tool reads what the job has, changes nothing, and answers in words.

No tool takes a path, a URL or a name: whatever a record's text talks a judge into, there is nothing to reach.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from router.judge_prompt import quoted
from router.judgement import View
from transforms.judge_arithmetic import calculate

if TYPE_CHECKING:
    from router.job import Task
    from router.judgement import Dispute
    from router.records import Record
    from transforms.judge_sources import Sources

_MOST = 8
_SHOWN_CHARACTERS = 600
_SHOWN_SCORES = 5

Count = Annotated[int, Field(ge=1, le=_MOST, description=f"how many, 1 to {_MOST}: 4 tell more than 1")]


@dataclass
class Bench:
    """The tools of one record; each method is one of them, and its docstring is what the judge reads."""

    task: Task
    record: Record
    dispute: Dispute
    sources: Sources
    ask_other: Callable[[], View | str] | None = None
    """Asks another model; its view, or why there is none. None where the job names none."""
    used_up: set[str] = field(default_factory=set)
    """Tools that would only say again what they said."""

    def tools(self, wanted: Sequence[str] | None) -> list[Callable[..., object]]:
        """The tools that are wanted (None: all) and that the job can serve."""
        served: dict[str, Callable[..., object]] = {"opinions": self.opinions}
        if self.sources.has_examples(self.task.name):
            served["nearest_examples"] = self.nearest_examples
        if self.sources.has_passages(self.task.name):
            served["guidelines"] = self.guidelines
        if self.ask_other is not None:
            served["second_opinion"] = self.second_opinion
        served["calculator"] = self.calculator
        return [tool for name, tool in served.items() if wanted is None or name in wanted]

    async def opinions(self) -> str:
        """Show what each model that was asked said of the text, with its probabilities of the labels."""
        self.used_up.add("opinions")
        return "\n".join(describe(view) for view in self.dispute.views)

    async def nearest_examples(self, k: Count) -> str:
        """Find labelled texts of the same task that resemble this one; people gave their labels."""
        self.used_up.add("nearest_examples")
        found = self.sources.examples(self.record, k)
        lines = [
            f"{number}. label: {_labels(one.row.label)}; similarity {one.similarity:.2f}; "
            f"text: {quoted(one.row.text, _SHOWN_CHARACTERS)}"
            for number, one in enumerate(found, start=1)
        ]
        return "\n".join(lines) or "There is none."

    async def guidelines(
        self, query: Annotated[str, Field(max_length=500, description="what to look for")], k: Count
    ) -> str:
        """Find passages of the labelling guidelines."""
        found = self.sources.passages(self.task.name, query, k)
        lines = [f"[{one.row.id}] {quoted(one.row.text, 2 * _SHOWN_CHARACTERS)}" for one in found]
        return "\n".join(lines) or "There is none."

    async def second_opinion(self) -> str:
        """Ask another model for the label of the text; it is not told what the others said."""
        self.used_up.add("second_opinion")
        if self.ask_other is None:
            return "There is no other model."
        said = self.ask_other()
        return said if isinstance(said, str) else describe(said)

    async def calculator(
        self, expression: Annotated[str, Field(max_length=200, description="such as (12.5 - 3) / 4")]
    ) -> str:
        """Compute with numbers: + - * / // % ** and brackets."""
        try:
            return f"{calculate(expression):.10g}"
        except ValueError as error:
            return f"error: {error}"


def describe(view: View) -> str:
    """What a model said, in a line."""
    sure = "" if view.confidence is None else f" with confidence {view.confidence:.2f}"
    line = f"{view.model} said {_labels(view.labels)}{sure}"
    if view.scores:
        shown = ", ".join(f"{label} {value:.2f}" for label, value in view.scores[:_SHOWN_SCORES])
        line += f"; probabilities: {shown}"
    return line


def _labels(labels: str | tuple[str, ...] | None) -> str:
    if labels is None or labels == ():
        return "none"
    return labels if isinstance(labels, str) else ", ".join(labels)
