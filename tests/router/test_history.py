"""Several runs side by side."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from router.history import Run, history
from router.history_page import SHOWN_LABELS, render_history
from tests.router.test_report import HOSTILE, SUMMARY, Page

MIDNIGHT = datetime(2026, 9, 1, tzinfo=timezone.utc)
EVEN = {"records": 300, "quantiles": [(number + 0.5) / 300 for number in range(300)]}


def run(night: int = 0, **changes: Any) -> Run:
    """A run of 1,000 records that cost 2 dollars, 100 of them escalated, 10 dead letters."""
    said = {"usd": "2.000000", "escalated": 100, "name": "nightly", "job": {}, "confidence": {}, "labels": {}}
    said |= changes
    summary = {
        **SUMMARY,
        "records": {"read": 1010, "annotated": 1000, "dead_lettered": said.get("dead", 10), "duplicates": 0},
        "status": {"kept": 1000 - said["escalated"], "escalated": said["escalated"]},
        "cost_usd": {**SUMMARY["cost_usd"], "total": said["usd"]},
        **{key: said[key] for key in ("audit", "gold", "gate") if key in said},
    }
    manifest = {"job": {"name": said["name"], "input": {"path": f"dt={night}"}, **said["job"]}}
    finished = MIDNIGHT + timedelta(days=night)
    return Run(f"out/{night}", finished, summary, manifest, said["confidence"], said["labels"])


def runs_of(*runs: Run) -> list[dict[str, Any]]:
    """The runs of the only job."""
    [job] = history(runs)["jobs"]
    found: list[dict[str, Any]] = job["runs"]
    return found


def test_figures_of_a_run() -> None:
    """2 dollars for 1,000 records; 100 of 1,000 escalated; 10 of 1,010 are dead letters."""
    [found] = runs_of(run(usd="2.500000"))

    assert found["output"] == "out/0"
    assert found["finished"] == "2026-09-01T00:00:00+00:00"
    assert (found["cost_usd"], found["usd_per_1000"]) == ("2.500000", "2.500000")
    assert (found["escalated"], found["dead_lettered"]) == (0.1, 10 / 1010)
    assert (found["agreement"], found["drift"]) == ({}, {"first": {}, "previous": {}})
    assert (found["job_changed"], found["stands_out"]) == (False, [])


def test_runs_are_ordered_by_time_and_job() -> None:
    """Whatever the order of the arguments; jobs are not compared with each other."""
    found = history([run(2), run(1, name="weekly", usd="900"), run(0), run(1)])

    assert [job["name"] for job in found["jobs"]] == ["nightly", "weekly"]
    assert [one["output"] for one in found["jobs"][0]["runs"]] == ["out/0", "out/1", "out/2"]


def test_a_run_without_records() -> None:
    """It has no cost per record, and no share."""
    empty = run()
    records = {"read": 0, "annotated": 0, "dead_lettered": 0, "duplicates": 0}
    [found] = runs_of(Run("out", empty.finished, {**empty.summary, "records": records}, empty.manifest))

    assert (found["usd_per_1000"], found["escalated"], found["dead_lettered"]) == (None, None, None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"usd": "4.000000"}, "cost per 1,000 records"),
        ({"escalated": 300}, "escalated share"),
        ({"dead": 60}, "share of dead letters"),
        ({"usd": "2.100000"}, None),
    ],
)
def test_a_run_stands_out_by_a_figure(changes: dict[str, Any], said: str | None) -> None:
    """Twice the cost does, with the spread of the others nothing; 5 % more does not: a tenth is needed."""
    found = runs_of(*(run(night) for night in range(5)), run(5, **changes))

    assert [one["stands_out"] for one in found[:5]] == [[]] * 5
    assert found[5]["stands_out"] == ([] if said is None else [said])


def test_what_always_varies_does_not_stand_out() -> None:
    """Costs 1, 2, 3, 4, 5: the middle is 3, the spread 1.4826, and 5 is less than 3.5 spreads away."""
    found = runs_of(*(run(night, usd=str(night + 1)) for night in range(5)))

    assert all(not one["stands_out"] for one in found)


def test_four_runs_are_too_few_to_stand_out() -> None:
    """Nobody knows yet what is usual."""
    found = runs_of(*(run(night) for night in range(3)), run(3, usd="100"))

    assert found[3]["stands_out"] == []


def test_agreement_by_where_it_is_known_from() -> None:
    """Audit: 95 of 100. Certified: 180 of 200 kept. Gold: 700 of 1,000."""
    gate = {"threshold": 0.8, "certified": True, "target": 0.9, "delta": 0.05, "kept": 200, "disagreed": 20}
    audit = {"records": 100, "agreed": 95, "rate": 0.95, "low": 0.8, "high": 0.99}
    gold = {"records": 1000, "right": 700, "rate": 0.7, "low": 0.6, "high": 0.8}
    [found] = runs_of(run(audit=audit, gate=gate, gold=gold))

    assert {name: one["rate"] for name, one in found["agreement"].items()} == {
        "audit": 0.95,
        "certified": 0.9,
        "gold": 0.7,
    }
    # Clopper and Pearson: 95 of 100.
    assert found["agreement"]["audit"]["low"] == pytest.approx(0.8872, abs=1e-4)
    assert found["agreement"]["audit"]["high"] == pytest.approx(0.9836, abs=1e-4)


def test_a_calibration_of_another_input_says_nothing_of_this_one() -> None:
    """Its certifying rows are not this run's."""
    gate = {"threshold": 0.8, "certified": False, "target": 0.9, "delta": 0.05, "kept": 200, "disagreed": 20}
    [found] = runs_of(run(gate=gate, job={"calibration": {"artefact": "out/a/state/calibration"}}))

    assert found["agreement"] == {}
    assert found["stands_out"] == ["gate not certified"]


