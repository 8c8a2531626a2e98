"""The judge's calculator: numbers, and nothing that is run."""

from __future__ import annotations

import pytest

from transforms.judge_arithmetic import calculate


@pytest.mark.parametrize(
    ("expression", "value"),
    [("1 + 2 * 3", 7), ("(12.5 - 3) / 4", 2.375), ("-2 ** 2", -4), ("7 // 2 + 7 % 2", 4), (" 10 ", 10)],
)
def test_it_computes(expression: str, value: float) -> None:
    """With the precedence that everyone knows."""
    assert calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "1 +",
        "__import__('os').system('true')",
        "(1).__class__",
        "abs(-1)",
        "x",
        "'a' * 3",
        "True + 1",
        "[1][0]",
        "1j",
        "1 < 2",
        "1/0",
        "9 ** 9 ** 9",
        "10 ** 64",
        "(-8) ** 0.5",
        "1e999",
        "1e308 * 10",
        "(" * 5000,
        "1+" * 150 + "1",
    ],
)
def test_it_refuses_everything_else(expression: str) -> None:
    """With a message, and at once."""
    with pytest.raises(ValueError, match=r"."):
        calculate(expression)
