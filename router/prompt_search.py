"""Which prompts to try for a task, and how well one does: examples, their number and order, and the opening.

A few examples in the prompt are the strongest lever there is for small models, and which ones matters as much
as how many (docs/measurements.md), so they are chosen by what they achieve on rows that the oracle answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.calibration import ChosenPrompt
from router.evidence import Evidence
from router.head_training import TrainingRows, choose_head
from router.job import Example
from router.prompts import PromptForm

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from router.catalogue import CatalogueEntry
    from router.job import LlamaCppModel, Task

OPENINGS = ("{Task}:", "The {task} of the text is")
FIRST_COUNT = 4
OTHER_COUNTS = (1, 2, 8)
DRAWS = (1, 2, 3, 4)
MOST_LABELS_SCORED = 20
"""With more labels than this, scoring each to its last token takes far longer than reading the text: they are
scored by their first tokens, and a head on the features tells them apart."""
_MOST_EXAMPLES = 64
LONGEST = 600
"""Characters of a text that may be an example: it is read with every prompt."""


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text with what the oracle said of it."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A prompt to try."""

    form: PromptForm
    per_label: int
    """Examples of each label, as far as there are any; 0: none."""
    draw: int
    prompt: ChosenPrompt

    @property
    def name(self) -> str:
        """For people."""
        shown = len(self.prompt.examples or ())
        return f"{shown} examples (draw {self.draw}), {self.form.form}, opening {self.form.opening!r}"


def candidate(
    task: Task, form: PromptForm, per_label: int, draw: int, pool: Sequence[LabelledText]
) -> Candidate:
    """The prompt in a form with so many examples of each label; the task's own examples where it has some."""
    examples = task.shown or draw_examples(pool, task.label_names, per_label, draw)
    tree = len(task.labels) <= MOST_LABELS_SCORED
    return Candidate(form, per_label, draw, ChosenPrompt(form, examples, tree))


def draw_examples(
    pool: Sequence[LabelledText], labels: Sequence[str], per_label: int, draw: int
) -> tuple[Example, ...]:
    """Up to `per_label` texts of each label, in rounds over the labels; the same for the same `draw`."""
    rng = np.random.default_rng(draw)
    short = [one for one in pool if len(one.text) <= LONGEST and _is_unicode(one.text)]
    order = rng.permutation(len(short))
    by_label = {label: [short[i] for i in order if short[i].label == label] for label in labels}
    chosen = [
        Example(text=by_label[labels[i]][number].text, label=labels[i])
        for number in range(per_label)
        for i in rng.permutation(len(labels))
        if number < len(by_label[labels[i]])
    ]
    return tuple(chosen[:_MOST_EXAMPLES])


def _is_unicode(text: str) -> bool:
    """Whether a model can read the text: JSON may hold halves of characters, which no encoding has."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def forms(model: LlamaCppModel, entry: CatalogueEntry) -> Iterator[PromptForm]:
    """The forms to try, the known one first; what the job file settles is settled."""
    known = entry.with_examples
    form = model.prompt.form or known.form
    opening = known.opening if model.prompt.opening is None else model.prompt.opening
    yield PromptForm(form, opening)
    if model.prompt.opening is None:
        for other in OPENINGS:
            if other != opening:
                yield PromptForm(form, other)
    if form == "auto":
        yield PromptForm("plain", opening)


def prompt_loss(rows: TrainingRows) -> float:
    """Cross-validated log-loss of what can be made of a prompt's scores, in nats.

    Features are looked at only where there are many labels: a head on them fits few rows too loosely to tell
    prompts apart.
    """
    if rows.seen.scores.shape[1] <= MOST_LABELS_SCORED:
        rows = TrainingRows(Evidence(rows.seen.scores), rows.answers)
    return choose_head(rows).chosen.log_loss
