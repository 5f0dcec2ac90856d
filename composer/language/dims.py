"""The numbers that a spec names under `dims`, and the sizes written with them."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as AnyMapping
from math import isfinite
from typing import TypeGuard

from composer.components.options import MAX_SIZE, ExpressionError, calculate, names_in
from composer.diagnostics import Note, Problems

from .document import Mapping, Scalar, Tree, get, plain
from .names import MODULE_ATTRIBUTES, name_problem
from .wants import describe, expression_fix


class Dims(dict[str, "int | float"]):
    """The numbers of `dims`, which remember the names that were used; `broken` ones have none."""

    def __init__(self, values: AnyMapping[str, int | float], broken: Iterable[str] = ()) -> None:
        super().__init__(values)
        self.used: set[str] = set()
        self.broken = set(broken)

    def __getitem__(self, name: str) -> int | float:
        self.used.add(name)
        return super().__getitem__(name)


def dims_in(tree: Tree | None, problems: Problems) -> Dims:
    """The numbers that `dims` names; they may be written with each other."""
    if tree is None or (isinstance(tree, Scalar) and tree.value is None):
        return Dims({})
    if not isinstance(tree, Mapping):
        problems.add(
            "C105",
            f"dims wants names with numbers, not {describe(tree)}",
            tree.span,
            fix="dims: {d_model: 512}",
        )
        return Dims({})
    known: dict[str, int | float] = {}
    waiting: dict[str, str] = {}
    for name, entry in tree.entries.items():
        value = plain(entry.value)
        why = None if name in MODULE_ATTRIBUTES else name_problem(name, variable=False)
        if why:
            problems.add("C107", why, entry.key, fix="choose another name")
        elif isinstance(value, str):
            waiting[name] = value
        elif _is_size(value):
            known[name] = value
        else:
            wanted = "a number" if not _is_number(value) else f"a number of at most {MAX_SIZE:.0e}"
            message = f"dim '{name}' wants {wanted}, not {describe(entry.value)}"
            problems.add("C105", message, entry.value.span)
    _calculate(tree, known, waiting, problems)
    return Dims(known, tree.entries.keys() - known.keys())


def check_dims_used(tree: Mapping, dims: Dims, problems: Problems) -> None:
    """Adds a problem for every dim that no size is written with."""
    section = get(tree, ("dims",))
    if not isinstance(section, Mapping) or problems:
        return  # with other problems around, a use may not have been reached
    inside = {
        name for entry in section.entries.values() for name in names_in(str(plain(entry.value)))
    }
    for name, entry in section.entries.items():
        if name in dims and name not in dims.used | inside:
            problems.add(
                "C117",
                f"dim '{name}' is used nowhere",
                entry.key,
                fix="remove it, or use it in a size",
            )


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_size(value: object) -> TypeGuard[int | float]:
    return _is_number(value) and isfinite(value) and abs(value) <= MAX_SIZE


def _calculate(
    tree: Mapping, known: dict[str, int | float], waiting: dict[str, str], problems: Problems
) -> None:
    """Moves every dim whose expression has a value from `waiting` to `known`."""
    failed: set[str] = set()
    while ready := [n for n, text in waiting.items() if not names_in(text) & waiting.keys()]:
        for name in ready:
            text = waiting.pop(name)
            try:
                known[name] = calculate(text, known)
            except ExpressionError as error:
                if not names_in(text) & failed:  # else its reason is told already
                    span = tree.entries[name].value.span
                    problems.add(
                        "C106", f"dim '{name}': {error}", span, fix=expression_fix(text, known)
                    )
                failed.add(name)
    reads = {name: sorted(names_in(text) & waiting.keys()) for name, text in waiting.items()}
    told: set[str] = set()
    for name in waiting:
        circle = _circle(name, reads)
        if circle is not None and not told & set(circle):
            told |= set(circle)
            _report_circle(tree, circle, problems)


def _circle(start: str, reads: AnyMapping[str, list[str]]) -> list[str] | None:
    """The shortest way from `start` back to it, both ends named; None if there is none."""
    trails, seen = [[start]], {start}
    for trail in trails:
        for name in reads[trail[-1]]:
            if name == start:
                return [*trail, start]
            if name not in seen:
                seen.add(name)
                trails.append([*trail, name])
    return None


def _report_circle(tree: Mapping, circle: list[str], problems: Problems) -> None:
    places = {name: tree.entries[name].value.span for name in circle}
    first = circle[0]
    if len(places) == 1:
        problems.add(
            "C109", f"dim '{first}' depends on itself", places[first], fix="write it as a number"
        )
        return
    problems.add(
        "C109",
        f"dims depend on each other in a circle: {' -> '.join(circle)}",
        places[first],
        notes=[
            Note(f"'{a}' depends on '{b}'", places[a])
            for a, b in zip(circle, circle[1:], strict=False)
        ],
        fix="write one of them as a number",
    )
