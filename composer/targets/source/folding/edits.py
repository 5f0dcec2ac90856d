"""Simplifications of statements and expressions; each is valid by itself."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator

from .facts import Expr, Knowledge, Known, Present
from .text import Edit, Text, assignments, functions, is_self, without_argument

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
"""Defaults of torch's functions and modules, left out of calls."""


def _literal(value: object) -> str:
    if isinstance(value, Expr):
        return value.text
    if isinstance(value, float) and value.is_integer() and abs(value) >= 10_000:  # noqa: PLR2004
        return f"{value:_.1f}"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


def statement_edits(text: Text, function: ast.FunctionDef, knows: Knowledge) -> Iterator[Edit]:
    """Branches that are decided, and statements that do nothing or are never reached."""
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


def _returned_at_once(text: Text, node: ast.AST) -> Iterator[Edit]:
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


def _after_return(text: Text, node: ast.AST) -> Iterator[Edit]:
    """Statements that a return makes unreachable."""
    for body in (getattr(node, "body", None), getattr(node, "orelse", None)):
        if not isinstance(body, list):
            continue
        for index, statement in enumerate(body[:-1]):
            if isinstance(statement, ast.Return):
                yield text.lines(body[index + 1])[0], text.lines(body[-1])[1], ""


def _body(text: Text, statements: list[ast.stmt], inside: ast.If) -> str:
    if not statements:
        return ""
    start, end = text.lines(statements[0])[0], text.lines(statements[-1])[1]
    if statements[0].lineno == inside.lineno:
        start = text.span(statements[0])[0]
    body = textwrap.dedent(text.source[start:end])
    if text.text(statements[0]).startswith("elif"):
        body = body.removeprefix("el")
    return textwrap.indent(body, " " * inside.col_offset)


def expression_edits(text: Text, function: ast.FunctionDef, knows: Knowledge) -> Iterator[Edit]:
    """Expressions that are decided, and arguments that are defaults anyway."""
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
            truth = (
                None
                if isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.Not)
                else knows.truth(node)
            )
            if truth is not None:
                yield start, end, str(truth)
        elif isinstance(node, ast.Call):
            yield from default_keywords(text, node)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            known, value = knows.fact(node)
            if known and not isinstance(value, Present | Known):
                yield start, end, _literal(value)


def _drops_nothing(text: Text, node: ast.Call) -> bool:
    """`F.dropout(x, 0.0, ...)`."""
    if text.text(node.func) != "F.dropout" or len(node.args) < 2:  # noqa: PLR2004 - x and the rate
        return False
    rate = node.args[1]
    return isinstance(rate, ast.Constant) and rate.value == 0


def _if_expression(text: Text, node: ast.IfExp, knows: Knowledge) -> Iterator[Edit]:
    start, end = text.span(node)
    truth = knows.truth(node.test)
    if truth is not None:
        yield start, end, text.text(node.body if truth else node.orelse)
    elif text.text(node.body) == text.text(node.orelse):
        yield start, end, text.text(node.body)


def _bool_expression(text: Text, node: ast.BoolOp, knows: Knowledge) -> Iterator[Edit]:
    start, end = text.span(node)
    known = [knows.truth(value) for value in node.values]
    if isinstance(node.op, ast.And) and False in known:
        yield start, end, "False"
        return
    if (
        isinstance(node.op, ast.Or)
        and True in known[: known.index(None) if None in known else None]
    ):
        yield start, end, text.text(node.values[known.index(True)])
        return
    neutral = isinstance(node.op, ast.And)
    if neutral in known:
        left = [text.text(v) for v, k in zip(node.values, known, strict=True) if k is not neutral]
        word = " and " if neutral else " or "
        yield start, end, word.join(left) or text.text(node.values[-1])


def default_keywords(text: Text, node: ast.Call) -> Iterator[Edit]:
    """Keywords that say what the library does without them."""
    if _drops_nothing(text, node):
        yield (*text.span(node), text.text(node.args[0]))
    defaults = LIBRARY_DEFAULTS.get(text.text(node.func), {})
    for keyword in node.keywords:
        if keyword.arg not in defaults or not isinstance(keyword.value, ast.Constant):
            continue
        value, default = keyword.value.value, defaults[keyword.arg]
        if value == default and type(value) is type(default):
            yield without_argument(text, keyword)


def inline_aliases(text: Text, function: ast.FunctionDef) -> Iterator[Edit]:
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


def unused_attributes(text: Text) -> Iterator[Edit]:
    """Attributes that are set to a plain value and never read."""
    read = {
        node.attr
        for node in ast.walk(text.tree)
        if isinstance(node, ast.Attribute) and is_self(node) and isinstance(node.ctx, ast.Load)
    }
    for node, target in assignments(text.tree):
        plain = isinstance(node.value, ast.Constant | ast.Name) or (
            isinstance(node.value, ast.Attribute) and not is_self(node.value)
        )
        if target.attr not in read and plain:
            start, end = text.lines(node)
            yield start, end, ""


def empty_init(text: Text) -> Iterator[Edit]:
    """A constructor that only calls that of its base."""
    for function in functions(text.tree):
        if function.name == "__init__" and [text.text(s) for s in function.body] == [
            "super().__init__()"
        ]:
            start, end = text.lines(function)
            yield start, end, ""
