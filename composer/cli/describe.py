"""`composer describe`: the parts of a model, their shapes and their parameters."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from .output import columns, message, product, show
from .reading import Color, Overrides, Plugins, Size, Spec, read
from .weight_places import WeightPlaces, audited, places

if TYPE_CHECKING:
    from rich.console import RenderableType

    from composer.targets.summary import Row, Summary

_WIDE = 110  # columns from which each part's own description is shown too


class Format(str, Enum):
    """How the summary is written."""

    table = "table"
    json = "json"
    csv = "csv"


def describe(
    spec: Spec,
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.table,
    size: Size = None,
    overrides: Overrides = None,
    weights: WeightPlaces = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Show the parts of a model, their shapes and their parameters.

    With weights also what they fill, what starts anew and what is frozen; no tensor is read.
    """
    from composer.targets import summary

    checked, graph = read(spec, size, overrides, plugins)
    filled = audited(checked, graph, places(weights)) if weights else ""
    made = summary.summarize(graph)
    if form is Format.table:
        show(summary_table(made, columns()))
    else:
        product(summary.to_json(made) if form is Format.json else summary.to_csv(made))
    if filled and form is Format.table:
        product(f"\n{filled}\n")
    elif filled:
        message(filled)


def summary_table(summary: Summary, width: int) -> RenderableType:
    """The summary as a table of rich, and below it the totals."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    wide = width >= _WIDE
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("part", no_wrap=True)
    table.add_column("kind")
    table.add_column("output", style="cyan")
    table.add_column("parameters", justify="right", no_wrap=True)
    if wide:
        table.add_column("what it is", style="dim")
    above: object = None
    for row in summary.rows:
        cells = [_name(row), _kind(row), "" if row.output == above else _shape(row), _count(row)]
        cells += [row.label if row.kind != "layer" else ""] if wide else []
        table.add_row(*map(Text, cells), style="bold" if row.depth == 0 else "")
        above = row.output
    shared = [f"  {row.path} with {', '.join(row.shared)}" for row in summary.rows if row.shared]
    below = ["", "shared", *shared] if shared else []
    return Group(
        Text(f"{summary.title}\n", style="bold"), table, *map(Text, [*below, "", totals(summary)])
    )


def totals(summary: Summary) -> str:
    """The number of parameters and what they take; a second line where some are frozen."""
    from composer.targets.summary import BYTES

    sizes = ", ".join(f"{readable(summary.bytes(name))} in {name}" for name in BYTES)
    total = f"{summary.parameters:,} parameters: {sizes}"
    if not summary.frozen:
        return total
    return f"{total}\n{summary.parameters - summary.frozen:,} trainable, {summary.frozen:,} frozen"


def readable(count: int) -> str:
    """Bytes in the largest unit that leaves a number of at least one: `252.3 MB`."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:  # noqa: PLR2004 - units are a thousand apart
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def _name(row: Row) -> str:
    """The last word of a part's path, below what it belongs to."""
    names = row.path.split(".")
    own = names[-1] if row.kind != "layer" else ".".join(names[-2:])
    return "  " * row.depth + own


def _kind(row: Row) -> str:
    kind = row.kind
    if kind == "layer":
        kind = f"{len(row.layers)} layer{'' if len(row.layers) == 1 else 's'}"
        kind = f"{kind}: {row.label}" if row.label else kind
    if 0 < row.sets < len(row.layers):
        kind += f", {row.sets} set{'' if row.sets == 1 else 's'}"
    if row.frozen:
        kind += ", frozen" if row.frozen == row.parameters else ", partly frozen"
    return kind


def _shape(row: Row) -> str:
    from composer.shapes import show as shape_text

    return shape_text(row.output)


def _count(row: Row) -> str:
    if row.sets > 1 and row.parameters % row.sets == 0:
        return f"{row.sets} × {row.parameters // row.sets:,}"
    if row.parameters:
        return f"{row.parameters:,}"
    return "shared" if row.shared else ""