def test_slices_are_taken_together() -> None:
    """90 of 100 and 50 of 50 kept: 140 of 150."""
    slices = {"en": {"kept": 100, "disagreed": 10}, "ja": {"kept": 50, "disagreed": 0}}
    gate = {"threshold": None, "certified": True, "target": 0.9, "delta": 0.05, "slices": slices}
    [found] = runs_of(run(gate=gate))

    assert (found["agreement"]["certified"]["agreed"], found["agreement"]["certified"]["records"]) == (
        140,
        150,
    )


def audited(night: int, agreed: int) -> Run:
    """A run of which 100 kept answers were audited."""
    return run(night, audit={"records": 100, "agreed": agreed, "rate": agreed / 100, "low": 0.0, "high": 1.0})


def test_agreement_stands_out() -> None:
    """95 of 100 in the middle: 80 surely is less, 90 may be the same (99 %: .798 to .961)."""
    found = runs_of(*(audited(night, 95) for night in range(4)), audited(4, 90), audited(5, 80))

    assert [one["stands_out"] for one in found] == [[], [], [], [], [], ["agreement (audit)"]]


def test_confidences_that_moved() -> None:
    """Lower by .2 than in the first run: the distance is .2. The day after nothing moves any more."""
    lower = {"records": 300, "quantiles": [value - 0.2 for value in EVEN["quantiles"]]}
    found = runs_of(
        run(0, confidence={"mood": EVEN}),
        run(1, confidence={"mood": lower, "new task": EVEN}),
        run(2, confidence={"mood": lower}),
    )

    assert found[1]["drift"]["previous"]["mood"]["confidence"]["distance"] == pytest.approx(0.2, abs=0.005)
    assert [one["stands_out"] for one in found] == [[], ["confidences of mood"], []]
    assert found[2]["drift"]["first"]["mood"]["confidence"]["drifted"] is True
    assert found[2]["drift"]["previous"]["mood"]["confidence"]["distance"] == 0.0


def test_many_records_do_not_make_a_small_move_a_large_one() -> None:
    """A million records would show a shift of .01 clearly; nobody needs to know."""
    before = {**EVEN, "records": 10**6}
    after = {"records": 10**6, "quantiles": [value + 0.01 for value in before["quantiles"]]}
    found = runs_of(run(0, confidence={"mood": before}), run(1, confidence={"mood": after}))

    moved = found[1]["drift"]["previous"]["mood"]["confidence"]
    assert moved["p_value"] < 1e-6
    assert moved["drifted"] is False


