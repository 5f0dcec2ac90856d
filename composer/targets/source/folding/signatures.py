"""Signatures: parameters that are known or not read go, those always given lose their default."""

from __future__ import annotations

import ast
import re

from .facts import PRESENT, Known, Present, Uses
from .text import Text, functions, parameters_and_defaults, parameters_of
from .tidying import bracketed


def fold_signatures(source: str, uses: Uses) -> str:
    """Drops parameters that are known or not read, and defaults of those that are always given."""
    text = Text(source)
    for function in reversed(list(functions(text.tree))):
        had = {arg.arg for arg in parameters_of(function)}
        source = _signature(text, source, function, uses)
        text = Text(source)
        source = _documented(text, source, function.name, had)
        text = Text(source)
    return source


def _documented(text: Text, source: str, name: str, had: set[str]) -> str:
    """`source` whose docstring of a function has no shapes of parameters that it `had`."""
    function = next(f for f in functions(text.tree) if f.name == name)
    if ast.get_docstring(function) is None:
        return source
    start, end = text.span(function.body[0])
    said = source[start:end]
    for lost in sorted(had - {arg.arg for arg in parameters_of(function)}):
        said = re.sub(rf",\s+{lost} \([^()]*\)", "", said)
    return source[:start] + said + source[end:]


def _signature(text: Text, source: str, function: ast.FunctionDef, uses: Uses) -> str:
    facts = uses.facts.get(function.name, {})
    required = uses.required.get(function.name, frozenset())
    read = {n.id for s in function.body for n in ast.walk(s) if isinstance(n, ast.Name)}
    arguments = function.args
    named: list[str] = []
    needed: list[str] = []
    optional: list[str] = []
    for arg, default in parameters_and_defaults(function):
        folded = not isinstance(facts.get(arg.arg, PRESENT), Present | Known)
        if arg.arg != "self" and (folded or arg.arg not in read):
            continue
        written = text.text(arg)
        if arg in arguments.kwonlyargs:
            named.append(written if default is None else f"{written} = {text.text(default)}")
        elif default is None or arg.arg in required:
            if isinstance(facts.get(arg.arg), Present | Known):
                written = written.replace(" | None", "")
            needed.append(written)
        else:
            optional.append(f"{written} = {text.text(default)}")
    if arguments.vararg is not None:
        needed.append("*" + text.text(arguments.vararg))
    if named:
        optional += [*(["*"] if arguments.vararg is None else []), *named]
    if arguments.kwarg is not None:
        optional.append("**" + text.text(arguments.kwarg))
    start = text.source.index("(", text.span(function)[0])
    end = text.source.index(":", _signature_end(text, function, start))
    returns = "" if function.returns is None else f" -> {_returned(text, function)}"
    if needed + optional == [text.text(a) for a in arguments.args] and not optional:
        return source
    head = text.source[text.starts[function.lineno - 1] : start]
    one = bracketed(head, needed + optional, returns + ":", function.col_offset)
    return source[: text.starts[function.lineno - 1]] + one + source[end + 1 :]


def _signature_end(text: Text, function: ast.FunctionDef, start: int) -> int:
    """The offset after the last annotation, default or argument of a signature."""
    arguments = function.args
    nodes = [*parameters_of(function), *arguments.defaults, *arguments.kw_defaults]
    nodes += [arguments.vararg, arguments.kwarg, function.returns]
    ends = [text.span(node)[1] for node in nodes if node is not None]
    return text.source.index(")", max(ends)) if function.returns is None else max([start, *ends])


def _returned(text: Text, function: ast.FunctionDef) -> str:
    assert function.returns is not None
    written = text.text(function.returns)
    if not written.startswith("Tensor | tuple"):
        return written
    values = [n.value for n in ast.walk(function) if isinstance(n, ast.Return)]
    if all(isinstance(value, ast.Tuple) for value in values):
        return written.removeprefix("Tensor | ")
    if not any(
        isinstance(v, ast.Tuple) or (isinstance(v, ast.Constant) and v.value is None)
        for v in values
    ):
        return "Tensor"
    return written
