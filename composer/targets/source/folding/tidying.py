"""Layout: what fits on one line is joined, what does not is broken, blank lines left behind go."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator

from .text import Text

WIDTH = 100


def tidy(source: str) -> str:
    """Statements that fit on one line are on one, longer ones on several, no blank line too many."""
    text = Text(source)
    for node in sorted(_simple(text.tree), key=lambda n: -n.lineno):
        start, end = text.span(node)
        piece = source[start:end]
        if ("\n" not in piece and node.col_offset + len(piece) <= WIDTH) or "#" in piece:
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
    """A statement on one line, or the call that it ends with, its arguments on their own line."""
    if indent + len(joined) <= WIDTH:
        return joined
    try:
        (statement,) = ast.parse(joined).body
    except SyntaxError:
        return None
    call = getattr(statement, "value", None)
    while isinstance(call, ast.BinOp):
        call = call.right
    if not isinstance(call, ast.Call) or call.end_col_offset != len(joined.encode()):
        return None
    if any(isinstance(a, ast.GeneratorExp) for a in call.args):
        return None
    laid = _called(" " * indent + joined, call, indent, shift=indent)[indent:]
    return None if any(len(line) > WIDTH for line in laid.splitlines()) else laid


def _called(source: str, call: ast.Call, indent: int, shift: int = 0) -> str:
    """A text that ends with a call, its arguments broken up too where they are too long.

    The call's places count from `shift` on.
    """
    text = Text(source[shift:])
    head = source[: shift + text.span(call)[0]] + text.text(call.func)
    pairs = [("", a) for a in call.args] + [(f"{k.arg}=", k.value) for k in call.keywords]
    items = []
    for name, value in pairs:
        item = name + text.text(value)
        if isinstance(value, ast.Call) and indent + 5 + len(item) > WIDTH:
            (inner,) = ast.parse(item).body
            made = getattr(inner, "value", None)
            assert isinstance(made, ast.Call), "a call, or a name that is given one"
            item = _called(item, made, indent + 4)
        items.append(item)
    return bracketed(head, items, "", indent)


def bracketed(head: str, items: list[str], tail: str, indent: int) -> str:
    """`head(items)tail` on one line, or the items on one line of their own, or on many."""
    inside = ", ".join(items)
    if len(head) + len(inside) + len(tail) + 2 <= WIDTH:
        return f"{head}({inside}){tail}"
    pad = " " * (indent + 4)
    if len(pad) + len(inside) <= WIDTH:
        return f"{head}(\n{pad}{inside}\n{pad[4:]}){tail}"
    return f"{head}(\n" + "".join(f"{pad}{item},\n" for item in items) + f"{pad[4:]}){tail}"


def _same(one: str, other: str) -> bool:
    """Whether two texts of one statement mean the same."""
    return ast.dump(ast.parse(one)) == ast.dump(ast.parse(textwrap.dedent(other)))


def _simple(tree: ast.Module) -> Iterator[ast.stmt]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.Return | ast.AugAssign) or (
            isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
        ):
            yield node
