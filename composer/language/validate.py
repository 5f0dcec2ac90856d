"""From pydantic's complaints to problems with a place and a fix."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as AnyMapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from composer.components.options import names_in
from composer.diagnostics import Problem, Problems, nearest

from .document import Loc, Mapping, Scalar, Tree, get, key_span, plain, value_span
from .fields import SYNONYMS, StackFields, TypeFields
from .wants import describe, expression_fix, fix_for, wanted

M = TypeVar("M", bound=BaseModel)


def validate(
    model: type[M],
    tree: Tree,
    problems: Problems,
    *,
    where: str,
    dims: AnyMapping[str, float],
    given: AnyMapping[str, Any] | None = None,
    partial: bool = False,
    told: Iterable[str] = (),
    beside: Iterable[str] = (),
) -> M | None:
    """`tree` as a `model`, or None with what is wrong added to `problems`.

    `where` names the place in words; `given` holds values of keys that are checked elsewhere, of
    which the mistakes in `told` are problems already; with `partial`, keys may be missing. Keys
    `beside` those of the model are read by others.
    """
    if not isinstance(tree, Mapping):
        problems.add(
            "C105",
            f"{where} wants a mapping of keys, not {describe(tree)}",
            tree.span,
            fix=f"keys: {', '.join(_keys(model)[:8])}",
        )
        return None
    given = given or {}
    data = {key: plain(entry.value) for key, entry in tree.entries.items() if key not in given}
    try:
        return model.model_validate({**data, **given}, context={"dims": dims})
    except ValidationError as error:
        for problem in _Reading(error, model, tree, where, dims, told, beside).problems(
            partial=partial
        ):
            problems.add(problem.code, problem.message, problem.span, problem.notes, problem.fix)
        return None


def guess(word: str, choices: Iterable[str]) -> str | None:
    """A hint towards the right spelling of `word`."""
    known = list(choices)
    synonym = SYNONYMS.get(word)
    best = [synonym] if synonym in known else nearest(word, known)
    return f"did you mean '{best[0]}'?" if best else None


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


class _Reading:
    """One refusal by pydantic, told in the words of the file."""

    def __init__(
        self,
        error: ValidationError,
        model: type[BaseModel],
        tree: Mapping,
        where: str,
        dims: AnyMapping[str, float],
        told: Iterable[str],
        beside: Iterable[str],
    ) -> None:
        known = set(told)
        self.details = [d for d in error.errors(include_url=False) if d["loc"][0] not in known]
        self.model, self.tree, self.where, self.dims = model, tree, where, dims
        self.keys = [*_keys(model), *beside]

    def problems(self, *, partial: bool) -> list[Problem]:
        """A problem for each cause: a missing key with its near miss is one."""
        missing = [str(d["loc"][0]) for d in self.details if d["type"] == "missing"]
        found: list[Problem] = []
        taken: set[str] = set()
        for detail in self.details:
            if detail["type"] == "extra_forbidden":
                key = str(detail["loc"][0])
                hint = guess(key, missing) or guess(key, self.keys)
                taken |= {hint.split("'")[1]} if hint else set()
                found.append(self._unknown(key, hint))
        found += [self._missing(key) for key in missing if key not in taken and not partial]
        return found + [self._wrong(loc, details) for loc, details in self._by_place().items()]

    def _by_place(self) -> dict[Loc, list[ErrorDetails]]:
        """Wrong values by their place: of a list with wrong items, the items alone."""
        places: dict[Loc, list[ErrorDetails]] = {}
        for detail in self.details:
            if detail["type"] not in {"missing", "extra_forbidden"}:
                places.setdefault(_in_file(detail["loc"], self.tree), []).append(detail)
        kept = {
            loc: details
            for loc, details in places.items()
            if not any(other != loc and other[: len(loc)] == loc for other in places)
        }
        told: set[tuple[Loc, str]] = set()
        for loc, details in list(kept.items()):
            same = (loc[:-1], details[0]["type"])
            if self._follows(details, loc) or (same in told and same[1] == "list_type"):
                del kept[loc]  # items that should be lists have one cause
            told.add(same)
        return kept

    def _follows(self, details: list[ErrorDetails], loc: Loc) -> bool:
        """Whether this is only a consequence: a use of a dim that has no value itself."""
        value = get(self.tree, loc)
        used = set() if value is None else names_in(str(plain(value)))
        broken: set[str] = getattr(self.dims, "broken", set())
        return details[0]["type"] == "expression" and bool(used & broken)

    def _unknown(self, key: str, hint: str | None) -> Problem:
        known = ", ".join(self.keys)
        fix = hint or f"known keys: {known}"
        if self.model is TypeFields and key in _keys(StackFields):
            fix = f"a layer type changes only these: {known}"
        span = key_span(self.tree, (key,))
        return Problem("C102", f"unknown key '{key}' in {self.where}", span, fix=fix)

    def _missing(self, key: str) -> Problem:
        field = next(f for n, f in self.model.model_fields.items() if (f.alias or n) == key)
        fix = f"add {key}: ...  # {field.description}" if field.description else f"add {key}: ..."
        return Problem("C104", f"{self.where} needs '{key}'", self.tree.span, fix=fix)

    def _wrong(self, loc: Loc, details: list[ErrorDetails]) -> Problem:
        value = get(self.tree, loc)
        key = next((str(part) for part in reversed(loc) if isinstance(part, str)), "value")
        span = value_span(self.tree, loc)
        if len(details) == 1 and details[0]["type"] == "expression":
            why = details[0].get("ctx", {})["why"]
            fix = expression_fix(str(plain(value)) if value else "", self.dims)
            return Problem("C106", f"{key}: {why}", span, fix=fix)
        name = f"an item of {key}" if isinstance(loc[-1], int) else key
        words = wanted(details, key)
        found = self._found(value, details[0])
        fix = fix_for(details, value, key, whole=loc == (key,))
        return Problem("C105", f"{name} wants {words}, not {found}", span, fix=fix)

    def _found(self, value: Tree | None, detail: ErrorDetails) -> str:
        """The value as written, and what it comes to where it is an expression."""
        text = describe(value) if value is not None else "nothing"
        result = detail["input"]
        if detail["type"] == "too_short":
            return str(detail.get("ctx", {}).get("actual_length"))
        written = isinstance(value, Scalar) and isinstance(value.value, str)
        calculated = isinstance(result, int | float) and not isinstance(result, bool)
        return f"{text}, which is {result:g}" if written and calculated else text


def _in_file(loc: Loc, tree: Tree) -> Loc:
    """`loc` without the parts that pydantic adds for unions."""
    kept: list[str | int] = [loc[0]]
    for part in loc[1:]:
        if isinstance(part, int) and get(tree, (*kept, part)) is not None:
            kept.append(part)
    return tuple(kept)


__all__ = ["describe", "guess", "validate"]
