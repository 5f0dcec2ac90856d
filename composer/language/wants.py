"""What a value should have been, in words, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping as AnyMapping

from pydantic_core import ErrorDetails

from composer.components.options import names_in
from composer.diagnostics import nearest

from .document import Mapping, Scalar, Sequence, Tree, plain

REFERENCES = {"from", "to", "within", "stacks"}
"""Keys whose value is the name of a part."""

_YAML_11 = {"yes", "no", "on", "off", "y", "n"}
_THOUSANDS = {"k": (1_000, 1_024), "m": (1_000_000, 1_048_576)}


def describe(tree: Tree) -> str:
    """What a value is, in words."""
    if isinstance(tree, Mapping):
        count = len(tree.entries)
        return "a mapping" if count == 1 else f"a mapping of {count} keys" if count else "{}"
    if isinstance(tree, Sequence):
        return "a list" if tree.items else "[]"
    if isinstance(tree.value, str):
        return f"'{tree.value}'"
    if isinstance(tree.value, bool):
        return str(tree.value).lower()
    return "nothing" if tree.value is None else str(tree.value)


def wanted(details: list[ErrorDetails], key: str) -> str:
    """What would have been right, every form of a union named once."""
    forms: list[str] = []
    for detail in details:
        choices = ["true", "false"] if detail["type"] == "bool_type" else []
        choices = _choices(detail) if detail["type"] == "literal_error" else choices
        forms += choices or [_form(detail, key)]
    forms = list(dict.fromkeys(forms))
    if any(form.startswith("a number ") for form in forms):
        forms = [form for form in forms if form not in {"a number", "a whole number"}]
    return either(forms)


def either(choices: list[str]) -> str:
    """`a, b or c`."""
    *others, last = choices
    return f"{', '.join(others)} or {last}" if others else last


def _form(detail: ErrorDetails, key: str) -> str:
    context = detail.get("ctx", {})
    word = "a name" if key in REFERENCES else "text"
    words = {
        "int_type": "a whole number",
        "int_parsing": "a whole number",
        "expression": "a number",
        "float_type": "a number",
        "string_type": word,
        "list_type": "a list",
        "dict_type": "a mapping",
        "finite_number": "a finite number",
        "string_pattern_mismatch": "a name",
        "string_too_long": f"at most {context.get('max_length')} characters",
        "string_too_short": f"at least {context.get('min_length')} characters",
        "too_short": f"at least {context.get('min_length')} items",
        "greater_than": f"a number above {_number(context.get('gt'))}",
        "greater_than_equal": f"a number of at least {_number(context.get('ge'))}",
        "less_than": f"a number below {_number(context.get('lt'))}",
        "less_than_equal": f"a number of at most {_number(context.get('le'))}",
    }
    return words.get(detail["type"], detail["msg"])


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _choices(detail: ErrorDetails) -> list[str]:
    expected = str(detail.get("ctx", {}).get("expected", ""))
    return [choice.strip(" '") for choice in re.split(r",| or ", expected) if choice.strip()]


def fix_for(
    details: list[ErrorDetails], value: Tree | None, key: str, *, whole: bool
) -> str | None:
    """What to write instead of a value, where that is clear; `whole` if it is no item of a list."""
    kinds = {detail["type"] for detail in details}
    choices = [choice for d in details if d["type"] == "literal_error" for choice in _choices(d)]
    if choices and isinstance(value, Scalar):
        return _choice_fix(str(value.value), choices, key, alone=len(details) == 1)
    if key in REFERENCES and kinds & {"string_type", "string_pattern_mismatch"}:
        return _reference_fix(value, key, kinds)
    if not isinstance(value, Scalar):
        return None
    if "bool_type" in kinds and (fix := _bool_fix(str(value.value).lower())):
        return fix
    if whole and "list_type" in kinds and "bool_type" not in kinds:
        return f"{key}: [{value.value}]"
    if kinds == {"string_type"} and not value.quoted and value.value is not None:
        return f'for text write "{describe(value)}"'
    return None


def _bool_fix(word: str) -> str | None:
    if word in _YAML_11:
        return "in YAML 1.2 only true and false are booleans"
    return f"write {word} without quotes" if word in {"true", "false"} else None


def _choice_fix(word: str, choices: list[str], key: str, *, alone: bool) -> str | None:
    if word in choices:
        return f"write {word} without quotes"
    if len(choices) == 1 and alone:
        return f"{key}: {choices[0]}"
    best = nearest(word, choices)
    return f"did you mean '{best[0]}'?" if best else None


def _reference_fix(value: Tree | None, key: str, kinds: set[str]) -> str | None:
    if isinstance(value, Sequence) and "list_type" not in kinds:
        names = [str(plain(item)) for item in value.items]
        if len(names) == 1:
            return f"{key}: {names[0]}"
        return (
            f"join them in a module: {{kind: concat, from: [{', '.join(names)}]}}"
            if names
            else None
        )
    text = str(value.value) if isinstance(value, Scalar) else ""
    if re.search(r"(^|\.)-\d+$", text):
        return "parts are named, and layers are numbered from 0, e.g. decoder.layers.3"
    return "a name, or a path such as decoder.layers.3"


def expression_fix(text: str, dims: AnyMapping[str, float]) -> str | None:
    """What to write instead of an expression that has no value."""
    short = re.fullmatch(r"\s*(\d+(?:\.\d+)?)([kKmM])\s*", text)
    if short:
        sizes = (float(short[1]) * unit for unit in _THOUSANDS[short[2].lower()])
        return "write " + " or ".join(f"{int(size):_}" for size in sizes)
    unknown = sorted(name for name in names_in(text) if name not in dims)
    if not unknown or re.search(r"\w\s*\(", text):
        return None
    close = nearest(unknown[0], list(dims))
    return (
        f"did you mean '{close[0]}'?" if close else f"write a number, or add '{unknown[0]}' to dims"
    )


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names one after the other, as many as people read."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
