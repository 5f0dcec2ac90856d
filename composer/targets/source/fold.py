"""Folding: a definition loses every branch and argument that its uses in one model do not need.

Works on text by the places that the syntax tree gives, so that comments and layout stay. One
simplification is made at a time until none is left; each is valid by itself.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

WIDTH = 100


@dataclass(frozen=True, slots=True)
class Expr:
    """A known value that is written as this expression, e.g. `F.relu`."""

    text: str


@dataclass(frozen=True, slots=True)
class Known:
    """A value that stays an argument but is one of these, so that tests of it are decided."""

    values: tuple[Any, ...]


class _Present:
    """Marks a value that is not known but surely neither None nor zero."""


PRESENT = _Present()

Facts = dict[str, Any]
"""Known values by name: constants, `Expr`, or PRESENT."""

LIBRARY_DEFAULTS: dict[str, dict[str, object]] = {
    "F.scaled_dot_product_attention": {
        "attn_mask": None, "dropout_p": 0.0, "is_causal": False, "scale": None, "enable_gqa": False,
    },
    "nn.Linear": {"bias": True},
    "nn.Conv1d": {"bias": True},
    "nn.Conv2d": {"bias": True},
    "nn.LayerNorm": {"eps": 1e-5, "elementwise_affine": True, "bias": True},
    "nn.RMSNorm": {"eps": None, "elementwise_affine": True},
    "torch.cat": {"dim": 0},
}  # fmt: skip


@dataclass(frozen=True)
class Uses:
    """How a definition is used: facts about its parameters, by function name."""

    facts: Mapping[str, Facts]
    required: Mapping[str, frozenset[str]] = field(default_factory=dict)


def fold(source: str, uses: Uses) -> str:
    """`source`, one class or function, for these uses only."""
    for _ in range(500):
        edit = next(_edits(source, uses), None)
        if edit is None:
            return _tidy(_signatures(source, uses))
        start, end, text = edit
        source = source[:start] + text + source[end:]
    msg = "folding does not end"
    raise AssertionError(msg)


Edit = tuple[int, int, str]


class _Text:
    """A source with its tree and the offsets of its nodes."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tree = ast.parse(source)
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.ascii = source.isascii()

    def offset(self, line: int, column: int) -> int:
        if self.ascii:
            return self.starts[line - 1] + column
        text = self.source[self.starts[line - 1] : self.starts[line]]
        return self.starts[line - 1] + len(text.encode()[:column].decode())

    def span(self, node: ast.AST) -> tuple[int, int]:
        first: Any = node
        return (
            self.offset(first.lineno, first.col_offset),
            self.offset(first.end_lineno, first.end_col_offset),
        )

    def text(self, node: ast.AST) -> str:
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


def _edits(source: str, uses: Uses) -> Iterator[Edit]:
    text = _Text(source)
    attributes = _attributes(text, uses)
    for function in functions(text.tree):
        facts = dict(uses.facts.get(function.name, {}))
        parameters = {arg.arg for arg in _parameters(function)}
        facts = {name: fact for name, fact in facts.items() if name in parameters}
        knows = _Knowledge(text, facts, attributes)
        yield from _statement_edits(text, function, knows)
        yield from _expression_edits(text, function, knows)
        yield from _aliases(text, function)
    yield from _unused_attributes(text)
    yield from _empty_init(text)


def _empty_init(text: _Text) -> Iterator[Edit]:
    """A constructor that only calls that of its base."""
    for function in functions(text.tree):
        if function.name == "__init__" and [text.text(s) for s in function.body] == ["super().__init__()"]:
            start, end = text.lines(function)
            yield start, end, ""


def _parameters(function: ast.FunctionDef) -> list[ast.arg]:
    return [*function.args.args, *function.args.kwonlyargs]


