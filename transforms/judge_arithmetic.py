"""A calculator for agents: numbers and the four operations, bounded, and nothing that is run."""

from __future__ import annotations

import ast
import math
import operator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_CHARACTERS = 200
_MAX_POWER = 64
_MAX_VALUE = 1e15

_BINARY: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[float], float]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


def calculate(expression: str) -> float:
    """The value of an expression such as `(12.5 - 3) / 4`.

    Raises:
        ValueError: It is not arithmetic, too long, or its value is too large; the message says which.

    """
    if len(expression) > MAX_CHARACTERS:
        raise ValueError(f"the expression is longer than {MAX_CHARACTERS} characters")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ValueError("this is not arithmetic: give numbers with + - * / // % ** and brackets") from None
    return _value(tree.body)


def _value(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return _bounded(node.value)
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_value(node.operand))
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Pow) and abs(right) > _MAX_POWER:
            raise ValueError(f"powers above {_MAX_POWER} are too large")
        try:
            return _bounded(_BINARY[type(node.op)](left, right))
        except (ZeroDivisionError, OverflowError) as error:
            raise ValueError(str(error)) from None
    raise ValueError("this is not arithmetic: give numbers with + - * / // % ** and brackets")


def _bounded(value: object) -> float:
    # A negative number to a fraction is a complex one.
    if not isinstance(value, (int, float)) or not math.isfinite(value) or abs(value) > _MAX_VALUE:
        raise ValueError(f"a value is no number between {-_MAX_VALUE:g} and {_MAX_VALUE:g}")
    return value
