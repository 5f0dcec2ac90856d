"""What is known of the arguments and attributes of a definition in one model."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .text import Text, assignments, functions, is_self


@dataclass(frozen=True, slots=True)
class Expr:
    """A known value that is written as this expression, e.g. `F.relu`."""

    text: str


@dataclass(frozen=True, slots=True)
class Known:
    """A value that stays an argument but is one of these, so that tests of it are decided."""

    values: tuple[Any, ...]


class Present:
    """Marks a value that is not known but surely neither None nor zero."""


PRESENT = Present()

Facts = dict[str, Any]
"""Known values by name: constants, `Expr`, `Known`, or PRESENT."""


@dataclass(frozen=True)
class Uses:
    """How a definition is used: facts about its parameters, by function name."""

    facts: Mapping[str, Facts]
    required: Mapping[str, frozenset[str]] = field(default_factory=dict)


class Knowledge:
    """What is known of expressions."""

    def __init__(self, text: Text, facts: Facts, attributes: Facts) -> None:
        self.text, self.facts, self.attributes = text, facts, attributes

    def fact(self, node: ast.expr) -> tuple[bool, Any]:
        """Whether a name or attribute is known, and its value or PRESENT."""
        if isinstance(node, ast.Constant):
            return True, node.value
        if isinstance(node, ast.Name) and node.id in self.facts:
            return True, self.facts[node.id]
        if is_self(node) and node.attr in self.attributes:  # type: ignore[attr-defined]
            return True, self.attributes[node.attr]  # type: ignore[attr-defined]
        return False, None

    def truth(self, node: ast.expr) -> bool | None:
        """Whether a test holds, if that is known."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.truth(node.operand)
            return None if inner is None else not inner
        if isinstance(node, ast.BoolOp):
            known = [self.truth(value) for value in node.values]
            decisive = isinstance(node.op, ast.Or)
            if decisive in known:
                return decisive
            return not decisive if None not in known else None
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            return self._compared(node)
        known_, value = self.fact(node)
        if not known_:
            return None
        if isinstance(value, Known):
            return _agreed(bool(v) for v in value.values)
        return True if value is PRESENT or isinstance(value, Expr) else bool(value)

    def _compared(self, node: ast.Compare) -> bool | None:
        known, left = self.fact(node.left)
        other, right = self.fact(node.comparators[0])
        op = node.ops[0]
        if not known or not other:
            return None
        if isinstance(left, Known):
            if isinstance(op, ast.Eq | ast.NotEq) and not isinstance(right, Known | Expr | Present):
                return _agreed((v == right) == isinstance(op, ast.Eq) for v in left.values)
            return isinstance(op, ast.IsNot) if right is None else None
        if isinstance(op, ast.Is | ast.IsNot) and right is None:
            return (left is None) == isinstance(op, ast.Is)
        if left is PRESENT or right is PRESENT or isinstance(left, Expr):
            return None
        if isinstance(op, ast.Eq | ast.NotEq):
            return bool(left == right) == isinstance(op, ast.Eq)
        return None


def _agreed(answers: Iterable[bool]) -> bool | None:
    found = set(answers)
    return found.pop() if len(found) == 1 else None


def still_known(text: Text, uses: Uses) -> Uses:
    """`uses` less what is said of parameters that the text assigns another value."""
    facts = {}
    for name, known in uses.facts.items():
        changed = {n for f in functions(text.tree) if f.name == name for n in _changed(f, known)}
        facts[name] = {n: fact for n, fact in known.items() if n not in changed}
    return Uses(facts, uses.required)


def _changed(function: ast.FunctionDef, known: Facts) -> Iterator[str]:
    """Parameters that are assigned; one that is PRESENT may be assigned what a call gives."""
    made = {
        id(node.targets[0])
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
    }
    for node in ast.walk(function):
        if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Store):
            continue
        if node.id in known and (known[node.id] is not PRESENT or id(node) not in made):
            yield node.id


def known_attributes(text: Text, uses: Uses) -> Facts:
    """Attributes of self that are set once, to something known."""
    facts: Facts = {}
    count = Counter(
        node.attr
        for node in ast.walk(text.tree)
        if isinstance(node, ast.Attribute) and is_self(node) and isinstance(node.ctx, ast.Store)
    )
    init = uses.facts.get("__init__", {})
    for node, target in assignments(text.tree):
        if isinstance(node.value, ast.Constant):
            facts[target.attr] = node.value.value
        elif isinstance(node.value, ast.Call):
            facts[target.attr] = PRESENT
        elif isinstance(node.value, ast.Name) and node.value.id in init:
            facts[target.attr] = init[node.value.id]
        elif isinstance(node.value, ast.Attribute | ast.Name):
            facts[target.attr] = _global(text.text(node.value), init)
    return {n: f for n, f in facts.items() if count[n] == 1 and f is not _UNKNOWN}


_UNKNOWN = object()


def _global(expression: str, init: Facts) -> object:
    """An expression that was folded in, e.g. an activation, is known in all methods."""
    folded = {fact.text for fact in init.values() if isinstance(fact, Expr)}
    return Expr(expression) if expression in folded else _UNKNOWN
