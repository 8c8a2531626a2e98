"""Tests of `router.evaluation_page`."""

from __future__ import annotations

import re
from typing import Any

import pytest

from router.evaluation import quality, write_labels
from router.evaluation_page import (
    SHOWN_ANSWERS,
    SHOWN_LABELS,
    SHOWN_PARTS,
    confusion_matrix,
    render_evaluation,
)
from tests.router.test_report import HOSTILE, Page

SAID = ["bad", "bad", "bad", "good", "good"]
GOLD = ["bad", "bad", "good", "good", "bad"]
SURE = [0.9, 0.8, 0.7, 0.9, 0.6]
GATE = {"threshold": 0.8, "certified": False, "target": None, "delta": None}
AUDIT = {"records": 1200, "agreed": 1080, "rate": 0.9, "low": 0.8816, "high": 0.9164}


def task(said: list[str], gold: list[str], sure: list[float | None], **by: Any) -> dict[str, Any]:
    """A single_label task; the parts are those in `by`, or the whole."""
    whole = quality(said, gold, sure)
    parts = {"language": {"en": whole}, "model": {"small": whole}, "status": {"kept": whole}} | by
    return {"kind": "single_label", **whole, "by": parts}


def evaluation(**changes: Any) -> dict[str, Any]:
    """What `evaluate_output` finds in an output with five records and one task."""
    return {
        "output": "out",
        "name": "reviews",
        "records": {"annotated": 1307, "with_gold": 5},
        "tasks": {"mood": task(SAID, GOLD, [*SURE])},
        "gate": GATE,
        "audit": None,
        **changes,
    }


def text_of(**changes: Any) -> str:
    """The words of the page."""
    return Page(render_evaluation(evaluation(**changes))).text


def test_shows_how_good_the_labels_are() -> None:
    """Of bad, 2 of 3 said are right and 2 of 3 true are found; of good, 1 of 2 and 1 of 2."""
    text = text_of()

    assert "reviews: Tekizai evaluation Records with a true label 5 of 1,307 annotated" in text
    assert "Accuracy, mood 0.600 95 % interval 0.147 to 0.947" in text
    assert "accuracy 0.600 (95 % interval 0.147 to 0.947), macro F1 0.583, calibration error" in text
    assert "bad 3 3 0.667 0.094 to 0.992 0.667 0.094 to 0.992 0.667" in text
    assert "good 2 2 0.500 0.013 to 0.987 0.500 0.013 to 0.987 0.500" in text
    assert "True bad good bad 2 1 good 1 1 A row for what is true" in text
    assert "5 answers carry a confidence." in text


def test_parts_have_a_line_and_all_figures() -> None:
    """Two languages: a line each, and a matrix and two charts each, as the task has."""
    languages = {"en": quality(SAID[:4], GOLD[:4], SURE[:4]), "ja": quality(SAID[4:], GOLD[4:], [None])}

    page = render_evaluation(evaluation(tasks={"mood": task(SAID, GOLD, [*SURE], language=languages)}))

    text = Page(page).text
    assert "By language" in text
    assert "en 4 3 0.750 0.194 to 0.994 0.733" in text
    assert "ja 1 0 0.000 0.000 to 0.975 0.000 –" in text
    # The task, en, one model and one status; ja has no confidence.
    assert page.count("Reliability diagram") == page.count("Risk-coverage curve") == 4
    assert page.count('<table class="matrix">') == 5
    assert "No answer carries a confidence" in text


def test_points_are_where_they_belong() -> None:
    """The surest two of five are right: .4 kept, none wrong; at 300 * .4, and on the ground."""
    page = render_evaluation(evaluation())

    assert 'd="M120,220L' in page
    assert "threshold 0.900: 40.0% kept, 100.0% of them right" in page


