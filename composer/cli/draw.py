"""`composer draw`: the diagram of a model."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from .output import UsageError, failure, message, product
from .reading import Color, Overrides, Plugins, Size, Spec, read
from .units import readable

if TYPE_CHECKING:
    from composer.graph.graph import Graph
    from composer.language.spec import ModelSpec
    from composer.targets.diagram import Changes

MISSING_TOOL = 3


class Format(str, Enum):
    """File formats of diagrams."""

    svg = "svg"
    png = "png"
    pdf = "pdf"
    dot = "dot"
    mermaid = "mermaid"
    html = "html"


_SUFFIXES = {"mmd": "mermaid", "htm": "html"}


class Theme(str, Enum):
    """Palettes."""

    light = "light"
    dark = "dark"
    auto = "auto"


class Detail(str, Enum):
    """How much is said of each part."""

    plain = "plain"
    full = "full"


class Direction(str, Enum):
    """Where the data flows."""

    up = "up"
    right = "right"


Out = Annotated[
    Path | None, typer.Option("-o", "--out", metavar="FILE", help="Where it goes; else stdout.")
]
FormatOption = Annotated[
    Format | None, typer.Option("--format", help="Default: as FILE is called, else svg.")
]
ThemeOption = Annotated[
    Theme | None,
    typer.Option(
        "--theme",
        help="Colours; auto follows the reader's, in SVG and HTML. Default: light; auto in HTML.",
    ),
]
Depth = Annotated[
    int | None,
    typer.Option(
        "--depth", min=0, max=2,
        help="0: stacks; 1: a layer of each; 2: inside branches too. "
        "Default: 1, or 0 for a large model.",
    ),
]  # fmt: skip
DirectionOption = Annotated[Direction, typer.Option("--direction", help="Where the data flows.")]
DetailOption = Annotated[
    Detail,
    typer.Option(
        "--detail", help="full: dropout, masks, the shapes within attentions and all options, too."
    ),
]
Before = Annotated[
    str | None,
    typer.Option(
        "--diff", metavar="SPEC", help="Mark what differs from this spec; see --diff-size."
    ),
]
BeforeSize = Annotated[
    str | None, typer.Option("--diff-size", metavar="NAME", help="A size of it.")
]


def draw(
    spec: Spec,
    out: Out = None,
    form: FormatOption = None,
    theme: ThemeOption = None,
    depth: Depth = None,
    direction: DirectionOption = Direction.up,
    detail: DetailOption = Detail.plain,
    before: Before = None,
    before_size: BeforeSize = None,
    size: Size = None,
    overrides: Overrides = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Draw the model."""
    from composer.targets import diagram

    form = form or _format_of(out)
    if out is None and form in {Format.png, Format.pdf} and sys.stdout.isatty():
        raise UsageError(f"a terminal cannot show {form.value}; give -o FILE")
    made = read(spec, size, overrides, plugins)
    graph = made[1]
    changes = _changes(spec, made, before, before_size)
    depth = diagram.fitting_depth(graph, detail=detail.value) if depth is None else depth
    theme = theme or (Theme.auto if form is Format.html else Theme.light)
    asked = Drawing(theme.value, depth, direction.value, changes, detail.value)
    try:
        data = _drawn(graph, form, asked)
    except diagram.DrawingError as error:
        failure(str(error), "D301")
        if out is not None:
            _keep_dot(out.with_suffix(".dot"), graph, asked)
        raise typer.Exit(MISSING_TOOL) from None
    _write(data, out)


class Drawing(NamedTuple):
    """How a model is drawn."""

    theme: Literal["light", "dark", "auto"]
    depth: int
    direction: Literal["up", "right"]
    changes: Changes | None = None
    detail: Literal["plain", "full"] = "plain"


def _drawn(graph: Graph, form: Format, asked: Drawing) -> bytes:
    """A drawing in a format. Raises DrawingError where Graphviz is needed and missing."""
    from composer.targets import diagram

    theme, depth, direction, changes, detail = asked
    if form is Format.html:
        from composer.targets.page import page

        return page(graph, theme=theme, depth=depth, direction=direction, detail=detail)
    if form is Format.mermaid:
        text = diagram.draw_mermaid(
            graph, theme=theme, depth=depth, direction=direction, detail=detail
        )
        return text.encode()
    dot = diagram.draw(
        graph, theme=theme, depth=depth, direction=direction, detail=detail, changes=changes
    )
    return dot.encode() if form is Format.dot else diagram.render(dot, form.value, theme=theme)


def _keep_dot(path: Path, graph: Graph, asked: Drawing) -> None:
    """Writes what Graphviz would have drawn."""
    from composer.targets.files import write_file

    write_file(path, _drawn(graph, Format.dot, asked))
    message(f"wrote {path}, which any Graphviz can draw")


def _write(data: bytes, out: Path | None) -> None:
    from composer.targets.files import write_file

    if out is None:
        product(data)
        return
    write_file(out, data)
    message(f"wrote {out} ({readable(len(data))})")


def _changes(
    spec: str, after: tuple[ModelSpec, Graph], before: str | None, size: str | None
) -> Changes | None:
    """What differs from another spec, or from another size of this one."""
    from composer.targets import diagram
    from composer.targets.diff import compare, removed

    if before is None and size is None:
        return None
    first = read(before or spec, size, None, None)
    found = compare(first, after, ("before", "after"), steps=1)
    tints = {change.path: change.what for change in found.nodes if change.what != "removed"}
    return diagram.Changes(tints, tuple(removed(found)))


def _format_of(out: Path | None) -> Format:
    """The format that a file's name says."""
    suffix = "" if out is None else out.suffix[1:].lower()
    suffix = _SUFFIXES.get(suffix, suffix)
    if suffix in Format.__members__:
        return Format(suffix)
    if suffix:
        known = ", ".join(f".{form.value}" for form in Format)
        raise UsageError(f"'{out}' is none of {known}; give --format")
    return Format.svg
