"""`composer draw`: the diagram of a model."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .output import UsageError, failure, message, product
from .reading import Color, Overrides, Plugins, Size, Spec, read
from .units import readable

MISSING_TOOL = 3


class Format(str, Enum):
    """File formats of diagrams."""

    svg = "svg"
    png = "png"
    pdf = "pdf"
    dot = "dot"


class Theme(str, Enum):
    """Palettes."""

    light = "light"
    dark = "dark"
    auto = "auto"


class Direction(str, Enum):
    """Where the data flows."""

    up = "up"
    right = "right"


def draw(
    spec: Spec,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Where it goes; else stdout."),
    ] = None,
    form: Annotated[
        Format | None, typer.Option("--format", help="Default: as FILE is called, else svg.")
    ] = None,
    theme: Annotated[
        Theme, typer.Option("--theme", help="Colours; auto follows the reader's, in an SVG.")
    ] = Theme.light,
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth",
            min=0,
            max=2,
            help="0: stacks; 1: a layer of each; 2: inside branches too. "
            "Default: 1, or 0 for a large model.",
        ),
    ] = None,
    direction: Annotated[
        Direction, typer.Option("--direction", help="Where the data flows.")
    ] = Direction.up,
    size: Size = None,
    overrides: Overrides = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Draw the model."""
    from composer.targets import diagram
    from composer.targets.files import write_file

    form = form or _format_of(out)
    if out is None and form in {Format.png, Format.pdf} and sys.stdout.isatty():
        raise UsageError(f"a terminal cannot show {form.value}; give -o FILE")
    _, graph = read(spec, size, overrides, plugins)
    depth = diagram.fitting_depth(graph) if depth is None else depth
    dot = diagram.draw(graph, theme=theme.value, depth=depth, direction=direction.value)
    try:
        data = (
            dot.encode()
            if form is Format.dot
            else diagram.render(dot, form.value, theme=theme.value)
        )
    except diagram.DrawingError as error:
        failure(str(error), "D301")
        raise typer.Exit(MISSING_TOOL) from None
    if out is None:
        product(data)
        return
    write_file(out, data)
    message(f"wrote {out} ({readable(len(data))})")


def _format_of(out: Path | None) -> Format:
    """The format that a file's name says."""
    suffix = "" if out is None else out.suffix[1:].lower()
    if suffix in Format.__members__:
        return Format(suffix)
    if suffix:
        known = ", ".join(f".{form.value}" for form in Format)
        raise UsageError(f"'{out}' is none of {known}; give --format")
    return Format.svg
