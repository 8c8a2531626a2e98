"""Asking the models of a comparison, each record with the adapter that is for it, and how long they take."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.compare_pilot import Pace
from pipelines.compare_rows import name_for
from pipelines.pilot_prompts import unchanged_prompt
from router.adapters import names_of, section_of
from router.job import LlamaCppModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipelines.compare_models import Compared
    from pipelines.pilot_run import PilotRun, Prompts
    from router.job import Job
    from router.records import Answer, Work


@dataclass
class Asking:
    """A comparison on its way."""

    compared: Compared
    run: PilotRun
    tell: Callable[[str], None]
    answers: dict[tuple[str, bytes], Answer]
    failed: dict[str, str]
    """Why models failed, where they did, in their own words."""

    @property
    def job(self) -> Job:
        """The job in which every model can be asked."""
        return self.run.plan.job

    @property
    def names(self) -> list[str]:
        """The models that are asked."""
        return list(self.job.models)

    @property
    def local(self) -> list[str]:
        """Those that run on this machine."""
        return [name for name in self.names if isinstance(self.job.models[name], LlamaCppModel)]

    def ask(self, names: Sequence[str], works: Sequence[Work]) -> None:
        """Have the answers of some models; what the journal holds is not asked again."""
        asked = self.called(names, works)
        missing = self.missing(asked)
        if missing:
            told = ", ".join(f"{name} about {len(rows):,}" for name, rows in missing.items())
            self.tell(f"asking {told} records")
        self.answers |= self.run.ask(asked, self.prompts)
        for name in self.missing(asked):
            self.failed[name] = self.run.failure_of(name) or "no reason given"

    def called(self, names: Sequence[str], works: Sequence[Work]) -> dict[str, list[Work]]:
        """The records by the names under which models answer them: the adapter of each is another name."""
        asked: dict[str, list[Work]] = defaultdict(list)
        for name in names:
            for work in works:
                asked[name_for(self.job, name, work)].append(work)
        return asked

    @property
    def prompts(self) -> Prompts:
        """How small models are asked: as a run with a target asks them if it finds no better prompt."""
        large = self.job.routing.escalate_to
        return {
            called: {task.name: unchanged_prompt(self.run, called, task) for task in self.job.tasks}
            for name in self.local
            if name != large
            for called in names_of(name, self.job.models[name])
        }

    def model_of(self, called: str) -> str:
        """The model that answers under a name, without its adapter."""
        return section_of(called, self.job.models[called])

    def missing(self, asked: Mapping[str, Sequence[Work]]) -> dict[str, list[Work]]:
        """What the journal does not hold yet."""
        return self.run.missing(asked, self.prompts)

    def paces(self, works: Sequence[Work]) -> dict[str, Pace]:
        """How long local models take, from a few records."""
        self.ask(self.local, works)
        return {
            name: Pace.of(
                [
                    one.usage.seconds
                    for (model, _), one in self.answers.items()
                    if self.model_of(model) == name
                ]
            )
            for name in self.local
        }