@pytest.mark.parametrize(
    ("audit", "said"),
    [
        (None, "not measured: the job had no audit"),
        (
            {"records": 0, "agreed": 0, "rate": None, "low": 0.0, "high": 1.0},
            "not measured: no record was audited",
        ),
        (
            AUDIT,
            "0.900 (95 % interval 0.882 to 0.916): the small model said the same of 1,080 of 1,200",
        ),
    ],
)
def test_agreement_with_the_oracle(audit: dict[str, Any] | None, said: str) -> None:
    """What an audit found, or that there was none."""
    assert f"Agreement with the oracle {said}" in text_of(audit=audit)


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (GATE, "threshold 0.8, not certified"),
        (
            {"threshold": 0.812345, "certified": True, "target": 0.9, "delta": 0.05},
            "threshold 0.8123, certified, target 0.9, delta 0.05",
        ),
        (
            {"threshold": None, "certified": False, "target": 0.9, "delta": 0.05},
            "no small model's answer is trusted, not certified, target 0.9, delta 0.05",
        ),
        (
            {"threshold": None, "slices": {"en": 0.7, "ja": None}, "certified": True, "target": 0.9},
            "a threshold for each of 2 slices, certified, target 0.9",
        ),
        (None, "not stated in summary.json"),
    ],
)
def test_gate(gate: dict[str, Any] | None, said: str) -> None:
    """The threshold and what is promised of it, as far as the summary states them."""
    assert f"Gate {said} True labels are" in text_of(gate=gate)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_are_text(hostile: str) -> None:
    """Names of job, task, labels, languages and models are shown as they are, and change no tag."""

    def named(name: str) -> str:
        whole = quality([name, "~"], [name, name], [0.9, 0.8])
        parts = {"language": {name: whole}, "model": {name: whole}, "status": {name: whole}}
        found = {"kind": "single_label", **whole, "by": parts}
        return render_evaluation(evaluation(name=name, tasks={name: found}))

    plain, page = Page(named("name")), Page(named(hostile))

    assert page.tags == plain.tags
    # Of each of four: a label's line, a row and a column. Job and task twice each; each part twice.
    assert page.text.count(hostile) == 4 * 3 + 2 * 2 + 3 * 2


def test_hostile_sets_of_labels_are_text() -> None:
    """A set is no way around it."""
    hostile = "<img src=x>"
    whole = quality([write_labels([hostile, "b"])], [write_labels([])], [0.9], multi=True)
    found = {"kind": "multi_label", **whole, "by": {}}

    page = render_evaluation(evaluation(tasks={"topics": found}))

    assert hostile not in page
    assert "&lt;img src=x&gt;, b" in page


def test_fetches_and_runs_nothing() -> None:
    """The page has no links or images and no script but its own, and forbids them besides."""
    page = render_evaluation(evaluation())
    parsed = Page(page)

    assert {tag for tag, _ in parsed.tags}.isdisjoint({"link", "img", "iframe", "a", "object"})
    assert page.count("<script") == 1
    names = {name for _, attributes in parsed.tags for name, _ in attributes}
    assert names.isdisjoint({"src", "href", "onclick", "onload", "onerror"})
    assert "url(" not in page
    assert "default-src 'none'" in page


def test_several_labels() -> None:
    """A label counts by itself; what is called what, as a whole. An empty set is named."""
    said = [write_labels(one) for one in (["price", "sound"], ["price"], [])]
    gold = [write_labels(one) for one in (["sound", "price"], ["price", "sound"], [])]
    found = {"kind": "multi_label", **quality(said, gold, [0.9, 0.8, 0.7], multi=True), "by": {}}

    text = text_of(tasks={"topics": found})

    assert "An answer is right where its set of labels is exactly the true one." in text
    assert "price 2 2 1.000" in text
    assert "sound 2 1 1.000 0.025 to 1.000 0.500 0.013 to 0.987 0.667" in text
    assert "True price, sound price (none) price, sound 1 1 price (none) 1 A row" in text
    assert "each set of labels as a whole" in text


