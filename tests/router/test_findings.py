"""What the router finds in texts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from router.complexity import prior_complexity
from router.findings import Findings, Restricted, Router, Wanted, task_classifier
from router.text_view import view_texts
from router.zero_shot import ZeroShot
from tests.router.route_examples import encode, head


def leaning(*labels: str, to: str, odds: float = 3.0) -> object:
    """A head that always finds one label, with these odds against each other one."""
    plain = head(*labels)
    intercept = np.array([np.log(odds) if label == to else 0.0 for label in labels], np.float32)
    return dataclasses.replace(plain, intercept=intercept)


def router(**parts: object) -> Router:
    """Heads for tasks, domains and complexity."""
    heads = {
        "task": leaning("code", "math", to="code"),
        "domain": leaning("law", "sports", to="law"),
        "complexity": leaning("easy", "hard", to="hard"),
        "encode": encode,
    }
    return Router(**{**heads, **parts})  # type: ignore[arg-type]


def test_all_that_is_wanted_is_found() -> None:
    """Odds of 3 to 1 are a probability of .75."""
    [found] = router().find(["This is an ordinary English sentence."], Wanted())

    assert found == Findings("en", "code", 0.75, "law", 0.75, 0.75)


def test_what_is_not_wanted_is_not_found() -> None:
    """And costs no encoding."""

    def never(texts: object) -> object:
        raise AssertionError

    [found] = router(encode=never).find(["Guten Tag, wie geht es Ihnen?"], Wanted(False, False, False))

    assert found == Findings("de")


def test_without_a_head_the_prior_stands_in_for_complexity() -> None:
    """And nothing for the others: a missing answer is no default answer."""

    def never(texts: object) -> object:
        raise AssertionError

    bare = router(task=None, domain=None, complexity=None, encode=never)
    [found] = bare.find(["Is this good?"], Wanted())

    assert (found.task, found.domain) == (None, None)
    assert found.complexity == pytest.approx(prior_complexity("Is this good?", found.language), abs=1e-4)


def test_a_domain_that_is_not_probable_is_none() -> None:
    """Five domains alike: .2 each. The probability is told all the same."""
    [found] = router(domain=head("a", "b", "c", "d", "e")).find(["text"], Wanted())

    assert (found.domain, found.domain_probability) == (None, 0.2)


@pytest.mark.parametrize("text", ["", "   ", "?!…", "👍"])
def test_a_text_that_says_nothing_has_no_task_and_no_domain(text: str) -> None:
    """Whatever the heads lean to."""
    [found] = router().find([text], Wanted())

    assert (found.language, found.task, found.domain) == ("und", None, None)


def test_texts_are_found_in_their_order() -> None:
    """None for none."""
    assert router().find([], Wanted()) == []
    assert [one.language for one in router().find(["Das ist ein Satz.", "This is one."], Wanted())] == [
        "de",
        "en",
    ]


def test_a_jobs_tasks_are_told_apart_by_the_head_that_knows_them_all() -> None:
    """Only among those, whatever else is more probable."""
    whole = leaning("code", "math", "translation", to="code")
    described = ZeroShot.of({"math": "numbers", "translation": "languages"}, encode)

    chosen = task_classifier(whole, ["math", "translation"], described)  # type: ignore[arg-type]
    assert isinstance(chosen, Restricted)
    assert chosen.probabilities(view_texts(["x"], encode))[0] == pytest.approx([0.5, 0.5])
    assert task_classifier(whole, ["math", "billing"], described) is described  # type: ignore[arg-type]


def test_zero_shot_finds_the_nearest_description() -> None:
    """A text that is a description itself is nearest to it; probabilities add up to 1."""
    of = ZeroShot.of({"law": None, "sports": None}, encode)
    found = of.probabilities(view_texts(["law: law", "law", "sports"], encode))

    assert of.labels == ("law", "sports")
    assert found.sum(axis=1) == pytest.approx(np.ones(3))
    assert of.labels[int(found[2].argmax())] == "sports"
    assert of.probabilities([]).shape == (0, 2)


def test_the_prior_rises_with_length_turns_and_other_languages() -> None:
    """By hand: a short English text has log-odds of -1.4, which is .1978."""
    assert prior_complexity("Good.", "en") == pytest.approx(0.1978, abs=1e-4)
    assert prior_complexity("Gut.", "de") > prior_complexity("Good.", "en")
    assert prior_complexity("Good, but not great.", "en") > prior_complexity("Good and great.", "en")
    assert prior_complexity("word " * 500, "en") > prior_complexity("word " * 50, "en")
    assert 0.0 < prior_complexity("but not " * 100_000, "und") < 1.0
