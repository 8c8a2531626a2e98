"""The journal's lines: what is written is read again, and what is damaged is not taken for an answer."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from router.assets import asset_path
from router.calibration import ChosenPrompt
from router.catalogue import load_catalogue
from router.job import Example, LlamaCppModel, OpenAIModel, Task
from router.journal import (
    Entry,
    as_journaled,
    header,
    hosted_fingerprint,
    is_settled,
    is_whole,
    local_fingerprint,
    read_entry,
    write_entry,
)
from router.prompts import PromptForm
from router.records import Answer, Failure, LabelScores, Usage

KEY = bytes(range(16))
USAGE = Usage(55, 20, 3, 0.25, Decimal("0.000003936690"), 1_795_000_000.125)
SCORES = LabelScores(np.array([0.1, 0.9]), np.linspace(-4, 4, 1024, dtype=np.float32), 2)
TASK: dict[str, Any] = {"name": "t", "instruction": "Say.", "labels": [{"name": "a"}, {"name": "b"}]}
LOCAL: dict[str, Any] = {"engine": "llama_cpp", "source": "m.gguf"}
BARE = as_journaled(Answer("small", USAGE, scores=SCORES), features=False, embedding=False)
HOSTED: dict[str, Any] = {"engine": "openai", "model": "m"}


def test_scores_come_back_as_they_were() -> None:
    """Every bit of the probabilities and the account; features to half precision."""
    found = read_entry(write_entry(Entry(KEY, Answer("small", USAGE, scores=SCORES))), "renamed")

    assert found is not None
    assert (found.text_key, found.answer.model, found.answer.usage) == (KEY, "renamed", USAGE)
    assert found.answer.usage.at == 1_795_000_000.125
    assert found.final
    assert found.answer.scores is not None
    assert found.answer.scores.probabilities.tolist() == [0.1, 0.9]
    assert found.answer.scores.parts == 2
    assert found.answer.scores.features == pytest.approx(SCORES.features, abs=2e-3)


@pytest.mark.parametrize(
    ("answer", "final"),
    [
        (Answer("big", USAGE, labels=("a", "b")), True),
        (Answer("big", USAGE, labels=()), True),
        (Answer("big", USAGE, failure=Failure.UNUSABLE, detail="no label", raw="I cannot \U0001f600"), True),
        (Answer("big", USAGE, failure=Failure.UNAVAILABLE, detail="HTTP 503"), False),
        (Answer("big", USAGE, failure=Failure.OVER_BUDGET), False),
        (Answer("big", USAGE, failure=Failure.ERROR), False),
    ],
)
def test_only_passing_troubles_are_asked_again(answer: Answer, final: bool) -> None:
    """An LLM that twice gave no label would be paid for nothing a third time."""
    line = write_entry(Entry(KEY, answer))
    found = read_entry(line, "big")

    assert (is_whole(line), is_settled(line)) == (True, final)
    assert found is not None
    assert (found.final, found.answer.usage, found.answer.labels) == (final, answer.usage, answer.labels)
    assert (found.answer.failure, found.answer.detail, found.answer.raw) == (
        answer.failure,
        answer.detail,
        answer.raw,
    )


LINE = write_entry(Entry(KEY, BARE))


def test_a_vector_is_kept_to_half_precision() -> None:
    """As the features are."""
    vector = np.array([0.5, -0.25, 1 / 3], np.float32)
    line = write_entry(Entry(KEY, Answer("small", USAGE, scores=replace(SCORES, embedding=vector))))

    entry = read_entry(line, "small")

    assert entry is not None
    assert entry.answer.scores is not None
    assert entry.answer.scores.embedding == pytest.approx(vector, abs=2e-4)


def test_only_what_a_head_needs_is_kept() -> None:
    """Features and vectors apart."""
    vector = np.ones(3, np.float32)
    answer = Answer("small", USAGE, scores=replace(SCORES, embedding=vector))

    both = as_journaled(answer, features=True, embedding=True).scores
    one = as_journaled(answer, features=False, embedding=True).scores

    assert both is not None
    assert one is not None
    assert (both.features is SCORES.features, both.embedding is vector) == (True, True)
    assert (one.features, one.embedding is vector) == (None, True)
    failed = Answer("small", USAGE, failure=Failure.ERROR)
    assert as_journaled(failed, features=True, embedding=True) is failed


@pytest.mark.parametrize("end", range(len(LINE)))
def test_a_torn_line_is_no_answer(end: int) -> None:
    """Wherever it was torn, its line end included."""
    assert not is_whole(LINE[:end])
    assert read_entry(LINE[:end], "small") is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"usd":"', b'"usd":"x'),
        (b'"usage":', b'"usages":'),
        (b'"parts":2', b'"parts":"two"'),
        (b"000102", b"zz0102"),
        (b"{", b"["),
        (b'"probabilities":[', b'"probabilities":[null,'),
    ],
)
def test_a_damaged_line_is_no_answer(old: bytes, new: bytes) -> None:
    """Nothing of it is guessed."""
    assert old in LINE
    assert read_entry(LINE.replace(old, new, 1), "small") is None


def test_a_line_of_an_earlier_version_has_no_time() -> None:
    """It is an answer all the same."""
    found = read_entry(LINE.replace(b',"at":1795000000.125', b"", 1), "small")

    assert found is not None
    assert (found.answer.usage, found.answer.usage.at) == (USAGE, None)


def test_a_line_is_as_documented() -> None:
    """docs/journal.md shows this line and this header."""
    assert json.loads(LINE) == {
        "key": "000102030405060708090a0b0c0d0e0f",
        "final": True,
        "usage": {
            "input_tokens": 55,
            "cached_tokens": 20,
            "output_tokens": 3,
            "seconds": 0.25,
            "usd": "0.000003936690",
            "at": 1795000000.125,
        },
        "probabilities": [0.1, 0.9],
        "parts": 2,
    }
    assert json.loads(header("f00d", "small", "t")) == {
        "format": 1,
        "fingerprint": "f00d",
        "model": "small",
        "task": "t",
    }


def local(
    task: dict[str, Any] | None = None, sha256: str = "00", chosen: ChosenPrompt | None = None, **fields: Any
) -> str:
    """Fingerprint of a local model."""
    entry = load_catalogue(asset_path("configs/models.yaml")).entry("")
    model = LlamaCppModel.model_validate({**LOCAL, **fields})
    return local_fingerprint(Task.model_validate({**TASK, **(task or {})}), model, sha256, entry, chosen)


def hosted(task: dict[str, Any] | None = None, **fields: Any) -> str:
    """Fingerprint of a hosted model."""
    return hosted_fingerprint(
        Task.model_validate({**TASK, **(task or {})}), OpenAIModel.model_validate({**HOSTED, **fields})
    )


def test_what_decides_a_local_answer_makes_another_fingerprint() -> None:
    """Weights, prompt, context, labels, examples; not price, threads or where the file is."""
    same = local()

    assert local(threads=4, usd_per_hour="1", source="elsewhere.gguf") == same
    assert len({same, local(sha256="01"), local(context=512), local(prompt={"form": "chat"})}) == 4
    assert local({"labels": [{"name": "b"}, {"name": "a"}]}) != same
    assert local({"instruction": "Say it."}) != same
    assert local({"examples": [{"text": "x", "label": "a"}]}) != same


def test_a_chosen_prompt_makes_another_fingerprint() -> None:
    """Its form, opening and examples, and whether labels are scored to their last token."""
    form, shown = PromptForm("plain", "So:"), (Example(text="x", label="a"),)
    chosen = [
        ChosenPrompt(None, None),
        ChosenPrompt(form, None),
        ChosenPrompt(PromptForm("chat", "So:"), None),
        ChosenPrompt(PromptForm("plain", "Or:"), None),
        ChosenPrompt(None, shown),
        ChosenPrompt(None, (*shown, *shown)),
        ChosenPrompt(form, shown),
        ChosenPrompt(None, None, label_tree=False),
        ChosenPrompt(form, shown, label_tree=False),
    ]

    assert len({local(chosen=one) for one in chosen}) == len(chosen)


def test_a_prompt_that_changes_nothing_keeps_the_fingerprint() -> None:
    """So that answers which were given before it was chosen still count."""
    examples = [{"text": "x", "label": "a"}]
    shown = (Example(text="x", label="a"),)

    assert local(chosen=ChosenPrompt(None, None)) == local()
    assert local(chosen=ChosenPrompt(None, ())) == local()
    assert local(chosen=ChosenPrompt(None, shown)) == local({"examples": examples})
    assert local({"examples": examples}, chosen=ChosenPrompt(None, ())) == local()


def test_a_chosen_form_counts_in_place_of_the_job_files() -> None:
    """What a job file or a catalogue would have said plays no part any more."""
    chosen = ChosenPrompt(PromptForm("plain", "So:"), None)

    assert local(chosen=chosen, prompt={"form": "chat"}) == local(chosen=chosen)
    assert local(chosen=chosen, prompt={"form": "chat"}, context=512) != local(chosen=chosen)


def test_what_decides_a_hosted_answer_makes_another_fingerprint() -> None:
    """Endpoint, model, messages, bound of the answer; not price, key or how it is called."""
    same = hosted()

    assert (
        hosted(concurrency=2, timeout_seconds=1, max_retries=0, api_key_env="MY_KEY", max_failures=3) == same
    )
    assert hosted(price={"input_usd_per_million_tokens": "1", "output_usd_per_million_tokens": "1"}) == same
    assert len({same, hosted(model="n"), hosted(base_url="http://x/v1"), hosted(max_output_tokens=9)}) == 4
    assert hosted({"kind": "multi_label"}) != same
    assert hosted({"labels": [{"name": "a", "description": "first"}, {"name": "b"}]}) != same