class _Knowledge:
    """What is known of expressions."""

    def __init__(self, text: _Text, facts: Facts, attributes: Facts) -> None:
        self.text, self.facts, self.attributes = text, facts, attributes

    def fact(self, node: ast.expr) -> tuple[bool, Any]:
        """Whether a name or attribute is known, and its value or PRESENT."""
        if isinstance(node, ast.Constant):
            return True, node.value
        if isinstance(node, ast.Name) and node.id in self.facts:
            return True, self.facts[node.id]
        if _is_self(node) and node.attr in self.attributes:  # type: ignore[attr-defined]
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
            if isinstance(op, ast.Eq | ast.NotEq) and not isinstance(right, Known | Expr | _Present):
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


def _is_self(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def _assignments(tree: ast.AST) -> Iterator[tuple[ast.Assign, ast.Attribute]]:
    """Assignments of one attribute of self."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and _is_self(node.targets[0]):
            target = node.targets[0]
            assert isinstance(target, ast.Attribute)
            yield node, target


def _attributes(text: _Text, uses: Uses) -> Facts:
    """Attributes of self that are set once, to something known."""
    facts: Facts = {}
    count: dict[str, int] = {}
    init = uses.facts.get("__init__", {})
    for node, target in _assignments(text.tree):
        count[target.attr] = count.get(target.attr, 0) + 1
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


def _literal(value: object) -> str:
    if isinstance(value, Expr):
        return value.text
    if isinstance(value, float) and value.is_integer() and abs(value) >= 10_000:  # noqa: PLR2004
        return f"{value:_.1f}"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


def _statement_edits(text: _Text, function: ast.FunctionDef, knows: _Knowledge) -> Iterator[Edit]:
    for node in ast.walk(function):
        if isinstance(node, ast.If):
            truth = knows.truth(node.test)
            if truth is not None:
                start, end = text.lines(node)
                kept = _body(text, node.body if truth else node.orelse, node)
                if text.text(node).startswith("elif") and kept:
                    pad = " " * node.col_offset
                    kept = f"{pad}else:\n{textwrap.indent(kept, '    ')}"
                yield start, end, kept
        yield from _returned_at_once(text, node)
        if isinstance(node, ast.Assign) and _is_noop(node):
            start, end = text.lines(node)
            yield start, end, ""
        yield from _after_return(text, node)


def _returned_at_once(text: _Text, node: ast.AST) -> Iterator[Edit]:
    """`x = E` and `return x` become `return E`."""
    body = getattr(node, "body", None)
    if not isinstance(body, list) or len(body) < 2:  # noqa: PLR2004 - two statements
        return
    last, result = body[-2:]
    if not isinstance(last, ast.Assign) or not isinstance(result, ast.Return):
        return
    target, value = last.targets[0], result.value
    same = isinstance(target, ast.Name) and isinstance(value, ast.Name) and target.id == value.id
    if same:
        yield text.span(last)[0], text.span(result)[1], f"return {text.text(last.value)}"


def _is_noop(node: ast.Assign) -> bool:
    """`x = x`, left over from folding."""
    target = node.targets[0]
    return (
        isinstance(target, ast.Name)
        and isinstance(node.value, ast.Name)
        and target.id == node.value.id
    )


def _after_return(text: _Text, node: ast.AST) -> Iterator[Edit]:
    """Statements that a return makes unreachable."""
    for body in (getattr(node, "body", None), getattr(node, "orelse", None)):
        if not isinstance(body, list):
            continue
        for index, statement in enumerate(body[:-1]):
            if isinstance(statement, ast.Return):
                yield text.lines(body[index + 1])[0], text.lines(body[-1])[1], ""


def _body(text: _Text, statements: list[ast.stmt], inside: ast.If) -> str:
    if not statements:
        return ""
    start, end = text.lines(statements[0])[0], text.lines(statements[-1])[1]
    if statements[0].lineno == inside.lineno:
        start = text.span(statements[0])[0]
    body = textwrap.dedent(text.source[start:end])
    if text.text(statements[0]).startswith("elif"):
        body = body.removeprefix("el")
    return textwrap.indent(body, " " * inside.col_offset)


def _expression_edits(text: _Text, function: ast.FunctionDef, knows: _Knowledge) -> Iterator[Edit]:
    signature = {id(n) for d in (*function.args.defaults, *function.args.args) for n in ast.walk(d)}
    for node in ast.walk(function):
        if id(node) in signature or not isinstance(node, ast.expr):
            continue
        start, end = text.span(node)
        if isinstance(node, ast.IfExp):
            yield from _if_expression(text, node, knows)
        elif isinstance(node, ast.BoolOp):
            yield from _bool_expression(text, node, knows)
        elif isinstance(node, ast.Compare | ast.UnaryOp):
            truth = None if isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.Not) else knows.truth(node)
            if truth is not None:
                yield start, end, str(truth)
        elif isinstance(node, ast.Call):
            yield from _default_keywords(text, node)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            known, value = knows.fact(node)
            if known and not isinstance(value, _Present | Known):
                yield start, end, _literal(value)


def _if_expression(text: _Text, node: ast.IfExp, knows: _Knowledge) -> Iterator[Edit]:
    start, end = text.span(node)
    truth = knows.truth(node.test)
    if truth is not None:
        yield start, end, text.text(node.body if truth else node.orelse)
    elif text.text(node.body) == text.text(node.orelse):
        yield start, end, text.text(node.body)


def _bool_expression(text: _Text, node: ast.BoolOp, knows: _Knowledge) -> Iterator[Edit]:
    start, end = text.span(node)
    known = [knows.truth(value) for value in node.values]
    if isinstance(node.op, ast.And) and False in known:
        yield start, end, "False"
        return
    if isinstance(node.op, ast.Or) and True in known[: known.index(None) if None in known else None]:
        yield start, end, text.text(node.values[known.index(True)])
        return
    neutral = isinstance(node.op, ast.And)
    if neutral in known:
        left = [text.text(v) for v, k in zip(node.values, known, strict=True) if k is not neutral]
        word = " and " if neutral else " or "
        yield start, end, word.join(left) or text.text(node.values[-1])


def _default_keywords(text: _Text, node: ast.Call) -> Iterator[Edit]:
    defaults = LIBRARY_DEFAULTS.get(text.text(node.func), {})
    for keyword in node.keywords:
        if keyword.arg not in defaults or not isinstance(keyword.value, ast.Constant):
            continue
        value, default = keyword.value.value, defaults[keyword.arg]
        if value == default and type(value) is type(default):
            yield _without_argument(text, keyword)


def _without_argument(text: _Text, node: ast.AST) -> Edit:
    """Removes an argument with the comma that separates it."""
    start, end = text.span(node)
    before = re.search(r",\s*$", text.source[:start])
    if before:
        return before.start(), end, ""
    after = re.match(r"\s*,\s*", text.source[end:])
    return start, end + (after.end() if after else 0), ""


def _aliases(text: _Text, function: ast.FunctionDef) -> Iterator[Edit]:
    """Inlines `a = b` where both keep their values for as long as `a` is read."""
    for node in function.body:
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        target, value = node.targets[0], node.value
        if not isinstance(target, ast.Name) or not isinstance(value, ast.Name | ast.Constant):
            continue
        names = [n for n in ast.walk(function) if isinstance(n, ast.Name)]
        stores = [n for n in names if n.id == target.id and isinstance(n.ctx, ast.Store)]
        reads = [n for n in names if n.id == target.id and isinstance(n.ctx, ast.Load)]
        if len(stores) != 1:
            continue
        if not reads:
            start, end = text.lines(node)
            yield start, end, ""
            continue
        last = max(n.lineno for n in reads)
        if isinstance(value, ast.Name):
            changed = [n.lineno for n in names if n.id == value.id and isinstance(n.ctx, ast.Store)]
            if any(node.lineno < line < last for line in changed):
                continue
        start, end = text.span(reads[0])
        yield start, end, text.text(value)


def _unused_attributes(text: _Text) -> Iterator[Edit]:
    """Attributes that are set to a plain value and never read."""
    read = {
        node.attr
        for node in ast.walk(text.tree)
        if isinstance(node, ast.Attribute) and _is_self(node) and isinstance(node.ctx, ast.Load)
    }
    for node, target in _assignments(text.tree):
        plain = isinstance(node.value, ast.Constant | ast.Name) or (
            isinstance(node.value, ast.Attribute) and not _is_self(node.value)
        )
        if target.attr not in read and plain:
            start, end = text.lines(node)
            yield start, end, ""


def _signatures(source: str, uses: Uses) -> str:
    """Drops parameters that are known or not read, and defaults of those that are always given."""
    text = _Text(source)
    for function in reversed(list(functions(text.tree))):
        source = _signature(text, source, function, uses)
        text = _Text(source)
    return source


def _signature(text: _Text, source: str, function: ast.FunctionDef, uses: Uses) -> str:
    facts = uses.facts.get(function.name, {})
    required = uses.required.get(function.name, frozenset())
    read = {n.id for s in function.body for n in ast.walk(s) if isinstance(n, ast.Name)}
    arguments = function.args
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + list(arguments.defaults)
    needed: list[str] = []
    optional: list[str] = []
    for arg, default in zip(arguments.args, defaults, strict=True):
        folded = not isinstance(facts.get(arg.arg, PRESENT), _Present | Known)
        if arg.arg != "self" and (folded or arg.arg not in read):
            continue
        written = text.text(arg)
        if default is None or arg.arg in required:
            if isinstance(facts.get(arg.arg), _Present | Known):
                written = written.replace(" | None", "")
            needed.append(written)
        else:
            optional.append(f"{written} = {text.text(default)}")
    if arguments.vararg is not None:
        needed.append("*" + text.text(arguments.vararg))
    start = text.source.index("(", text.span(function)[0])
    end = text.span(function.body[0])[0]
    end = text.source.rindex(":", start, end)
    returns = "" if function.returns is None else f" -> {_returned(text, function)}"
    if needed + optional == [text.text(a) for a in arguments.args] and not optional:
        return source
    head = text.source[text.starts[function.lineno - 1] : start]
    one = _bracketed(head, needed + optional, returns + ":", function.col_offset)
    return source[: text.starts[function.lineno - 1]] + one + source[end + 1 :]


def _bracketed(head: str, items: list[str], tail: str, indent: int) -> str:
    """`head(items)tail` on one line, or the items on one line of their own, or on many."""
    inside = ", ".join(items)
    if len(head) + len(inside) + len(tail) + 2 <= WIDTH:
        return f"{head}({inside}){tail}"
    pad = " " * (indent + 4)
    if len(pad) + len(inside) <= WIDTH:
        return f"{head}(\n{pad}{inside}\n{pad[4:]}){tail}"
    return f"{head}(\n" + "".join(f"{pad}{item},\n" for item in items) + f"{pad[4:]}){tail}"


def _returned(text: _Text, function: ast.FunctionDef) -> str:
    assert function.returns is not None
    written = text.text(function.returns)
    if not written.startswith("Tensor | tuple"):
        return written
    values = [n.value for n in ast.walk(function) if isinstance(n, ast.Return)]
    if all(isinstance(value, ast.Tuple) for value in values):
        return written.removeprefix("Tensor | ")
    if not any(isinstance(v, ast.Tuple) or (isinstance(v, ast.Constant) and v.value is None) for v in values):
        return "Tensor"
    return written


def _tidy(source: str) -> str:
    """Joins what fits on one line and removes blank lines that folding left behind."""
    text = _Text(source)
    for node in sorted(_simple(text.tree), key=lambda n: -n.lineno):
        start, end = text.span(node)
        piece = source[start:end]
        if "\n" not in piece or "#" in piece:
            continue
        joined = re.sub(r"\s*\n\s*", " ", piece)
        joined = re.sub(r"([(\[{]) ", r"\1", joined)
        joined = re.sub(r",? ([)\]}])", r"\1", joined)
        laid = _relaid(joined, node.col_offset)
        if laid is not None and _same(laid, " " * node.col_offset + piece):
            source = source[:start] + laid + source[end:]
    source = re.sub(r"\n{3,}", "\n\n", source)
    return re.sub(r":\n\n+(?= )", ":\n", source)


def _relaid(joined: str, indent: int) -> str | None:
    """A statement on one line, or its outermost call with the arguments on their own line."""
    if indent + len(joined) <= WIDTH:
        return joined
    try:
        (statement,) = ast.parse(joined).body
    except SyntaxError:
        return None
    call = getattr(statement, "value", None)
    if not isinstance(call, ast.Call) or call.end_col_offset != len(joined.encode()):
        return None
    text = _Text(joined)
    head = text.text(call.func)
    start = text.span(call)[0] + len(head)
    items = [text.text(a) for a in call.args]
    items += [f"{k.arg}={text.text(k.value)}" for k in call.keywords]
    if any(isinstance(a, ast.GeneratorExp) for a in call.args):
        return None
    laid = _bracketed(" " * indent + joined[:start], items, "", indent)[indent:]
    return None if any(len(line) > WIDTH for line in laid.splitlines()) else laid


def _same(one: str, other: str) -> bool:
    """Whether two texts of one statement mean the same."""
    return ast.dump(ast.parse(one)) == ast.dump(ast.parse(textwrap.dedent(other)))


def _simple(tree: ast.Module) -> Iterator[ast.stmt]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.Return | ast.AugAssign) or (
            isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
        ):
            yield node


def names_in_call(source: str, name: str, dropped: set[str], definition: str) -> str:
    """`source` with the dropped arguments gone from every call of `name`."""
    parameters = _call_parameters(definition)
    while True:
        text = _Text(source)
        edit = next(_dropped_arguments(text, name, dropped, parameters), None)
        if edit is None:
            return source
        start, end, new = edit
        source = _tidy(source[:start] + new + source[end:])


def _call_parameters(definition: str) -> list[str]:
    (tree,) = ast.parse(definition).body
    if isinstance(tree, ast.ClassDef):
        inits = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        return [a.arg for a in inits[0].args.args[1:]] if inits else []
    assert isinstance(tree, ast.FunctionDef)
    return [a.arg for a in tree.args.args]


def _dropped_arguments(
    text: _Text, name: str, dropped: set[str], parameters: list[str]
) -> Iterator[Edit]:
    for node in ast.walk(text.tree):
        if not isinstance(node, ast.Call) or text.text(node.func) != name:
            continue
        for keyword in node.keywords:
            if keyword.arg in dropped:
                yield _without_argument(text, keyword)
        given = parameters[: len(node.args)]
        for parameter, argument in zip(given, node.args, strict=False):
            if parameter in dropped:
                # What follows by position must be named, or it would move.
                later = node.args[given.index(parameter) + 1 :]
                named = given[given.index(parameter) + 1 :]
                kept = [f"{p}={text.text(a)}" for p, a in zip(named, later, strict=True)]
                if later and set(named) - dropped:
                    start, end = text.span(argument)[0], text.span(later[-1])[1]
                    rest = parameters_left(parameters, parameter, dropped, named)
                    pieces = [text.text(a) for a in later] if rest else kept
                    yield start, end, ", ".join(pieces)
                else:
                    yield _without_argument(text, argument)


def parameters_left(
    parameters: list[str], gone: str, dropped: set[str], named: list[str]
) -> bool:
    """Whether arguments after a dropped one keep their order without it."""
    return not dropped & set(named) and parameters.index(gone) + 1 == parameters.index(named[0])