@pytest.mark.parametrize(
    ("good", "bad", "distance", "drifted"),
    [(500, 500, 0.0, False), (600, 400, 0.1, True), (540, 460, 0.04, False), (6, 4, 0.1, False)],
)
def test_label_shares_that_moved(good: int, bad: int, distance: float, drifted: bool) -> None:
    """From half and half: .1 of the labels of 1,000 moved, which chance does not do; of 10 it does."""
    half = {"good": {"records": 500}, "bad": {"records": 500}}
    now = {"good": {"records": good}, "bad": {"records": bad}}

    found = runs_of(run(0, labels={"mood": half}), run(1, labels={"mood": now}))

    moved = found[1]["drift"]["previous"]["mood"]["labels"]
    assert moved["distance"] == pytest.approx(distance)
    assert moved["drifted"] is drifted


def test_a_label_that_is_new() -> None:
    """All of it moved there; the only label of both runs cannot move."""
    one, two = {"mood": {"good": {"records": 50}}}, {"mood": {"bad": {"records": 50}}}

    found = runs_of(run(0, labels=one), run(1, labels=two), run(2, labels=two))

    assert found[1]["drift"]["previous"]["mood"]["labels"]["distance"] == 1.0
    assert found[2]["drift"]["previous"]["mood"]["labels"] == {
        "distance": 0.0,
        "p_value": 1.0,
        "drifted": False,
    }


def test_a_changed_job_is_told() -> None:
    """Another input of the same shape is no change, another gate is."""
    found = runs_of(run(0), run(1), run(2, job={"routing": {"gate": {"min_confidence": 0.9}}}))

    assert [one["job_changed"] for one in found] == [False, False, True]


def page_of(*runs: Run, left_out: tuple[str, ...] = ()) -> str:
    """The page about some runs."""
    return render_history(history(runs), left_out)


def test_the_page_of_one_job() -> None:
    """Its name, what all runs cost together, and what stands out."""
    text = Page(page_of(*(run(night) for night in range(5)), run(5, usd="4.000000"))).text

    assert text.startswith("nightly: Tekizai history")
    assert (
        "6 runs, 2026-09-01 00:00 UTC to 2026-09-06 00:00 UTC: 6,000 records annotated for $14.000000" in text
    )
    assert "1 stands out." in text
    assert "2026-09-06 00:00 UTC: cost per 1,000 records" in text
    assert "How good the labels are is not known of any of these runs" in text


def test_different_jobs_are_told_apart() -> None:
    """The page says so first."""
    text = Page(page_of(run(0), run(1, name="weekly"))).text

    assert "These outputs are of 2 different jobs ( nightly , weekly )." in text


def test_charts_of_what_is_known() -> None:
    """Of two runs: cost, cost per 1,000, escalated and dead letters; agreement where there was an audit."""
    plain = page_of(run(0), run(1))
    more = page_of(audited(0, 95), audited(1, 96))

    assert plain.count('class="plot"') == 4
    assert more.count('class="plot"') == 5
    assert "2026-09-02 00:00 UTC: 96.0%" in more
    assert page_of(run(0)).count('class="plot"') == 0


def test_what_is_left_out_is_told() -> None:
    """An unfinished output is no run."""
    assert (
        "Left out, because they are not finished: out/x , out/y ."
        in Page(page_of(run(), left_out=("out/x", "out/y"))).text
    )


def test_the_most_frequent_labels_have_a_column() -> None:
    """Nine labels: the rarest is only counted."""
    labels = {f"label {number}": {"records": 100 - number} for number in range(SHOWN_LABELS + 1)}

    text = Page(page_of(run(labels={"mood": labels}))).text

    assert "label 7" in text
    assert "label 8" not in text
    assert "The most frequent ones; 1 more are in the JSON." in text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_are_text(hostile: str) -> None:
    """Names of jobs, tasks and labels, and addresses, change nothing of the page but its words."""

    def page(name: str) -> Page:
        labels = {name: {name: {"records": 50}, "other": {"records": 50}}}
        moved = {name: {name: {"records": 90}, "other": {"records": 10}}}
        confidence = {name: EVEN}
        one = run(0, name=name, labels=labels, confidence=confidence)
        two = run(1, name=name, labels=moved, confidence=confidence)
        return Page(page_of(one, two, run(2, name="\uffee last"), left_out=(name,)))

    found = page(hostile)

    assert found.tags == page("name").tags
    assert hostile in found.text
    assert f"label shares of {hostile}" in found.text
