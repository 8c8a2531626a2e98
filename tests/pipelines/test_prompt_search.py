"""The search for a prompt: what is tried in which order, what ends it, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipelines.prompt_search import PromptSearch
from router.calibration import ChosenPrompt
from router.identity import text_key
from router.job import Task
from router.prompt_search import LabelledText, candidate
from router.prompts import PromptForm
from router.records import Answer, LabelScores, Position, Record, Route, Usage, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TASK = Task.model_validate({"name": "t", "instruction": "Say.", "labels": [{"name": "a"}, {"name": "b"}]})
FIRST, OTHER = PromptForm("plain", "{Task}:"), PromptForm("plain", "So:")
POOL = [LabelledText(f"{label}{number}", label) for label in "ab" for number in range(10)]
MANY = 300


@dataclass
class Model:
    """A run that answers from a table, and the clock by which it takes a second for each prompt.

    `right` says of how many texts in 20 a prompt gives the right label; each label that it gives has .9.
    """

    right: Callable[[ChosenPrompt], int]
    asked: list[tuple[ChosenPrompt, int]] = field(default_factory=list)
    silent: Callable[[ChosenPrompt, int], bool] = lambda prompt, number: False
    now: float = 0.0

    def clock(self) -> float:
        return self.now

    def ask(
        self,
        asked: Mapping[str, Sequence[Work]],
        prompts: Mapping[str, Mapping[str, ChosenPrompt]],
        *,
        trial: bool,
    ) -> dict[tuple[str, bytes], Answer]:
        """Answers by model and text key."""
        assert trial
        [(name, works)] = asked.items()
        prompt = prompts[name]["t"]
        self.asked.append((prompt, len(works)))
        self.now += 1.0
        return {
            (name, text_key(work.record.text, "t")): self._answer(prompt, work.record.position.offset)
            for work in works
            if not self.silent(prompt, work.record.position.offset)
        }

    def _answer(self, prompt: ChosenPrompt, number: int) -> Answer:
        said = number % 2 if number % 20 < self.right(prompt) else 1 - number % 2
        scores = np.array([0.9, 0.1] if said == 0 else [0.1, 0.9])
        return Answer("small", Usage(seconds=1.0), scores=LabelScores(scores))


def rows(count: int) -> list[tuple[Work, int]]:
    """Records whose labels take turns."""
    route = Route("en", "t", "small", None)
    return [
        (Work(Record(Position(0, n), f"r{n}", f"text {n}", "t", None, b""), route), n % 2)
        for n in range(count)
    ]


def searching(model: Model, *, task: Task = TASK, count: int = 64, **changes: Any) -> PromptSearch:
    """A search that has all the time it takes, unless told otherwise."""
    known: dict[str, Any] = {"pool": POOL, "seconds": 1000.0, "clock": model.clock} | changes
    run: Any = model
    return PromptSearch(run, "small", task, rows(count), **known)


def prompt(form: PromptForm, per_label: int, draw: int = 1, task: Task = TASK) -> ChosenPrompt:
    """A candidate's prompt."""
    return candidate(task, form, per_label, draw, POOL).prompt


def by_examples(chosen: ChosenPrompt) -> int:
    """The more examples the better, up to four of each label; and the other opening is a little better."""
    shown = {0: 10, 2: 12, 4: 14, 8: 16, 16: 12}[len(chosen.examples or ())]
    return shown + (2 if chosen.form == OTHER else 0)


def test_forms_are_tried_first_then_numbers_then_draws() -> None:
    """Each with the best of what came before: here the other opening, and four examples of each label."""
    model = Model(by_examples)

    found = searching(model).search([FIRST, OTHER])

    expected = [prompt(form, count) for form in (FIRST, OTHER) for count in (4, 0)]
    expected += [prompt(OTHER, count) for count in (1, 2, 8)]
    expected += [prompt(OTHER, 4, draw) for draw in (2, 3, 4)]
    assert [one for one, _ in model.asked] == expected
    assert (found.candidate.form, found.candidate.per_label, found.candidate.draw) == (OTHER, 4, 1)
    assert found.rows == 64


def test_the_best_draw_wins() -> None:
    """Which examples there are matters as much as how many."""
    best = prompt(FIRST, 4, 3)
    model = Model(lambda chosen: 18 if chosen == best else 14)

    assert searching(model).search([FIRST]).candidate.prompt == best


def test_the_three_best_are_compared_on_more_rows() -> None:
    """On 64 rows a prompt may lead by chance: of 240 the second one has more."""
    model = Model(by_examples)

    found = searching(model, count=MANY).search([FIRST])

    assert [number for _, number in model.asked] == [64] * 8 + [240] * 3
    assert found.rows == 240
    assert found.candidate.per_label == 4


