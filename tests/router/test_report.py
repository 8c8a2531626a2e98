"""Tests of `router.report`."""

from __future__ import annotations

import base64
import copy
import hashlib
from html.parser import HTMLParser
from typing import Any

import pytest

from router.records import Status
from router.report import SHOWN_SAMPLES, render_report, with_names

HOSTILE = [
    "<script>alert(1)</script>",
    "</td></table><img src=x onerror=alert(1)>",
    """\" onmouseover="alert(1)' onfocus='alert(1)""",
    "</title><svg/onload=alert(1)>",
    "--></style><style>@import url(//evil.example);</style><!--",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;&#60;b&#62;",
]
"""What a browser, a spreadsheet or a template engine would run, if it were let."""

SUMMARY: dict[str, Any] = {
    "records": {"read": 1200, "annotated": 1198, "dead_lettered": 2, "duplicates": 3},
    "answered_by": {"small": 1000, "big": 198},
    "status": {"kept": 990, "escalated": 198, "routed": 7, "duplicate": 3, "over_budget": 0},
    "dead_letters": {"empty_text": 2},
    "cost_usd": {
        "total": "0.250000",
        "by_model": {"big": "0.240000", "small": "0.010000"},
        "calibration": "0.000000000004",
        "baseline_all_llm": "1.452121",
        "baseline_basis": "mean of 198 records that big was asked about",
        "saved_fraction": 0.8278,
    },
    "tokens": {"input": 50000, "cached": 40000, "output": 900},
    "gate": {"threshold": 0.8, "certified": False, "target": None, "delta": None},
    "seconds": 93.4,
    "records_per_second": 12.827,
    "calibration": [
        {
            "model": "small",
            "task": "sentiment",
            "method": "divided by the mean prediction",
            "records": 200,
            "mean": [0.25, 0.75],
        }
    ],
}


def sample(**changes: Any) -> dict[str, Any]:
    """A row of the review file."""
    said: dict[str, Any] = {
        "id": "r-1",
        "text": "It broke.",
        "task": "sentiment",
        "label": "negative",
        "model": "small",
        "confidence": 0.512345,
        "small_labels": None,
        "small_confidence": 0.512345,
        **changes,
    }
    labels = [said["label"]] if said["label"] else []
    return {
        "data": {
            "id": said["id"],
            "text": said["text"],
            "task": said["task"],
            "why": "disputed" if said["small_labels"] else "unsure",
            "status": "kept",
            "labels": labels,
            "model": said["model"],
            "confidence": said["confidence"],
            "small_labels": said["small_labels"] or labels,
            "small_model": "small",
            "small_confidence": said["small_confidence"],
        }
    }


