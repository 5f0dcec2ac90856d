"""The Mermaid language: a sheet as a flowchart, and the one place where text is written for it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from . import flow
from .dot import clean
from .pen import Direction
from .sheet import Block, Node, Sheet
from .theme import BOXES, STYLES, WIDTHS, Palette

_SPECIAL = frozenset('"#&<>\\`|;%')  # %%{...}%% sets options, wherever it stands
_SHAPES = {
    "circle": ('(("', '"))'),
    "trapezium": ('[/"', '"\\]'),
    "invtrapezium": ('[\\"', '"/]'),
    "point": ('(("', '"))'),
}
_DASHED = "stroke-dasharray:4 3"


@dataclass(frozen=True)
class Head:
    """What stands above a flowchart: its title, what it shows in words, where data flows."""

    title: str
    description: str
    direction: Direction


def text(sheet: Sheet, palette: Palette, head: Head) -> str:
    """A sheet as a Mermaid flowchart."""
    arrows = flow.arrows(sheet)
    ids: dict[str, str] = {}
    body = list(_items(flow.boxes(sheet.items, arrows), arrows, ids, "  "))
    lines = [f"  {_line(arrow, ids)}" for arrow in arrows]
    return "\n".join([
        "---", f"title: {_yaml(head.title)}", "---",
        f"flowchart {'LR' if head.direction == 'right' else 'BT'}",
        f"  accTitle: {_plain(head.title)}", f"  accDescr: {_plain(head.description)}",
        *body, *lines, *_classes(body, palette), *_colors(arrows, palette), "",
    ])  # fmt: skip


def escape(words: str) -> str:
    """`words` as they may stand within quotes: what could mean something is a number.

    >>> print(escape('a "b" <c>'))
    a #34;b#34; #60;c#62;
    """
    shown = " ".join(clean(words).split())
    return "".join(f"#{ord(char)};" if char in _SPECIAL else char for char in shown) or "#160;"


def _yaml(words: str) -> str:
    """Words as a text of YAML."""
    return json.dumps(clean(words)).replace("%", "\\u0025")


def _plain(words: str) -> str:
    """Words to the end of a line, where nothing is an escape."""
    return " ".join(clean(words, 1000).translate(str.maketrans("#;{}<>`%", " ,()    ")).split())


def _items(
    items: Iterable[Node | Block], arrows: list[flow.Arrow], ids: dict[str, str], indent: str
) -> Iterator[str]:
    for item in items:
        name = ids[item.name] = f"n{len(ids) + 1}"
        label = flow.texts(item.attributes)
        if isinstance(item, Node):
            start, end = _SHAPES.get(str(item.attributes.get("shape", "")), ('("', '")'))
            class_ = _class(flow.kind_of(item.attributes))
            yield f"{indent}{name}{start}{_label(label)}{end}:::{class_}"
        else:
            yield f'{indent}subgraph {name} ["{escape(" ".join(label))}"]'
            yield from _items(flow.boxes(item.items, arrows), arrows, ids, indent + "  ")
            yield f"{indent}end"
            yield f"{indent}class {name} {_class(flow.kind_of(item.attributes))}"


def _label(lines: Iterable[str]) -> str:
    return "<br/>".join(map(escape, lines)) or "#160;"


def _line(arrow: flow.Arrow, ids: Mapping[str, str]) -> str:
    dotted, thick = arrow.kind in STYLES, arrow.kind == "cross"
    body = "-.-" if dotted else "==" if thick else "--"
    if arrow.pointed:
        shaft = body.removesuffix("-") + "->" if dotted else body + ">"
    else:
        shaft = body if dotted else body + body[-1]
    words = f'|"{_label(arrow.words)}"|' if arrow.words else ""
    return f"{ids[arrow.tail]} {shaft}{words} {ids[arrow.head]}"


# Colours


def _class(kind: str) -> str:
    """The class of a box, of words, or of a block."""
    words = kind.split()
    if words[0] == "block":
        return "inside_" + words[2] if words[1] == "inside" else words[1]
    return words[0]


def _classes(body: Iterable[str], palette: Palette) -> Iterator[str]:
    """The colours of every class that is there."""
    used = {re.split(r":::|\s", line)[-1] for line in body}
    for name, look in _looks(palette).items():
        if name in used:
            yield f"  classDef {name} {look}"


def _looks(palette: Palette) -> Mapping[str, str]:
    looks = {"repeat": _look(palette.block, palette.border, palette.title)}
    looks["parallel"] = _look(palette.canvas, palette.parallel, palette.title) + f",{_DASHED}"
    looks["chip"] = _look("transparent", "transparent", palette.title)
    looks["junction"] = _look(palette.data, palette.data, palette.data)
    looks["io"] = _look(palette.canvas, palette.io, palette.title)
    for role in BOXES:
        looks[role] = looks[f"inside_{role}"] = _look(*palette.box(role), palette.title)
    looks["position"] += f",{_DASHED}"
    return looks


def _look(fill: str, stroke: str, color: str) -> str:
    return f"fill:{fill},stroke:{stroke},color:{color}"


def _colors(arrows: list[flow.Arrow], palette: Palette) -> Iterator[str]:
    """The colours of lines, by their numbers."""
    kinds: dict[str, list[int]] = {}
    for number, arrow in enumerate(arrows):
        kinds.setdefault(arrow.kind, []).append(number)
    for kind, width in WIDTHS.items():
        if kind in kinds:
            numbers = ",".join(map(str, kinds[kind]))
            yield f"  linkStyle {numbers} stroke:{palette.line(kind)},stroke-width:{width:g}px"
