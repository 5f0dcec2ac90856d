"""The page: drawings at every depth, and beside them what is known of the part one chooses.

It stands in one file and asks for nothing: its Content-Security-Policy allows the one script and
the one style that are in it, and no address at all.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree as ET

from composer.graph.graph import Graph
from composer.targets import diagram

from .details import Detail, details
from .foldings import Depths, foldings
from .markup import Markup, element

HERE = Path(__file__).resolve().parent
DEPTHS = ("Stacks", "Layers", "Inside")
_AT_ONCE = 2
_SVG = "{http://www.w3.org/2000/svg}"


def page(
    graph: Graph, *, theme: diagram.Theme = "auto", depth: int | None = None,
    direction: diagram.Direction = "up", detail: diagram.Detail = "plain",
) -> bytes:  # fmt: skip
    """The page of a model; it opens at `depth`, and in a theme or in the reader's.

    Each stack can be folded and unfolded by itself; see `foldings` for how far.

    Raises DrawingError where Graphviz is missing or fails.
    """
    shown = diagram.fitting_depth(graph) if depth is None else depth
    known = details(graph)
    numbers = {name: f"part-{index}" for index, name in enumerate(known)}
    drawings, styles = [], [_file("page.css")]
    views = foldings(graph)
    for depths, root in zip(views, _drawings(graph, views, direction, detail), strict=True):
        styles += _styles(root)
        _link_parts(root, numbers)
        _name_stacks(root, graph)
        svg = Markup(ET.tostring(root, encoding="unicode"))
        drawings.append(element("div", svg, **_about(depths)))
    style = "\n".join(dict.fromkeys(styles))
    stacks = " ".join(stack.name for stack in graph.stacks)
    body = [
        _header(graph, shown),
        element("main", *drawings, id="drawings", data_shown=str(shown), data_stacks=stacks),
        _panel(known, numbers),
        element("script", Markup(_file("page.js"))),
    ]
    given = {} if theme == "auto" else {"data_theme": theme}
    html = element("html", _head(graph, style), element("body", *body), lang="en", **given)
    return f"<!doctype html>\n{html}\n".encode()


def policy(script: str, style: str, *more: str) -> str:
    """A Content-Security-Policy under which only this script and this style are used."""
    rules = ["default-src 'none'", f"script-src '{_hash(script)}'", f"style-src '{_hash(style)}'"]
    return "; ".join([*rules, "base-uri 'none'", "form-action 'none'", *more])


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _file(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


# The head and the tools


def _head(graph: Graph, style: str) -> Markup:
    rules = policy(_file("page.js"), style)
    return element(
        "head",
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{rules}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        element("title", graph.title or graph.name),
        element("style", Markup(style)),
    )


def _header(graph: Graph, shown: int) -> Markup:
    depths = [_depth(index, name, shown) for index, name in enumerate(DEPTHS)]
    tools = [
        element("fieldset", element("legend", "Show"), *depths, id="depths"),
        _button("-", "zoom-out", "Smaller (-)"),
        _button("Fit", "zoom-fit", "All of it (0)"),
        _button("+", "zoom-in", "Larger (+)"),
        _button("Light / dark", "theme", "Light or dark"),
    ]
    about = element("p", diagram.describe(graph), class_="about")
    title = element("div", element("h1", graph.title or graph.name), about)
    return element("header", title, element("div", *tools, class_="tools"))


def _depth(index: int, name: str, shown: int) -> Markup:
    checked = " checked" if index == shown else ""
    choice = Markup(f'<input type="radio" name="depth" value="{index}"{checked}>')
    return element("label", choice, f" {name}")


def _button(text: str, name: str, title: str) -> Markup:
    return element("button", text, id=name, type="button", title=title, aria_label=title)


# The drawings


def _drawings(
    graph: Graph, views: Sequence[Depths], direction: diagram.Direction, detail: diagram.Detail
) -> Iterable[ET.Element]:
    """The drawing of each view; Graphviz runs beside itself where it is a program."""

    def drawing(depths: Depths) -> bytes:
        own = {stack.name: depth for stack, depth in zip(graph.stacks, depths[1:], strict=True)}
        dot = diagram.draw(
            graph, depth=depths[0], depths=own, direction=direction, detail=detail
        )  # fmt: skip
        return diagram.render(dot, "svg", theme="auto")

    with ThreadPoolExecutor(_AT_ONCE if diagram.has_program() else 1) as pool:
        for svg in pool.map(drawing, views):
            yield ET.fromstring(svg)  # noqa: S314 - just drawn


def _about(depths: Depths) -> Mapping[str, str]:
    """What the script must know of a view: whether all of it has one depth, and that of each stack."""
    whole = len(set(depths)) == 1
    given = {"data_depth": str(depths[0])} if whole else {}
    levels = " ".join(map(str, depths[1:]))
    return {"class_": "view" if whole else "view mixed", **given, "data_levels": levels}


def _name_stacks(root: ET.Element, graph: Graph) -> None:
    """Names the block, or the box, of each stack, which the script gives its buttons."""
    blocks = {f"{stack.name}: ": stack.name for stack in graph.stacks}
    for group in root.iter(f"{_SVG}g"):
        first = (group.findtext(f"{_SVG}title") or "").partition("\n")[0]
        count = re.match(r"(\w+: )\d+ layers, ", first)
        if count and count[1] in blocks:
            group.set("data-stack", blocks[count[1]])


def _styles(root: ET.Element) -> Iterable[str]:
    """The rules of a drawing, which it loses: they stand in the head, where the policy names them."""
    found = root.findall(f"{_SVG}style")
    for style in found:
        root.remove(style)
    return [style.text or "" for style in found]


def _link_parts(root: ET.Element, numbers: Mapping[str, str]) -> None:
    """Makes each part of a drawing that is known a button, which names its section."""
    root.set("role", "group")
    for group in root.iter(f"{_SVG}g"):
        group.attrib.pop("id", None)
        title = group.findtext(f"{_SVG}title") or ""
        name = _known(title.partition("\n")[0], numbers)
        if name and {"node", "cluster"} & set(group.get("class", "").split()):
            label = f"{name}: what is known of it"
            group.attrib.update({"data-part": numbers[name], "role": "button", "tabindex": "0"})
            group.set("aria-label", label)


def _known(first: str, numbers: Mapping[str, str]) -> str:
    """The part that the first line of a title names: itself, its stack, or what it stands in."""
    if first in numbers:
        return first
    stack = first.partition(":")[0]
    if stack in numbers:
        return stack
    around = first.rpartition(".")[0]
    return around if around in numbers else ""


# The panel


def _panel(known: Mapping[str, Detail], numbers: Mapping[str, str]) -> Markup:
    sections = [_section(detail, numbers[name]) for name, detail in known.items()]
    close = _button("×", "close", "Close (Escape)")
    return element("aside", close, *sections, id="panel", tabindex="-1", aria_label="Part")


def _section(detail: Detail, number: str) -> Markup:
    tables = [
        _table("Sizes", detail.facts),
        _table("Options", detail.options),
        _table("Parameters", detail.tensors),
    ]
    spec = _code(f"Spec, {detail.place}", detail.lines)
    source = _code("Source", detail.source)
    kind = element("p", detail.kind, class_="kind")
    return element("section", element("h2", detail.name), kind, spec, *tables, source, id=number)


def _table(title: str, pairs: Iterable[tuple[str, str]]) -> Markup:
    rows = [
        element("tr", element("th", key, scope="row"), element("td", text)) for key, text in pairs
    ]
    if not rows:
        return Markup()
    return element("div", element("h3", title), element("table", element("tbody", *rows)))


def _code(title: str, text: str) -> Markup:
    if not text:
        return Markup()
    return element("div", element("h3", title), element("pre", element("code", text), tabindex="0"))
