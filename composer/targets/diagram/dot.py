"""The DOT language: a sheet as its text, and the one place where text is quoted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .sheet import Attribute, Attributes, Html, Item, Line, Node, Remark, Row, Sheet

LONGEST = 120
"""Of a label that is longer, the rest is cut: it is one line."""

LONGEST_QUOTED = 1000
"""The same of other texts, which are shown when one points at something."""

_KEYWORDS = {"node", "edge", "graph", "digraph", "subgraph", "strict"}
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|-?\d+(?:\.\d+)?")
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]"
)
_ENTITIES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\\": r"\\"}  # \N is a node's name
)


def clean(text: str, longest: int = LONGEST) -> str:
    """`text` on one line of bounded length, without characters that XML or a reader cannot take."""
    shown = _UNSEEN.sub(" ", text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def escape(text: str) -> str:
    """`text` as it may stand within an HTML label."""
    return " ".join(clean(text).split()).translate(_ENTITIES) or "&#160;"


def quote(text: str) -> str:
    r"""`text` as DOT takes it, where it means itself: nothing in it is an escape or an entity.

    >>> print(quote("encoder"), quote("node"), quote('a "b" \\ &amp;'))
    encoder "node" "a \"b\" \\ &amp;amp;"
    """
    if _BARE.fullmatch(text) and text.lower() not in _KEYWORDS:
        return text
    return f'"{_escaped(text)}"'


def text(sheet: Sheet, name: str, attributes: Attributes) -> str:
    """A sheet as DOT, with the attributes of the graph itself."""
    head = [f"digraph {quote(name)} {{", f"  graph {_attributes(attributes)};"]
    defaults = [f"  {of} {_attributes(given)};" for of, given in sheet.defaults]
    lines = [f"  {_line(line)}" for line in sheet.lines]
    return "\n".join([*head, *defaults, *_items(sheet.items, "  "), *lines, "}", ""])


def _items(items: Iterable[Item], indent: str) -> Iterator[str]:
    for item in items:
        if isinstance(item, Remark):
            yield f"{indent}// {clean(item.text)}"
        elif isinstance(item, Node):
            yield f"{indent}{quote(item.name)} {_attributes(item.attributes)};"
        else:
            yield f"{indent}subgraph {quote(item.name)} {{"
            yield f"{indent}  graph {_attributes(item.attributes)};"
            yield from _items(item.items, indent + "  ")
            yield f"{indent}}}"


def _line(line: Line | Row) -> str:
    if isinstance(line, Row):
        return "{ rank=same; " + "; ".join(map(quote, line.names)) + " }"
    return f"{_end(line.tail)} -> {_end(line.head)} {_attributes(line.attributes)};"


def _end(name: str) -> str:
    node, colon, port = name.partition(":")
    return quote(node) + colon + port


def _attributes(attributes: Attributes) -> str:
    return "[" + ", ".join(f"{name}={_value(value)}" for name, value in attributes.items()) + "]"


def _value(value: Attribute) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float | int):
        return f"{value:g}"
    if isinstance(value, tuple):
        # In these Graphviz looks for escapes twice.
        return '"' + r"\n".join(_escaped(line, r"\\\\") for line in value) + '"'
    return f"<{value}>" if isinstance(value, Html) else quote(value)


def _escaped(text: str, backslash: str = r"\\") -> str:
    safe = clean(text, LONGEST_QUOTED).replace("\\", backslash)
    return safe.replace('"', '\\"').replace("&", "&amp;")
