"""Folding for one model: what its text says of the definitions that it uses."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from composer.targets.source.library import Definition, names_in

from .facts import PRESENT, Expr, Facts, Known, Uses
from .fold import fold
from .text import Edit, Text, parameters_and_defaults, parameters_of, without_argument
from .tidying import tidy

Given = Mapping[str, Any]


def fold_for_model(
    texts: list[str], used: list[Definition], calls: Mapping[str, list[dict[str, Any]]]
) -> tuple[list[str], list[str]]:
    """The texts and the definitions they use, every argument that never varies gone."""
    waiting = {definition.name: definition for definition in used}
    done: dict[str, str] = {}
    while waiting:
        current = [*texts, *done.values()]
        name = _next(waiting)
        definition = waiting.pop(name)
        if not any(name in names_in(text) for text in current):
            continue  # folding took its last use
        if definition.constant:
            done[name] = definition.text
            continue
        folded = fold(definition.text, _uses(definition, current, calls))
        gone = _lost_parameters(definition.text, folded)
        texts = [drop_arguments(text, name, gone, definition.text) for text in texts]
        done = {n: drop_arguments(text, name, gone, definition.text) for n, text in done.items()}
        done[name] = folded
    order = sorted(used, key=lambda d: d.name.startswith("init_"))
    return texts, [done[d.name] for d in order if d.name in done]


def _next(waiting: dict[str, Definition]) -> str:
    """A definition that no other waiting one uses, so that all of its uses are known."""
    for name in waiting:
        if not any(name in d.names() for other, d in waiting.items() if other != name):
            return name
    return next(iter(waiting))


_HOLDERS = {"self", "layer"}
"""Variables of emitted constructors that mean something else from place to place."""


def _uses(
    definition: Definition, texts: Iterable[str], calls: Mapping[str, list[dict[str, Any]]]
) -> Uses:
    """What the uses of a definition have in common."""
    tree = ast.parse(definition.text).body[0]
    if isinstance(tree, ast.FunctionDef):
        return Uses({tree.name: _call_facts(definition.name, tree, texts, method=False)})
    assert isinstance(tree, ast.ClassDef)
    methods = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    found: dict[str, Facts] = {}
    required: dict[str, frozenset[str]] = {}
    if "__init__" in methods:
        found["__init__"] = _call_facts(definition.name, methods["__init__"], texts, method=True)
        required["__init__"] = _always_given(definition.name, methods["__init__"], texts)
    if "forward" in methods and definition.name in calls:
        found["forward"], required["forward"] = _forward_facts(
            methods["forward"], calls[definition.name]
        )
    return Uses(found, required)


def _call_facts(
    name: str, function: ast.FunctionDef, texts: Iterable[str], *, method: bool
) -> Facts:
    """Facts about the parameters from all calls of `name`."""
    known = list(parameters_and_defaults(function))[1 if method else 0 :]
    parameters = [arg.arg for arg, _ in known]
    defaults = {arg.arg: default for arg, default in known if default is not None}
    values: dict[str, list[Any]] = {parameter: [] for parameter in parameters}
    for call in _calls(name, texts):
        given = dict(zip(parameters, call.args, strict=False))
        given |= {str(k.arg): k.value for k in call.keywords}
        for parameter in parameters:
            node = given.get(parameter, defaults.get(parameter))
            values[parameter].append(_value(node, method=method))
    facts: Facts = {}
    for parameter, found in values.items():
        fact = _common(found, defaults.get(parameter))
        if fact is not None:
            facts[parameter] = fact[0]
    return facts


def _always_given(name: str, function: ast.FunctionDef, texts: Iterable[str]) -> frozenset[str]:
    """Parameters of a constructor that every call gives."""
    parameters = [a.arg for a in parameters_of(function)][1:]
    given = [
        {*parameters[: len(call.args)], *(str(k.arg) for k in call.keywords)}
        for call in _calls(name, texts)
    ]
    return frozenset(set.intersection(*given)) if given else frozenset()


def _calls(name: str, texts: Iterable[str]) -> Iterable[ast.Call]:
    for text in texts:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id == name:
                    yield node
                elif node.func.id == "partial" and ast.unparse(node.args[0]) == name:
                    yield ast.Call(node.func, [], node.keywords)
            elif isinstance(node, ast.Call) and any(
                isinstance(a, ast.Name) and a.id == name for a in node.args
            ):
                yield ast.Call(node.func, [], [])  # handed on, e.g. to Module.apply


def _value(node: ast.expr | None, *, method: bool) -> Any:  # noqa: ANN401 - any constant
    """A constant, an expression that means the same everywhere, PRESENT, or unknown (...)."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
        return ast.literal_eval(node)
    if method and isinstance(node, ast.Name | ast.Attribute):
        if ast.unparse(node).split(".")[0].split("[")[0] in _HOLDERS:
            return PRESENT  # a part of the model, another one at every call
        return Expr(ast.unparse(node))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return Known((ast.literal_eval(node.left) ** ast.literal_eval(node.right),))
    return PRESENT if method and isinstance(node, ast.Call) else ...


