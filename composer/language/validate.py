"""From pydantic's complaints to problems with a place and a fix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping as AnyMapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from composer.diagnostics import Problem, Problems, nearest

from .document import Mapping, Scalar, Tree, get, key_span, plain, value_span
from .fields import SYNONYMS

M = TypeVar("M", bound=BaseModel)

_YAML_11 = {"yes", "no", "on", "off", "y", "n"}


def validate(
    model: type[M],
    tree: Tree,
    problems: Problems,
    *,
    where: str,
    dims: AnyMapping[str, float],
    given: AnyMapping[str, Any] | None = None,
) -> M | None:
    """`tree` as a `model`, or None with what is wrong added to `problems`.

    `where` names the place in words; `given` holds values of keys that are checked elsewhere.
    """
    if not isinstance(tree, Mapping):
        problems.add(
            "C105", f"{where} wants a mapping of keys, not {describe(tree)}", tree.span,
            fix=f"keys: {', '.join(_keys(model)[:8])}",
        )  # fmt: skip
        return None
    given = given or {}
    data = {key: plain(entry.value) for key, entry in tree.entries.items() if key not in given}
    try:
        return model.model_validate({**data, **given}, context={"dims": dims})
    except ValidationError as error:
        for problem in _problems(error, model, tree, where):
            problems.add(problem.code, problem.message, problem.span, problem.notes, problem.fix)
        return None


def describe(tree: Tree) -> str:
    """What a value is, in words."""
    if isinstance(tree, Mapping):
        return "a mapping"
    if isinstance(tree, Scalar):
        return "nothing" if tree.value is None else f"'{tree.value}'"
    return "a list"


def guess(word: str, choices: Iterable[str]) -> str | None:
    """A hint towards the right spelling of `word`."""
    known = list(choices)
    synonym = SYNONYMS.get(word)
    best = [synonym] if synonym in known else nearest(word, known)
    return f"did you mean '{best[0]}'?" if best else None


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _problems(
    error: ValidationError, model: type[BaseModel], tree: Mapping, where: str
) -> list[Problem]:
    details = error.errors(include_url=False, include_input=False)
    missing = [str(e["loc"][0]) for e in details if e["type"] == "missing"]
    taken: set[str] = set()
    found: list[Problem] = []
    for detail in details:
        if detail["type"] != "extra_forbidden":
            continue
        problem, meant = _unknown(str(detail["loc"][0]), model, tree, where, missing)
        found.append(problem)
        taken |= {meant} if meant else set()
    seen: set[object] = set()
    for detail in details:
        loc = _in_file(detail["loc"], tree)
        if detail["type"] == "missing" and loc and str(detail["loc"][0]) not in taken:
            found.append(_missing(str(detail["loc"][0]), model, tree, where))
        elif detail["type"] not in {"missing", "extra_forbidden"} and loc not in seen:
            seen.add(loc)
            found.append(_wrong(detail, loc, tree))
    return found


def _in_file(loc: tuple[int | str, ...], tree: Tree) -> tuple[str | int, ...]:
    """`loc` without the parts that pydantic adds for unions."""
    kept: list[str | int] = [loc[0]]
    for part in loc[1:]:
        if isinstance(part, int) and get(tree, (*kept, part)) is not None:
            kept.append(part)
    return tuple(kept)


def _unknown(
    key: str, model: type[BaseModel], tree: Mapping, where: str, missing: list[str]
) -> tuple[Problem, str | None]:
    known = _keys(model)
    free = [name for name in known if name not in tree.entries]
    hint = guess(key, missing) or guess(key, free)
    meant = hint.split("'")[1] if hint else None
    fix = hint or "known keys: " + ", ".join(known)
    problem = Problem("C102", f"unknown key '{key}' in {where}", key_span(tree, (key,)), fix=fix)
    return problem, meant


def _missing(key: str, model: type[BaseModel], tree: Mapping, where: str) -> Problem:
    field = next(f for name, f in model.model_fields.items() if (f.alias or name) == key)
    note = f"{key}: {field.description}" if field.description else f"add {key}: ..."
    return Problem("C104", f"{where} needs a '{key}'", tree.span, fix=note)


def _wrong(detail: ErrorDetails, loc: tuple[str | int, ...], tree: Mapping) -> Problem:
    value = get(tree, loc)
    name = next((str(part) for part in reversed(loc) if isinstance(part, str)), "value")
    found = describe(value) if value is not None else "nothing"
    span = value_span(tree, loc)
    context = detail.get("ctx", {})
    if detail["type"] == "expression":
        return Problem("C106", f"{name}: {context['why']}", span)
    message = f"{name} wants {_wanted(detail)}, not {found}"
    return Problem("C105", message, span, fix=_fix(detail, value))


def _wanted(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    kind = detail["type"]
    words = {
        "int_type": "a whole number",
        "int_parsing": "a whole number",
        "float_type": "a number",
        "string_type": "text",
        "bool_type": "true or false",
        "list_type": "a list",
        "dict_type": "a mapping",
        "finite_number": "a finite number",
        "string_pattern_mismatch": "a name",
        "string_too_long": f"at most {context.get('max_length')} characters",
        "too_short": f"at least {context.get('min_length')} items",
        "greater_than": f"a number above {context.get('gt')}",
        "greater_than_equal": f"a number of at least {context.get('ge')}",
        "less_than": f"a number below {context.get('lt')}",
        "less_than_equal": f"a number of at most {context.get('le')}",
        "literal_error": str(context.get("expected", "")).replace(" or ", ", "),
    }
    return words.get(kind, detail["msg"])


def _fix(detail: ErrorDetails, value: Tree | None) -> str | None:
    if detail["type"] == "literal_error" and isinstance(value, Scalar):
        choices = str(detail.get("ctx", {}).get("expected", "")).replace(" or ", ", ")
        return guess(str(value.value), [choice.strip("' ") for choice in choices.split(",")])
    if not isinstance(value, Scalar) or value.quoted:
        return None
    if detail["type"] == "bool_type" and str(value.value).lower() in _YAML_11:
        return "in YAML 1.2 only true and false are booleans"
    if detail["type"] == "string_type" and value.value is not None:
        return f'for text write "{value.value}"'
    return None
