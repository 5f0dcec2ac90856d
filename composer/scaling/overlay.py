"""Changed numbers as what an entry of `sizes` says, and that as text."""

from __future__ import annotations

from typing import Any

from composer.diagnostics import Span
from composer.language.document import (
    Loc,
    Mapping,
    Scalar,
    Sequence,
    Tree,
    from_plain,
    get,
    plain,
    to_yaml,
)
from composer.language.flow import flow
from composer.language.flow import key as key_text

_WIDTH = 100


def overlay(tree: Tree, changes: dict[Loc, Any]) -> dict[str, Any]:
    """The mapping that merged over `tree` makes these changes.

    A list cannot be merged, so one with a change in it is written whole.
    """
    made: dict[str, Any] = {}
    for loc in sorted(changes, key=lambda loc: _order(tree, loc)):
        _put(made, tree, loc, 0, changes[loc])
    return made


def to_tree(data: dict[str, Any]) -> Tree:
    """The overlay as a tree; nothing in it has a place in a file."""
    return from_plain(data, Span("<scaled>", 1, 1, 1))


def joined(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`base` with `over` merged over it, as sizes are merged over a spec."""
    data = dict(base)
    for key, value in over.items():
        below = data.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        data[key] = joined(below, value) if both and isinstance(below, dict) else value
    return data


def entry_lines(name: str, data: dict[str, Any], indent: int) -> list[str]:
    """An entry of `sizes` in block style, one section a line where it fits."""
    pad, below = " " * indent, " " * (indent * 2)
    if not data:
        return [f"{pad}{key_text(name)}: {{}}"]
    lines = [f"{pad}{key_text(name)}:"]
    for section, value in data.items():
        line = f"{below}{section}: {flow(value)}"
        if len(line) <= _WIDTH:
            lines.append(line)
        else:
            block = to_yaml({section: value}).splitlines()
            lines += [below + text for text in block]
    return lines


def _order(tree: Tree, loc: Loc) -> tuple[int, ...]:
    """Where a place stands among all of the tree, for entries in the order of the spec."""
    order: list[int] = []
    for at, key in enumerate(loc):
        above = get(tree, loc[:at])
        keys = list(above.entries) if isinstance(above, Mapping) else []
        new = len(keys) if isinstance(key, str) else key
        order.append(keys.index(key) if key in keys else new)
    return tuple(order)


def _put(made: dict[str, Any], tree: Tree, loc: Loc, at: int, value: object) -> None:
    key = loc[at]
    assert isinstance(key, str), "a list is written whole before its items are reached"
    if at == len(loc) - 1:
        made[key] = value
        return
    standing = get(tree, loc[: at + 1])
    if isinstance(standing, Sequence):
        items = made.setdefault(key, plain(standing))
        _put_inside(items, loc[at + 1 :], value)
        return
    if key not in made:
        kind = standing.value if isinstance(standing, Scalar) else None
        made[key] = {"kind": kind} if isinstance(kind, str) else {}
    _put(made[key], tree, loc, at + 1, value)


def _put_inside(items: Any, loc: Loc, value: object) -> None:  # noqa: ANN401 - plain data
    for key in loc[:-1]:
        items = items[key]
    items[loc[-1]] = value
