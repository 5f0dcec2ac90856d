"""A source with its syntax tree and the places of its nodes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

Edit = tuple[int, int, str]
"""Start, end, and what stands there instead."""


class Text:
    """A source with its tree and the offsets of its nodes."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tree = ast.parse(source)
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.ascii = source.isascii()

    def offset(self, line: int, column: int) -> int:
        """The offset in the source of a line and a column in bytes."""
        if self.ascii:
            return self.starts[line - 1] + column
        text = self.source[self.starts[line - 1] : self.starts[line]]
        return self.starts[line - 1] + len(text.encode()[:column].decode())

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Where a node starts and ends in the source."""
        first: Any = node
        return (
            self.offset(first.lineno, first.col_offset),
            self.offset(first.end_lineno, first.end_col_offset),
        )

    def text(self, node: ast.AST) -> str:
        """The source of a node."""
        start, end = self.span(node)
        return self.source[start:end]

    def lines(self, node: ast.stmt) -> tuple[int, int]:
        """The whole lines of a statement."""
        assert node.end_lineno is not None
        return self.starts[node.lineno - 1], self.starts[node.end_lineno]


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """The function itself, or the methods of the class."""
    (definition,) = tree.body
    if isinstance(definition, ast.FunctionDef):
        yield definition
    else:
        assert isinstance(definition, ast.ClassDef)
        yield from (node for node in definition.body if isinstance(node, ast.FunctionDef))


def parameters_of(function: ast.FunctionDef) -> list[ast.arg]:
    """The parameters of a function that can be named in a call."""
    return [*function.args.args, *function.args.kwonlyargs]


def parameters_and_defaults(
    function: ast.FunctionDef,
) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    """The parameters of a function that can be named in a call, each with its default."""
    arguments = function.args
    without = len(arguments.args) - len(arguments.defaults)
    defaults = [*[None] * without, *arguments.defaults, *arguments.kw_defaults]
    yield from zip(parameters_of(function), defaults, strict=True)


def is_self(node: ast.AST) -> bool:
    """Whether a node is an attribute of `self`."""
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def assignments(tree: ast.AST) -> Iterator[tuple[ast.Assign, ast.Attribute]]:
    """Assignments of one attribute of self."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and is_self(node.targets[0]):
            target = node.targets[0]
            assert isinstance(target, ast.Attribute)
            yield node, target


def without_argument(text: Text, node: ast.AST) -> Edit:
    """Removes an argument with the comma that separates it."""
    start, end = text.span(node)
    before = re.search(r",\s*$", text.source[:start])
    if before:
        return before.start(), end, ""
    after = re.match(r"\s*,\s*", text.source[end:])
    return start, end + (after.end() if after else 0), ""