class Page(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def changed(**parts: Any) -> dict[str, Any]:
    """The summary with some parts replaced; those of `cost_usd` one by one."""
    summary = copy.deepcopy(SUMMARY)
    summary["cost_usd"] |= parts.pop("cost_usd", {})
    return summary | parts


def named(name: str) -> dict[str, Any]:
    """A summary in which everything that a job file can name has this name."""
    return changed(
        name=name,
        answered_by={name: 1198},
        dead_letters={name: 2},
        cost_usd={"by_model": {name: "0.250000"}, "baseline_basis": name},
        calibration=[{**SUMMARY["calibration"][0], "model": name, "task": name, "labels": [name, "good"]}],
    )


def test_shows_the_job() -> None:
    """Records, cost, saving, time, models, statuses and reasons are on the page."""
    text = Page(render_report(SUMMARY, [sample()])).text

    assert "1,198 of 1,200 read; 2 dead letters" in text
    assert "$0.250000 < $0.000001 of it for calibration only" in text
    assert "83% saved estimate: $1.452121" in text
    assert "1 min 33 s 12.8 records/s" in text
    assert "small 1,000 0.010000 big 198 0.240000 All 1,198 0.250000" in text
    assert "escalated 198 a small model was below the threshold" in text
    assert "empty_text 2" in text
    assert "label 1 0.250, label 2 0.750 divided by the mean prediction" in text
    assert "mean of 198 records that big was asked about" in text
    assert "It is not certified." in text
    assert "r-1 It broke. sentiment negative 0.512 small kept" in text


def test_statuses_without_records_are_left_out() -> None:
    """A status that no record has takes no row."""
    assert "over_budget" not in Page(render_report(SUMMARY, [])).text


@pytest.mark.parametrize("status", list(Status))
def test_every_status_has_a_meaning(status: Status) -> None:
    """No status that a job can give makes the page fail."""
    page = render_report(changed(status={status.value: 5}), [])

    assert f"{status.value} 5 " in Page(page).text


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("field", ["id", "text", "task", "label", "model"])
def test_hostile_rows_are_text(field: str, hostile: str) -> None:
    """Whatever a row holds is shown as it is, and the page keeps the tags and attributes that it had."""
    plain = Page(render_report(SUMMARY, [sample()]))

    page = Page(render_report(SUMMARY, [sample(**{field: hostile})]))

    assert page.tags == plain.tags
    assert hostile in page.text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_are_text(hostile: str) -> None:
    """Nor can the names of job, models, tasks and labels become part of the page."""
    plain = Page(render_report(named("name"), []))

    page = Page(render_report(named(hostile), []))

    assert page.tags == plain.tags
    # Title and headline; the lead; models, means and reasons; the estimate.
    assert page.text.count(hostile) == 9


def test_fetches_nothing_and_runs_its_own_script_only() -> None:
    """The page has no links or images, and forbids them besides; its one script is named by its digest."""
    page = render_report(SUMMARY, [sample(text="https://example.org/x.js")])
    parsed = Page(page)

    tags = {tag for tag, _ in parsed.tags}
    assert tags.isdisjoint({"link", "img", "iframe", "a", "object"})
    names = {name for _, attributes in parsed.tags for name, _ in attributes}
    assert names.isdisjoint({"src", "href", "onclick", "onload", "onerror"})
    assert "url(" not in page
    assert page.count("<script") == 1
    script = page.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    [policy] = [
        attributes for tag, attributes in parsed.tags if tag == "meta" and attributes[0][0] == "http-equiv"
    ]
    assert dict(policy)["content"] == (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'"
    )


def test_no_baseline() -> None:
    """Where no estimate can be made, the page says so and why."""
    cost = {"baseline_all_llm": None, "saved_fraction": None, "baseline_basis": "no large model is named"}

    text = Page(render_report(changed(cost_usd=cost), [])).text

    assert "Against the large model only not known no estimate" in text
    assert "There is no estimate: no large model is named." in text


def test_dearer_than_the_baseline() -> None:
    """A job that cost more than the estimate does not count as a saving."""
    text = Page(render_report(changed(cost_usd={"saved_fraction": -1.4014}), [])).text

    assert "140% more" in text


def test_empty_job() -> None:
    """A job without records, samples, dead letters or calibration has a page too."""
    summary = changed(
        records={"read": 0, "annotated": 0, "dead_lettered": 0, "duplicates": 0},
        answered_by={},
        status={},
        dead_letters={},
        calibration=[],
        cost_usd={"by_model": {}},
    )

    text = Page(render_report(summary, [])).text

    assert "None: every record that was read was annotated." in text
    assert "None: predictions were used as the models gave them." in text
    assert "There are none: no answer of this job has a confidence, and none was contradicted." in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a" * 200, "a" * 200),
        ("a" * 201, "a" * 200 + "…"),
        ("a" * 30_000, "a" * 200 + "…"),
        ("two\n\n  lines", "two lines"),
    ],
)
def test_long_texts_are_cut(text: str, shown: str) -> None:
    """At most 200 characters of a text are shown, and a cut is marked; white space is joined."""
    assert f"r-1 {shown} sentiment" in Page(render_report(SUMMARY, [sample(text=text)])).text


@pytest.mark.parametrize("field", ["id", "task", "label", "model"])
def test_long_ids_and_names_are_cut(field: str) -> None:
    """A row whose id is a book must not make the page one."""
    plain = render_report(SUMMARY, [sample()])

    page = render_report(SUMMARY, [sample(**{field: "a" * 10_000_000})])

    assert len(page) < len(plain) + 1_000
    assert "a" * 200 + "…" in Page(page).text


def test_directions_stay_within_a_label() -> None:
    """A right-to-left override in one label cannot turn the next one around."""
    row = sample(label="\u202egood")
    row["data"]["labels"].append("bad")

    assert "<bdi>\u202egood</bdi>, <bdi>bad</bdi>" in render_report(SUMMARY, [row])


def test_many_samples() -> None:
    """The first 20 rows are shown, and the page says how many there are."""
    rows = [sample(id=f"row-{number}") for number in range(60)]

    text = Page(render_report(SUMMARY, rows)).text

    assert SHOWN_SAMPLES == 20
    assert "20 of 60 rows of review-*.jsonl" in text
    assert "row-19 " in text
    assert "row-20 " not in text


def test_disputed_answer() -> None:
    """It is shown with what the small model said, and how sure that was; an LLM's has no confidence."""
    row = sample(model="big", confidence=None, small_labels=["<b>positive"], small_confidence=0.93)

    text = Page(render_report(SUMMARY, [row])).text

    assert "It broke. sentiment negative – big kept <b>positive 0.930" in text


def test_no_label() -> None:
    """A multi_label answer without labels is told from a missing one."""
    assert "It broke. sentiment (none) 0.512" in Page(render_report(SUMMARY, [sample(label="")])).text


def test_with_names() -> None:
    """The manifest gives the job's name and the labels of the calibrated tasks."""
    labels = [{"name": "negative"}, {"name": "positive"}]
    manifest = {"job": {"name": "reviews", "tasks": [{"name": "sentiment", "labels": labels}]}}

    text = Page(render_report(with_names(SUMMARY, manifest), [])).text

    assert "reviews: Tekizai report" in text
    assert "negative 0.250, positive 0.750 divided by" in text


def test_without_a_manifest() -> None:
    """An output whose manifest is gone still has its page."""
    assert "label 1 0.250" in Page(render_report(with_names(SUMMARY, {}), [])).text
