"""The parts of the report that need more than the summary: plan, tables, certifying rows, manifest."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from router.job_loading import parse_job
from router.report import render_report, with_names
from router.report_money import planned
from router.report_repeat import LONGEST_JOB, repeating
from tests.router.test_report import HOSTILE, SUMMARY, Page, changed

PLAN = {
    "made": "2026-09-01T02:00:00+00:00",
    "usd": {"expected": "0.2000", "low": "0.1000", "high": "0.3000"},
    "seconds": {"expected": 60.0, "low": 50.0, "high": 90.0},
    "escalated": {"expected": 0.2, "low": 0.17, "high": 0.25},
    "actual": {"usd": "0.250000", "seconds": 93.4, "escalated": 0.165},
}


def test_what_was_planned_beside_what_came() -> None:
    """0.25 dollars lie within, 93.4 seconds above, and 198 of 1,198 (16.5 %) below."""
    text = Page(render_report(changed(plan=PLAN), [])).text

    assert "Cost $0.250000 $0.200000 yes $0.100000 to $0.300000" in text
    assert "Time 1 min 33 s 1 min 0 s no, above 50.0 s to 1 min 30 s" in text
    assert "Asked of the large model 16.5% 20.0% no, below 17.0% to 25.0%" in text
    assert "The plan is of 2026-09-01 02:00 UTC." in text


def test_the_line_of_a_plan() -> None:
    """In percent of the longest: 0.1 to 0.3 of 0.3, and 0.25 among them."""
    line = planned(changed(plan=PLAN))[0]

    assert (line["low_at"], line["actual_at"], line["high_at"]) == ("33.33", "83.33", "100.00")


@pytest.mark.parametrize("plan", [None, {}, {"made": "2026-09-01T02:00:00+00:00"}])
def test_without_a_plan_nothing_is_said_of_one(plan: dict[str, Any] | None) -> None:
    """Nor where it has no figures."""
    assert "Planned" not in render_report(changed(plan=plan), [])


def test_a_plan_of_nothing() -> None:
    """A job that was to cost nothing, and did."""
    free = {"usd": {"expected": "0", "low": "0", "high": "0"}, "actual": {"usd": "0.000000"}}

    [line] = planned(changed(plan=free))

    assert (line["within"], line["actual_at"]) == (True, "0.00")


def part(records: int, right: int | None = None) -> dict[str, Any]:
    """A line of a table by language or the like."""
    known = {} if right is None else {"right": right, "with_gold": records}
    return {"records": records, "escalated": records // 4, "usd": "0.100000", "seconds": 5.0, **known}


def tables(name: str = "small", **changes: Any) -> dict[str, Any]:
    """Tables of 1,000 records, in which everything that can be foreign has this name."""
    by: dict[str, Any] = {key: {} for key in ("task", "language", "domain", "rule", "model", "status")}
    call = {"calls": 1000, "input_tokens": 9, "cached_tokens": 8, "output_tokens": 7, "seconds": 1.0}
    call |= {"usd": "0.100000", "p50": 0.25, "p95": 1.5}
    flow = {"rule": None, "chosen": name, "model": name, "status": "kept", "records": 1000}
    return {
        "by": {
            **by,
            "language": {"en": part(800), "ja": part(200)},
            "domain": {name: part(900), "": part(100)},
        },
        "labels": {name: {name: {"records": 600}, "other": {"records": 400}}},
        "flow": [flow],
        "seconds_per_record": {"p50": 0.5, "p95": 2.0, "by_model": {name: call}},
        "confidence": {name: {"records": 10, "histogram": [0] * 19 + [10], "quantiles": [0.99] * 10}},
        "spending": [{"records": 500, "usd": "0.200000"}, {"records": 1000, "usd": "0.250000"}],
        "gold": None,
        **changes,
    }


GOLD = {
    "records": 400,
    "right": 300,
    "rate": 0.75,
    "low": 0.7046,
    "high": 0.7917,
    "sure": 400,
    "calibration_error": 0.0321,
    "bins": [{"records": 400, "confidence": 0.8, "accuracy": 0.75}],
    "risk_coverage": [{"threshold": 0.9, "kept": 0.5, "accuracy": 0.9}],
}


def test_quality_is_not_known() -> None:
    """Without true labels, promise and audit, the page says so before anything else about quality."""
    text = Page(render_report(SUMMARY, [], tables=tables())).text

    assert "How many of the annotations are right is not known : the job has no true labels" in text
    assert "Nothing here measures quality" in text
    assert "Which languages, domains or labels are better or worse is not known without true labels" in text
    assert "95 % interval" not in text


def test_quality_by_true_labels() -> None:
    """Of 1,198 annotations 400 have one; each part has its own interval: 150 of 200 is .684 to .808."""
    by = tables()["by"] | {"language": {"en": part(200, 150), "ja": part(998)}}

    page = render_report(SUMMARY, [], tables=tables(gold=GOLD, by=by))

    text = Page(page).text
    assert "Of 400 annotations with a true label, 300 are right: 75.0%" in text
    assert "70.5% to 79.2%" in text
    assert "Of the other 798 it is not known." in text
    assert "en 200 75.0% 68.4% to 80.8% 200 25.0% $0.100000" in text
    assert "ja 998 not known 0 24.9% $0.100000" in text
    assert "Reliability diagram" in page
    assert "Risk-coverage curve" in page
    assert "Nothing here measures quality" not in text


def test_the_rows_may_be_gone() -> None:
    """The summary's figures are there all the same."""
    text = Page(render_report(SUMMARY, [])).text

    assert "The rows (annotations-*) are not there" in text
    assert "1,198 of 1,200 records were annotated, 1,000 by small and 198 by big , for $0.250000" in text


