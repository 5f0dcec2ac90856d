"""`composer describe`: the parts of a model, their shapes and parameters, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from .numbers import costs_by_part, formulas_in_words, in_words, lengths_given, over_budget
from .output import UsageError, columns, failure, message, product, show
from .reading import Color, Overrides, Plugins, Size, Spec, read
from .units import readable
from .weight_places import WeightPlaces, audited, places

if TYPE_CHECKING:
    from rich.console import RenderableType

    from composer.targets.compressed import Changed
    from composer.targets.summary import Row, Summary

_WIDE = 110  # columns from which each part's own description is shown too
_WIDER = 160  # columns from which each part's costs are shown too


class Format(str, Enum):
    """How the summary is written."""

    table = "table"
    json = "json"
    csv = "csv"


class Number(str, Enum):
    """Formats of numbers."""

    fp32 = "fp32"
    bf16 = "bf16"


class Mode(str, Enum):
    """What is done with the model."""

    train = "train"
    inference = "inference"


def describe(
    spec: Spec,
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.table,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="Examples at once. Default: 1.")
    ] = None,
    set_length: Annotated[
        list[str] | None,
        typer.Option("--set-length", metavar="NAME=STEPS", help="A length: source=512."),
    ] = None,
    dtype: Annotated[Number, typer.Option(help="The format of weights and states.")] = Number.fp32,
    mode: Annotated[Mode, typer.Option(help="What is done with the model.")] = Mode.train,
    most: Annotated[
        str | None,
        typer.Option("--budget", metavar="SIZE", help="Refuse a model above 24GB, 1e15 FLOPs, ..."),
    ] = None,
    formula: Annotated[
        bool, typer.Option("--formula", help="Show closed forms in the batch and the lengths.")
    ] = False,
    size: Size = None,
    overrides: Overrides = None,
    weights: WeightPlaces = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Show the parts of a model, their shapes, their parameters, and what they cost.

    With weights also what they fill, what starts anew and what is frozen; no tensor is read.
    """
    from composer.targets.numbers import report
    from composer.targets.numbers.budget import budget
    from composer.targets.numbers.count import count
    from composer.targets.numbers.formula import formulas
    from composer.targets.numbers.setting import SettingError, setting

    checked, graph = read(spec, size, overrides, plugins)
    filled = audited(checked, graph, places(weights)) if weights else ""
    try:
        at = setting(graph, lengths_given(batch, set_length or ()), dtype.value, mode.value)
        limit = None if most is None else budget(most)
    except SettingError as error:
        raise UsageError(str(error)) from None
    made = count(graph, at)
    if limit is not None and limit.of(made.whole) > limit.most:
        failure(over_budget(graph, made, limit))
        raise typer.Exit(1)
    if formula:
        found = formulas(graph)
        table = form is Format.table
        product(
            formulas_in_words(found)
            if table
            else report.formulas(found, "json" if form is Format.json else "csv")
        )
        return
    if form is not Format.table:
        product(report.to_json(made) if form is Format.json else report.to_csv(made))
        if filled:
            message(filled)
        return
    width = columns()
    more = costs_by_part(made) if width >= _WIDER else {}
    show(summary_table(made.summary, width, more))
    product("\n" + in_words(made))
    if filled:
        product(f"\n{filled}\n")


def summary_table(
    summary: Summary, width: int, more: Mapping[str, Mapping[str, str]] | None = None
) -> RenderableType:
    """The summary as a table of rich, and below it the totals.

    `more` are further columns: what they are called, and their text for each part's path.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    wide, more = width >= _WIDE, more or {}
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("part", no_wrap=True)
    table.add_column("kind")
    table.add_column("output", style="cyan")
    for title in ("parameters", *more):
        table.add_column(title, justify="right", no_wrap=True)
    if wide:
        table.add_column("what it is", style="dim")
    above: object = None
    for row in summary.rows:
        cells = [_name(row), _kind(row), "" if row.output == above else _shape(row), _count(row)]
        cells += [texts[row.path] for texts in more.values()]
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
    lines = [total]
    if summary.frozen:
        trained = summary.parameters - summary.frozen
        lines.append(f"{trained:,} trainable, {summary.frozen:,} frozen")
    return "\n".join([*lines, *map(compressed_in_words, summary.compressed)])


def compressed_in_words(changed: Changed) -> str:
    """What a pass changes: `quantize: 12 linear maps in int8, 196.6 kB of 786.4 kB in fp32`."""
    maps = f"{len(changed.maps)} linear map{'' if len(changed.maps) == 1 else 's'}"
    if changed.zeros:
        return f"{changed.kind}: {changed.zeros:,} zeros in {maps}; {changed.note}"
    sizes = f"{readable(changed.after)} of {readable(changed.before)} in fp32"
    return f"{changed.kind}: {maps} in {changed.mark}, {sizes}"


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
