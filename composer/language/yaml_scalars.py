"""Plain scalars: YAML 1.2's core schema, and `32_000`, which people write for sizes."""

from __future__ import annotations

import re

from composer.diagnostics import Span, SpecError

from .yaml_faults import LONGEST_SHOWN, Fault, Limits, refusal

WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


_NUMBER_START = frozenset("+-.0123456789")


_INTEGER = re.compile(r"[-+]?[0-9]+(?:_[0-9]+)*|0o[0-7]+|0x[0-9a-fA-F]+")


_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def resolve_scalar(text: str, span: Span, limits: Limits) -> str | int | float | bool | None:
    """What a plain scalar means."""
    if text in WORDS:
        return WORDS[text]
    if text[0] not in _NUMBER_START:
        return text
    if _INTEGER.fullmatch(text):
        return _integer(text, span, limits)
    if _FLOAT.fullmatch(text):
        return _float(text, span)
    return float(text.replace(".", "")) if _NOT_FINITE.fullmatch(text) else text


def _integer(text: str, span: Span, limits: Limits) -> int:
    """The integer; beyond some thousand digits, Python itself would refuse to read it."""
    digits = text.lstrip("+-").replace("_", "")
    is_decimal = digits.isdecimal()
    if is_decimal and digits[0] == "0" and 1 < len(digits) <= limits.integer_digits:
        raise _leading_zero(text, digits, span)
    size = 10**limits.integer_digits
    value = size if is_decimal and len(digits) > limits.integer_digits else int(digits, 0)
    if value >= size:
        fix = "write a smaller number, or put it in quotes if it is text"
        message = f"an integer has at most {limits.integer_digits} digits"
        raise refusal(Fault.RANGE, message, span, fix)
    return -value if text[0] == "-" else value


def _leading_zero(text: str, digits: str, span: Span) -> SpecError:
    sign = "-" if text[0] == "-" else ""
    octal = not text.startswith(("+", "-")) and not set(digits) & {"8", "9"}
    eight = f", 0o{digits.lstrip('0') or '0'} if it is octal" if octal else ""
    return refusal(
        Fault.LEADING_ZERO,
        f"'{text}' starts with a zero: some readers take it for octal, some for decimal",
        span,
        f"write {sign}{digits.lstrip('0') or '0'}{eight}, or '{text}' in quotes if it is text",
    )


def _float(text: str, span: Span) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        message = f"{shortened(text)} is too large for a float"
        raise refusal(Fault.RANGE, message, span, "write a smaller number, or .inf for infinity")
    if value == 0 and re.match("[^eE]*[1-9]", text):
        message = f"{shortened(text)} is too small for a float: it would become 0"
        raise refusal(Fault.RANGE, message, span, "write a larger number, or 0.0")
    return value


def shortened(text: str) -> str:
    """A text as a message repeats it, cut where it is long."""
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