def certified() -> dict[str, Any]:
    """A summary with a certified gate."""
    bins = [{"records": 100, "confidence": 0.9, "agreement": 0.95}]
    held = {
        "rows": 100,
        "agreement": 0.95,
        "low": 0.8872,
        "high": 0.9836,
        "calibration_error": 0.05,
        "bins": bins,
    }
    model = {
        "model": "small",
        "task": "mood",
        "examples": 4,
        "head": None,
        "chosen": "best",
        "held_back": held,
    }
    gate = {"threshold": 0.6, "certified": True, "target": 0.9, "delta": 0.05, "oracle": "llm", "per": None}
    gate |= {"slices": {}, "models": [model], "note": "", "rows": 100, "kept": 80, "disagreed": 2}
    gate["parts"] = {"language": {"en": {"kept": 60, "agreed": 60}, "<b>ja": {"kept": 20, "agreed": 18}}}
    return changed(gate=gate)


def test_quality_by_the_certifying_rows() -> None:
    """Agreement with its interval, both curves, and what they do not tell."""
    certifying = {"confidence": [0.9, 0.7, 0.5, -1.0], "agrees": [True, True, False, False]}

    page = render_report(certified(), [], tables=tables(), certifying=certifying)

    text = Page(page).text
    assert (
        "Certified: with a probability of at least 0.95, at least 90 % of these annotations are what" in text
    )
    assert "small mood 0.950 0.887 to 0.984 0.050 best" in text
    assert "What a threshold would keep of the 3 certifying records that small models answered" in text
    assert "threshold 0.500: 100.0% kept, 66.7% of them right" in page
    assert "confidence 0.900: 95 of 100 right" in page
    assert "Agreement of kept answers by language" in text
    assert "en 60 1.000 0.940 to 1.000" in text
    assert "<b>ja 20 0.900 0.683 to 0.988" in text
    assert "what the certifying records show of that stands above" in text
    assert "Nothing here measures quality" not in text


def test_a_confidence_in_agreement_is_not_one_in_truth() -> None:
    """Where the oracle is a model, the chart against true labels says what its gap may mean."""
    text = Page(render_report(certified(), [], tables=tables(gold=GOLD))).text

    assert "either it is too high, or the large model is wrong too" in text
    assert "too sure of themselves" not in text


def test_cost_and_time_of_models() -> None:
    """Calls, middle and 95th second, and tokens; the last line is of records."""
    text = Page(render_report(SUMMARY, [], tables=tables())).text

    assert "small 1,000 0.010000 1,000 0.250 1.500 9 7" in text
    assert "All 1,198 0.250000 0.500 2.000 50,000 900" in text
    assert "Dearest records USD together 500 0.200000 1,000 0.250000" in text


def test_many_values_are_the_most_frequent_ones() -> None:
    """Forty languages: thirty have a line."""
    by = tables()["by"] | {"language": {f"l{number}": part(100 - number) for number in range(40)}}

    text = Page(render_report(SUMMARY, [], tables=tables(by=by))).text

    assert "l29 71" in text
    assert "l30" not in text
    assert "The most frequent ones; 10 more are in summary.json." in text


def manifest(**changes: Any) -> dict[str, Any]:
    """What a run knows of its job."""
    task = {"name": "mood", "instruction": "How is it?", "labels": [{"name": "good"}, {"name": "bad"}]}
    big = {"engine": "openai", "model": "gpt-5-mini", "base_url": None, "api_key_env": "OPENAI_API_KEY"}
    job = {
        "name": "reviews",
        "input": {"path": "in/*.jsonl", "text": "text"},
        "output": {"path": "out/reviews", "format": "jsonl"},
        "tasks": [task],
        "models": {
            "small": {"engine": "llama_cpp", "source": "small.gguf", "sha256": "b179c952" * 8},
            "big": big,
        },
        "routing": {
            "default": "small",
            "escalate_to": "big",
            "rules": [{"when": {"languages": ["ja", "zh"], "tasks": None}, "use": "big"}],
            "gate": {"min_confidence": 0.6},
        },
    }
    return {
        "job": job,
        "job_digest": "abc123",
        "limit": None,
        "models": {"small": {"sha256": "b179c952" * 8}},
        "versions": {"tekizai": "0.1.0", "apache-beam": "2.77.0"},
        **changes,
    }