def _common(values: list[Any], default: ast.expr | None) -> tuple[Any] | None:
    """The fact that all uses share, in a tuple, or None."""
    if not values or ... in values:
        return None
    numbers = _numbers(values)
    first = values[0]
    switch = first is None or isinstance(first, bool | str | Expr)
    usual = isinstance(default, ast.Constant) and default.value == first
    if (
        all(type(v) is type(first) and v == first for v in values)
        and first is not PRESENT
        and (switch or usual)
    ):
        return (first,)
    if numbers is not None:
        return (Known(numbers),)
    if all(
        v is PRESENT or isinstance(v, Expr) or (v not in (None, False) and v != 0) for v in values
    ):
        return (PRESENT,)
    return None


def _numbers(values: list[Any]) -> tuple[Any, ...] | None:
    """The numbers that an argument is given, if it is given nothing else."""
    found: list[Any] = []
    for value in values:
        found += value.values if isinstance(value, Known) else [value]
    plain = all(isinstance(v, int | float) and not isinstance(v, bool) for v in found)
    return tuple(found) if plain else None


def _forward_facts(
    function: ast.FunctionDef, uses: list[dict[str, Any]]
) -> tuple[Facts, frozenset[str]]:
    """Facts about what forward is given beside its input, and what it is always given."""
    facts: Facts = {}
    required = set()
    for arg in parameters_of(function)[2:]:
        given = [use.get(arg.arg) for use in uses]
        if not any(given):
            facts[arg.arg] = None
        elif all(given):
            required.add(arg.arg)
            if all(g == "tensor" for g in given):
                facts[arg.arg] = PRESENT
    return facts, frozenset(required)


def _lost_parameters(before: str, after: str) -> set[str]:
    """Parameters of a function or constructor that are known, or that folding found unread."""
    return _own_parameters(before) - _own_parameters(after)


def _own_parameters(source: str) -> set[str]:
    tree = ast.parse(source).body[0]
    if isinstance(tree, ast.ClassDef):
        methods = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        return {a.arg for m in methods for a in parameters_of(m)}
    assert isinstance(tree, ast.FunctionDef)
    return {a.arg for a in parameters_of(tree)}


def drop_arguments(source: str, name: str, dropped: set[str], definition: str) -> str:
    """`source` with the dropped arguments gone from every call of `name`."""
    parameters = _call_parameters(definition)
    while True:
        text = Text(source)
        edit = next(_dropped_arguments(text, name, dropped, parameters), None)
        if edit is None:
            return source
        start, end, new = edit
        source = tidy(source[:start] + new + source[end:])


def _call_parameters(definition: str) -> list[str]:
    (tree,) = ast.parse(definition).body
    if isinstance(tree, ast.ClassDef):
        inits = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        return [a.arg for a in inits[0].args.args[1:]] if inits else []
    assert isinstance(tree, ast.FunctionDef)
    return [a.arg for a in tree.args.args]


def _dropped_arguments(
    text: Text, name: str, dropped: set[str], parameters: list[str]
) -> Iterator[Edit]:
    for node in ast.walk(text.tree):
        if not isinstance(node, ast.Call) or text.text(node.func) != name:
            continue
        for keyword in node.keywords:
            if keyword.arg in dropped:
                yield without_argument(text, keyword)
        given = parameters[: len(node.args)]
        for parameter, argument in zip(given, node.args, strict=False):
            if parameter in dropped:
                # What follows by position must be named, or it would move.
                later = node.args[given.index(parameter) + 1 :]
                named = given[given.index(parameter) + 1 :]
                kept = [f"{p}={text.text(a)}" for p, a in zip(named, later, strict=True)]
                if later and set(named) - dropped:
                    start, end = text.span(argument)[0], text.span(later[-1])[1]
                    yield start, end, ", ".join(kept)
                else:
                    yield without_argument(text, argument)
