"""The types of a component's options, and the arithmetic that sizes may be written in."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

MAX_SIZE = 10**12
MAX_EXPRESSION = 200

_OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}


class ExpressionError(Exception):
    """An expression that has no value; the text says why, for the person who wrote it."""


def calculate(text: str, dims: Mapping[str, float]) -> int | float:
    """The value of a size expression such as `8*d_model//3` or `d_model^0.5`.

    >>> calculate("8*d_model//3", {"d_model": 512})
    1365

    Raises ExpressionError for anything but numbers, names of `dims`, `+ - * / // ^` and brackets.
    """
    if len(text) > MAX_EXPRESSION:
        raise ExpressionError(f"the expression is longer than {MAX_EXPRESSION} characters")
    try:
        tree = ast.parse(text.replace("^", "**").strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ExpressionError(f"'{text}' is not a size or an expression over dims") from None
    try:
        value = _value(tree, dims)
    except (ZeroDivisionError, OverflowError):
        raise ExpressionError(f"'{text}' has no finite value") from None
    if isinstance(value, complex) or not isfinite(value) or abs(value) > MAX_SIZE:
        raise ExpressionError(f"'{text}' has no value below {MAX_SIZE:.0e}")
    return value


def names_in(text: str) -> set[str]:
    """Names that a size expression uses; empty where it is not one."""
    try:
        tree = ast.parse(text.replace("^", "**").strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _value(node: ast.expr, dims: Mapping[str, float]) -> Any:  # noqa: ANN401 - int, float, complex
    if isinstance(node, ast.Constant) and type(node.value) in {int, float}:
        return node.value
    if isinstance(node, ast.Name):
        if node.id not in dims:
            known = ", ".join(dims) or "none are defined"
            raise ExpressionError(f"'{node.id}' is not one of dims ({known})")
        return dims[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, dims)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _value(node.left, dims), _value(node.right, dims)
        if isinstance(node.op, ast.Pow) and (abs(right) > 64 or abs(left) > MAX_SIZE):  # noqa: PLR2004
            raise ExpressionError("the power is too large")
        return _OPERATORS[type(node.op)](left, right)
    raise ExpressionError("only numbers, dims, + - * / // ^ and brackets may stand in a size")


def _calculated(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    dims = (info.context or {}).get("dims", {})
    try:
        return calculate(value, dims)
    except ExpressionError as error:
        raise PydanticCustomError("expression", "{why}", {"why": str(error)}) from None


def _whole(value: object, info: ValidationInfo) -> object:
    number = _calculated(value, info)
    if isinstance(number, float) and number.is_integer():
        return int(number)
    if isinstance(value, str) and isinstance(number, float):
        why = f"'{value}' is {number:g}, not a whole number; use // for whole division"
        raise PydanticCustomError("expression", "{why}", {"why": why})
    return number


def _decimal(value: object, info: ValidationInfo) -> object:
    number = _calculated(value, info)
    return float(number) if isinstance(number, int) and not isinstance(number, bool) else number


def _either(*schemas: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [*schemas, {"type": "string", "pattern": "^[^\\s].*$"}]})


Positive = Annotated[
    int, Field(ge=1), BeforeValidator(_whole), _either({"type": "integer", "minimum": 1})
]
"""A whole number of at least 1, or an expression over dims."""

Natural = Annotated[
    int, Field(ge=0), BeforeValidator(_whole), _either({"type": "integer", "minimum": 0})
]
"""A whole number of at least 0, or an expression over dims."""

Number = Annotated[
    float, Field(allow_inf_nan=False), BeforeValidator(_decimal), _either({"type": "number"})
]
"""A decimal number, or an expression over dims."""

PositiveNumber = Annotated[
    float,
    Field(gt=0, allow_inf_nan=False),
    BeforeValidator(_decimal),
    _either({"type": "number", "exclusiveMinimum": 0}),
]
"""A decimal number above 0, or an expression over dims."""

Probability = Annotated[
    float,
    Field(ge=0, lt=1, allow_inf_nan=False),
    BeforeValidator(_decimal),
    _either({"type": "number", "minimum": 0, "exclusiveMaximum": 1}),
]
"""A probability below 1, such as a dropout rate."""