def test_how_to_repeat_it() -> None:
    """Command, digests, versions, prices with their source and date, and the job."""
    prices = {"big": {"price": "0.25 USD in", "source": "genai-prices 0.1.13", "checked": "2026-09-01"}}

    text = Page(render_report(SUMMARY, [], manifest=manifest(prices=prices, limit=20))).text

    assert "tekizai run job.yaml --output out/again --limit 20" in text
    assert f"small small.gguf {'b179c952' * 8}" in text
    assert "big gpt-5-mini a hosted model: its file is not known" in text
    assert "big 0.25 USD in genai-prices 0.1.13 2026-09-01" in text
    assert "apache-beam 2.77.0, tekizai 0.1.0. Digest" in text
    assert "name: reviews" in text


def test_the_job_can_be_run_as_it_is_shown() -> None:
    """It passes the checks of a job file, and says the same."""
    found = repeating(manifest())

    assert found is not None
    assert parse_job(found["job"], environ={}).model_dump(mode="json")["name"] == "reviews"
    assert yaml.safe_load(found["job"]) == manifest()["job"]
    assert found["hidden"] is False


def test_secrets_are_not_shown() -> None:
    """A signed address, a password in one, and what looks like a key; reports are passed on."""
    found = manifest()
    found["job"]["input"]["path"] = "https://host/in.jsonl?X-Amz-Signature=0123abcd"
    found["job"]["models"]["big"]["base_url"] = "https://me:secret-word@host/v1"
    found["job"]["tasks"][0]["instruction"] = "sk-abc123"
    found["job"]["models"]["big"]["model"] = "https://x:hunter2@host/m"

    page = render_report(with_names(SUMMARY, found), [], manifest=found)

    for secret in ("0123abcd", "secret-word", "sk-abc123", "hunter2"):
        assert secret not in page
    assert "What may be a key or a signed address is not shown." in page


def test_a_long_job_is_not_shown() -> None:
    """A task may have ten thousand labels."""
    found = manifest()
    found["job"]["tasks"][0]["instruction"] = "word " * LONGEST_JOB

    text = Page(render_report(SUMMARY, [], manifest=found)).text

    assert len(text) < 20_000
    assert "it is in state/manifest.json" in text


def test_what_was_asked() -> None:
    """The first sentence names tasks and input."""
    text = Page(render_report(with_names(SUMMARY, manifest()), [], manifest=manifest())).text

    assert "Asked for mood of the texts in in/*.jsonl : 1,198 of 1,200 records were annotated" in text


def test_rules_are_told_in_words() -> None:
    """What the job file asks for, without what it leaves open."""
    flow = [{"rule": 0, "chosen": "big", "model": "big", "status": "routed", "records": 7}]

    text = Page(render_report(SUMMARY, [], tables=tables(flow=flow), manifest=manifest())).text

    assert "rule 0 → big languages ja, zh big routed 7" in text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_are_text_in_every_part(hostile: str) -> None:
    """Of models, tasks, labels, domains, paths, prices and versions."""

    def page(name: str) -> Page:
        found = manifest(
            versions={name: name}, job_digest=name, prices={name: {"price": name, "source": name}}
        )
        found["job"]["name"] = found["job"]["input"]["path"] = found["job"]["tasks"][0]["name"] = name
        found["job"]["models"] = {name: {"source": name}}
        found["job"]["routing"]["rules"][0]["when"]["languages"] = [name]
        summary = certified()
        summary["gate"]["models"][0] |= {"model": name, "task": name, "chosen": name}
        flow = [{"rule": 0, "chosen": name, "model": name, "status": "kept", "records": 1}]
        seen = {**tables(name, gold=GOLD), "flow": flow}
        return Page(render_report(with_names(summary, found), [], tables=seen, manifest=found))

    found = page(hostile)

    assert found.tags == page("name").tags or _only_differ_in_names(found, page("name"), hostile)
    assert found.text.count(hostile) >= 15


def _only_differ_in_names(one: Page, other: Page, hostile: str) -> bool:
    """Whether the tags are the same, but for names in what a picture says of itself."""
    return [tag for tag, _ in one.tags] == [tag for tag, _ in other.tags] and all(
        [name for name, _ in a] == [name for name, _ in b]
        for (_, a), (_, b) in zip(one.tags, other.tags, strict=True)
    )
