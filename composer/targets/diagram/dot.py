"""The DOT language: a sheet that statements are put on, and the one place where text is quoted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

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


class Html(str):
    """A label in Graphviz's HTML, made by `labels` from escaped text; never from user text."""

    __slots__ = ()


Attribute = str | float | bool | tuple[str, ...]
"""The value of an attribute: an `Html` is written as such, any other text is quoted, a tuple is
the lines of a tooltip."""

Attributes = Mapping[str, Attribute]


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


class Sheet:
    """Statements of a drawing in the order in which they are written.

    Lines stand after all nodes: a line that is written within a cluster moves its ends into it.
    """

    def __init__(self) -> None:
        self._defaults: list[str] = []
        self._lines: list[str] = []
        self._top = _Block("")
        self._clusters: dict[str, _Block] = {}
        self._open = [self._top]

    def default(self, of: str, **attributes: Attribute) -> None:
        """Attributes of every `node` or `edge`."""
        self._defaults.append(f"  {of} {_attributes(attributes)};")

    def node(self, name: str, **attributes: Attribute) -> None:
        """A node, within the cluster that is open."""
        self._open[-1].items.append(f"{quote(name)} {_attributes(attributes)};")

    def remark(self, text: str) -> None:
        """A comment."""
        self._open[-1].items.append(f"// {clean(text)}")

    @contextmanager
    def cluster(self, name: str, **attributes: Attribute) -> Iterator[None]:
        """A cluster around the nodes that are put while it is open."""
        block = self._clusters[name] = _Block(name, [f"graph {_attributes(attributes)};"])
        self._open[-1].items.append(block)
        with self.within(name):
            yield

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Opens a cluster again."""
        self._open.append(self._clusters[name])
        yield
        self._open.pop()

    def line(self, tail: str, head: str, **attributes: Attribute) -> None:
        """A line between two nodes, each with its port where it has one: `name:e`."""
        self._lines.append(f"  {_end(tail)} -> {_end(head)} {_attributes(attributes)};")

    def row(self, *names: str) -> None:
        """Nodes that stand in one rank."""
        self._lines.append("  { rank=same; " + "; ".join(map(quote, names)) + " }")

    def text(self, name: str, **attributes: Attribute) -> str:
        """The whole as DOT, with the attributes of the graph itself."""
        head = [f"digraph {quote(name)} {{", f"  graph {_attributes(attributes)};"]
        return "\n".join([*head, *self._defaults, *self._top.lines("  "), *self._lines, "}", ""])


@dataclass(frozen=True)
class _Block:
    """A cluster: its statements and the clusters within it."""

    name: str
    items: list[str | _Block] = field(default_factory=list)

    def lines(self, indent: str) -> Iterator[str]:
        for item in self.items:
            if isinstance(item, str):
                yield indent + item
            else:
                yield f"{indent}subgraph {quote(item.name)} {{"
                yield from item.lines(indent + "  ")
                yield f"{indent}}}"


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