def test_an_empty_output() -> None:
    """No tasks, or one without records: a page that says so."""
    assert "Records with a true label 0 of 0 annotated" in text_of(
        tasks={}, records={"annotated": 0, "with_gold": 0}
    )
    text = text_of(tasks={"mood": task([], [], [], language={}, model={}, status={})}, name=None)
    assert text.startswith("Tekizai evaluation")
    assert "Accuracy, mood – 95 % interval 0.000 to 1.000" in text
    assert "Task mood no record has a true label" in text
    assert "No answer carries a confidence" in text


def test_long_names_are_cut() -> None:
    """A gold column that holds a book must not make the page one."""
    page = render_evaluation(evaluation(tasks={"mood": task(["x"], ["a" * 10_000_000], [0.5])}))

    assert len(page) < 80_000
    assert "a" * 200 + "…" in page


def test_many_labels_are_the_most_frequent_ones() -> None:
    """The rarest of 103 that are true or said are left out, and counted; the order stays."""
    names = [f"label-{number:03d}" for number in range(100)]
    said = [*names, *names, "rare-1", "rare-2", "rare-3"]

    page = Page(render_evaluation(evaluation(tasks={"t": task(said, said, [None] * 203)}))).text

    assert SHOWN_LABELS == 100
    table = page.partition("Labels Label")[2].partition("What was called what")[0]
    assert re.findall(r"label-\d+", table) == names
    assert "rare" not in table
    assert "The most frequent ones; 3 more are in the JSON." in table


def test_the_largest_parts_have_their_figures() -> None:
    """Of 13 languages all have a line, and the smallest one no more than that."""
    one, two = quality(["a"], ["a"], [0.9]), quality(["a"] * 2, ["a"] * 2, [0.9] * 2)
    languages = {f"l{number:02d}": one if number == 4 else two for number in range(13)}

    page = render_evaluation(evaluation(tasks={"t": task(["a"], ["a"], [0.9], language=languages)}))

    assert SHOWN_PARTS == 12
    assert Page(page).text.count("l04 ") == 1
    assert "<bdi>l04</bdi>" not in page
    assert page.count("<bdi>l") == 12
    assert "Tables and charts of the 12 largest are here" in page


def test_shades_are_shares_of_the_row() -> None:
    """3 of 4 right is 3/4 of the darkest shade, which is .5."""
    [bad, good] = confusion_matrix({"bad": {"bad": 3, "good": 1}, "good": {"good": 2}}, "single_label")[
        "rows"
    ]

    assert bad["cells"] == [
        {"count": 3, "shade": "0.375", "side": "right"},
        {"count": 1, "shade": "0.125", "side": "wrong"},
    ]
    assert [cell["shade"] for cell in good["cells"]] == ["0.000", "0.500"]


def test_a_label_that_is_never_true_has_an_empty_row() -> None:
    """Nothing is divided by nothing."""
    [_, c] = confusion_matrix({"a": {"c": 1}}, "single_label")["rows"]

    assert [(cell["count"], cell["shade"]) for cell in c["cells"]] == [(0, "0"), (0, "0")]


def test_a_large_matrix_shows_what_is_mixed_up_most() -> None:
    """Of 23 labels the three that are always right are counted together; no record is lost."""
    mixed = {f"m{number:02d}": {f"m{(number + 1) % 20:02d}": 2} for number in range(20)}
    right = {name: {name: 5} for name in ("a", "b", "z")}

    matrix = confusion_matrix({**right, **mixed}, "single_label")

    assert SHOWN_ANSWERS == 20
    assert matrix["columns"] == [*mixed, None]
    assert matrix["folded"]
    assert matrix["rows"][-1]["cells"][-1] == {"count": 15, "shade": "0.500", "side": "mixed"}
    assert sum(cell["count"] for row in matrix["rows"] for cell in row["cells"]) == 55