def test_more_rows_may_turn_the_order() -> None:
    """One is right on the first 64 rows and wrong on the rest, the other one right in 16 of 20 throughout."""
    early = prompt(FIRST, 2)

    class Early(Model):
        def _answer(self, chosen: ChosenPrompt, number: int) -> Answer:
            if chosen != early:
                return super()._answer(chosen, number)
            lucky = Model(lambda _: 20 if number < 64 else 0)
            return lucky._answer(chosen, number)

    model = Early(by_examples)

    found = searching(model, count=MANY).search([FIRST])

    assert model.asked[8:10] == [(early, 240), (prompt(FIRST, 4), 240)]
    assert found.candidate.prompt == prompt(FIRST, 4)


def test_without_examples_to_draw_only_forms_are_tried() -> None:
    """As in a job whose pilot is too small for a pool."""
    model = Model(by_examples)

    found = searching(model, pool=[]).search([FIRST, OTHER])

    assert [one for one, _ in model.asked] == [ChosenPrompt(FIRST, ()), ChosenPrompt(OTHER, ())]
    assert found.candidate.form == OTHER


def test_the_users_own_examples_stay() -> None:
    """Only forms are tried with them."""
    task = TASK.model_validate({**TASK.model_dump(), "examples": [{"text": "mine", "label": "a"}]})
    model = Model(lambda chosen: 18 if chosen.form == FIRST else 12)

    found = searching(model, task=task).search([FIRST, OTHER])

    assert [one for one, _ in model.asked] == [
        ChosenPrompt(form, task.examples, label_tree=True) for form in (FIRST, OTHER)
    ]
    assert found.candidate.form == FIRST


def test_where_no_examples_are_best_no_draws_are_tried() -> None:
    """There is nothing to draw."""
    model = Model(lambda chosen: 18 if not chosen.examples else 12)

    found = searching(model).search([FIRST])

    assert len(model.asked) == 2 + 3
    assert found.candidate.per_label == 0


@pytest.mark.parametrize(("seconds", "tries"), [(0.0, 1), (0.5, 1), (1.0, 1), (1.5, 2), (4.5, 5), (7.5, 8)])
def test_after_its_time_nothing_is_tried(seconds: float, tries: int) -> None:
    """But the first candidate, a second each; the best so far is taken."""
    model = Model(by_examples)
    search = searching(model, count=MANY, seconds=seconds)

    found = search.search([FIRST])

    assert len(model.asked) == len(search.tried) == tries
    assert found.candidate.per_label == 4


def test_time_may_end_between_the_best() -> None:
    """The one that was compared on more rows is taken, because the others' figures are of other rows."""
    model = Model(by_examples)
    search = searching(model, count=MANY, seconds=8.5)

    found = search.search([FIRST])

    assert [number for _, number in model.asked] == [64] * 8 + [240]
    assert (found.rows, found.candidate.per_label) == (240, 4)


def test_every_answer_is_remembered_for_the_account() -> None:
    """By candidate and text; what was asked again on more rows is there once."""
    model = Model(by_examples)
    search = searching(model, count=MANY)

    found = search.search([FIRST])

    spent = [one for one, _ in search.spent]
    assert spent.count(found.candidate.prompt) == 240
    assert len(spent) == 5 * 64 + 3 * 240


def test_rows_without_an_answer_are_left_out() -> None:
    """The engine failed on every fourth record."""
    model = Model(by_examples, silent=lambda _, number: number % 4 == 0)
    search = searching(model)

    found = search.search([FIRST])

    assert {one.rows for one in search.tried} == {48}
    assert found.candidate.per_label == 4


def test_a_model_that_never_answers_keeps_the_first_prompt() -> None:
    """Nothing tells one from the other, and the loss is the worst: that of one chance in a million."""
    model = Model(by_examples, silent=lambda _, __: True)
    search = searching(model)

    found = search.search([FIRST])

    assert (found.candidate.prompt, found.rows) == (prompt(FIRST, 4), 0)
    assert found.log_loss == pytest.approx(np.log(1e6))
    assert search.spent == {}


def test_a_prompt_without_answers_is_not_chosen() -> None:
    """Its prompt did not fit the context, say."""
    model = Model(by_examples, silent=lambda chosen, _: len(chosen.examples or ()) == 8)

    found = searching(model).search([FIRST])

    assert found.candidate.per_label == 2
    assert found.rows == 64


def test_a_prompt_is_judged_by_what_can_be_learned_from_it() -> None:
    """A model that always says the other label tells as much, turned round; one that guesses does not."""
    wrong = searching(Model(lambda _: 0), pool=[]).search([FIRST])
    right = searching(Model(lambda _: 20), pool=[]).search([FIRST])
    blind = searching(Model(lambda _: 10), pool=[]).search([FIRST])

    assert right.log_loss < 0.1
    assert wrong.log_loss < blind.log_loss
